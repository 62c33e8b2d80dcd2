"""The host names itself from what the kernel says, and memory is counted by its marks."""

import os
import time

import numpy as np
import pytest

from hpmkd_edge.bench import footprint, host
from hpmkd_edge.errors import RuntimeUnavailable


def test_this_host_can_be_described():
    """Nothing is empty that every Linux has."""
    found = host.describe_host()

    assert found.model
    assert found.system.startswith("Linux ")
    assert found.cores == os.cpu_count()
    assert found.memory_mb > 100
    assert found.load_average >= 0


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        ("processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n", "AMD EPYC"),
        ("processor\t: 0\nHardware\t: BCM2835\n", "BCM2835"),
        ("processor\t: 0\n", os.uname().machine),
    ],
)
def test_the_cpu_is_named_as_the_kernel_names_it(cpuinfo, model):
    """By model name, else by what boards write, else by the architecture."""
    assert host._cpu_model(cpuinfo) == model


def test_memory_is_in_millions_of_bytes():
    """The kernel's kB are 1024 bytes."""
    assert host._memory_mb("MemTotal:        1000000 kB\nMemFree: 1 kB\n") == 1024.0


def test_a_kernel_that_does_not_say_its_memory_is_refused():
    """Rather than a made-up number."""
    with pytest.raises(RuntimeUnavailable, match="no MemTotal"):
        host._memory_mb("MemFree: 1 kB\n")


@pytest.mark.parametrize(
    ("answer", "mode"), [("NV Power Mode: 15W\n0\n", "15W"), ("NVPM WARN: fan\n", "unknown"), ("", "unknown")]
)
def test_the_power_mode_is_the_one_that_nvpmodel_names(answer, mode):
    """A Jetson that does not say its mode has an unknown one, which is not the same as none."""
    assert host._nvpmodel_mode(answer) == mode


def test_a_power_mode_that_does_not_come_in_time_is_unknown(tmp_path, monkeypatch):
    """A measurement is not lost for it."""
    command = tmp_path / "nvpmodel"
    command.write_text("#!/bin/sh\nexec sleep 60\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(host, "NVPMODEL_TIMEOUT_S", 0.1)

    assert host.describe_host().power_mode == "unknown"


def test_the_high_water_mark_remembers_what_was_freed():
    """64 MB, touched and given back, stay in the mark until it is reset."""
    if not footprint.reset_high_water():
        pytest.skip("this kernel does not let the mark be reset")
    before = footprint.resident_bytes()
    block = np.ones(8_000_000)
    del block
    peak = footprint.high_water_bytes() - before
    footprint.reset_high_water()

    assert peak > 60e6
    assert footprint.high_water_bytes() - before < 30e6


def test_a_look_every_few_milliseconds_sees_what_came_and_went():
    """64 MB that are there for a twentieth of a second."""
    before = footprint.resident_bytes()
    with footprint.watched() as watch:
        block = np.ones(8_000_000)
        time.sleep(10 * footprint.LOOK_EVERY_S)
        del block

    assert watch.most_bytes - before > 60e6


def test_the_state_of_this_machine_can_be_read():
    """The cores that this process may use, and nothing made up where the kernel is silent."""
    state = host.read_state()

    assert state.affinity == tuple(sorted(os.sched_getaffinity(0)))
    assert state.clock_mhz is None or 10 < state.clock_mhz < 10_000
    assert state.temperature_c is None or 0 < state.temperature_c < 150


def test_the_clock_is_that_of_the_cores_in_use(tmp_path):
    """In MHz, as the kernel lists it; None where it lists none, as on ARM."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("cpu MHz\t\t: 1000.5\n\ncpu MHz\t\t: 3000\n")
    silent = tmp_path / "silent"
    silent.write_text("BogoMIPS : 108.00\n")

    assert host._listed_clock(cpuinfo, (0,)) == 1000.5
    assert host._listed_clock(cpuinfo, (0, 1)) == 3000.0
    assert host._listed_clock(silent, (0,)) is None
