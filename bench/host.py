"""Which machine this is, and how busy: read from /proc and /sys, so that it works on a bare board."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from hpmkd_edge.bench.profile import Host, State
from hpmkd_edge.errors import RuntimeUnavailable

NVPMODEL_TIMEOUT_S: Final = 10.0


def describe_host() -> Host:
    """Return what identifies this machine and its state at this moment.

    Raises:
        RuntimeUnavailable: the system is not Linux.
    """
    if platform.system() != "Linux":
        raise RuntimeUnavailable(f"this system is {platform.system()}; measuring needs Linux's /proc.")
    return Host(
        name=platform.node(),
        model=_model(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        memory_mb=_memory_mb(Path("/proc/meminfo").read_text(encoding="ascii")),
        load_average=os.getloadavg()[0],
        governor=_content("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        power_mode=_power_mode(),
    )


def read_state() -> State:
    """Return clocks, temperature and load at this moment, as far as the kernel tells; it takes under a millisecond."""
    affinity = tuple(sorted(os.sched_getaffinity(0)))
    clocks = [_number(Path(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq")) for core in affinity]
    known = [clock / 1000 for clock in clocks if clock]
    sensors = [_number(path) for path in sorted(Path("/sys/class/thermal").glob("thermal_zone*/temp"))]
    # A sensor that is switched off reads as 0 or far below.
    temperatures = [value / 1000 for value in sensors if value is not None and value > 0]
    graphics = [_number(path) for path in sorted(Path("/sys/class/devfreq").glob("*gpu*/cur_freq"))]
    return State(
        clock_mhz=max(known) if known else _listed_clock(Path("/proc/cpuinfo"), affinity),
        gpu_clock_mhz=next((hertz / 1e6 for hertz in graphics if hertz), None),
        temperature_c=max(temperatures, default=None),
        load_average=os.getloadavg()[0],
        affinity=affinity,
    )


def _listed_clock(cpuinfo: Path, affinity: tuple[int, ...]) -> float | None:
    """Return what /proc/cpuinfo says of the cores of *affinity*: an x86's, with no frequency driver."""
    found = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", cpuinfo.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return max((float(found[core]) for core in affinity if core < len(found)), default=None)


def _number(path: Path) -> float | None:
    """Return the number in *path*; None where there is none, as in a sensor that is asleep."""
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _model() -> str:
    board = _content("/proc/device-tree/model")
    return board or _cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))


def _cpu_model(cpuinfo: str) -> str:
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def _memory_mb(meminfo: str) -> float:
    found = re.search(r"^MemTotal:\s*(\d+) kB", meminfo, re.MULTILINE)
    if not found:
        raise RuntimeUnavailable("/proc/meminfo has no MemTotal; measuring needs to know the memory.")
    return int(found.group(1)) * 1024 / 1e6


def _power_mode() -> str | None:
    command = shutil.which("nvpmodel")
    if command is None:
        return None
    try:
        answer = subprocess.run(  # noqa: S603  a fixed command, found on the PATH
            [command, "-q"], capture_output=True, text=True, check=False, timeout=NVPMODEL_TIMEOUT_S
        ).stdout
    except subprocess.TimeoutExpired:
        answer = ""
    return _nvpmodel_mode(answer)


def _nvpmodel_mode(answer: str) -> str:
    """Return the mode's name from `nvpmodel -q`; "unknown" where it is there but would not say."""
    found = re.search(r"^NV Power Mode:\s*(\S+)", answer, re.MULTILINE)
    return found.group(1) if found else "unknown"


def _content(path: str) -> str | None:
    """Return the text of *path*, or None where this kernel has no such file; a device tree ends in NUL."""
    file = Path(path)
    return file.read_text(encoding="utf-8").strip("\0\n ") if file.exists() else None
