"""`plan`: sizes with their costs, and no training; and the probes that a run makes too."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hpmkd_edge import desk
from hpmkd_edge.bench.profile import read_profile
from hpmkd_edge.cli import app
from hpmkd_edge.desk import Desk
from hpmkd_edge.errors import BadConfiguration, Interrupted
from hpmkd_edge.planning import plan
from hpmkd_edge.probing import Prober
from hpmkd_edge.request import Request
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.targets import load_targets
from hpmkd_edge.tasks.source import open_task

TARGETS = """
targets:
  tiny:
    device: host
    runtime: onnxruntime
    precisions: [fp32]
    budgets: {model_size_mb: {fail: 0.05}, accuracy: {max_drop: 0.02}}
"""


@pytest.fixture
def asked(tmp_path, table_csv, brief):
    """A request for perceptrons whose file has at most 50 KB."""
    path = tmp_path / "mine.yaml"
    path.write_text(TARGETS)
    return Request(data=str(table_csv), label="kind", targets=("tiny",), targets_file=str(path))


def test_the_largest_size_whose_file_fits_is_planned_and_nothing_trained(asked, monkeypatch):
    """The whole ladder is shown; what was not measured is expected near what its neighbors cost."""
    monkeypatch.setattr("hpmkd_edge.distill.workshop.Workshop.train_all", None)
    (planned,) = plan(asked)
    chosen = next(one for one in planned.sizes if one.size == planned.chosen)
    measured = [one for one in planned.sizes if one.measured]
    counts = [one.parameters for one in planned.sizes]

    assert chosen.fits
    assert chosen.file_bytes <= 50_000
    assert all(one.file_bytes > 50_000 for one in planned.sizes if one.parameters > chosen.parameters)
    assert {one.size for one in measured} == {probe.size for probe in planned.probes}
    assert len(measured) < len(planned.sizes) == len(FAMILIES["mlp"].ladder(shape_of_things(asked)))
    assert counts == sorted(counts)
    assert all(4 * one.parameters < one.file_bytes < 4.1 * one.parameters + 9000 for one in planned.sizes)
    assert all(one.p90_bound_ms > 0 and one.peak_memory_mb > 0 for one in planned.sizes)
    assert any("No teacher is given" in note for note in planned.notes)


def shape_of_things(asked):
    task = open_task(asked.data, label="kind")
    return shape_of(fit_inlet(task), task)


@pytest.mark.slow
def test_a_teacher_decides_which_sizes_are_allowed(asked, images_npz, tmp_path):
    """As in a run: those with a tenth of its parameters at most; the rest are shown all the same."""
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 3))\n"
    )
    given = {"data": str(images_npz), "label": None, "student": "mlp", "teachers": (f"{file}:net",)}
    (planned,) = plan(replace(asked, **given, normalize="unit"))
    most = (64 * 100 + 100 + 100 * 3 + 3) / asked.compression

    assert [one.allowed for one in planned.sizes] == [one.parameters <= most for one in planned.sizes]
    assert next(one for one in planned.sizes if one.size == planned.chosen).allowed


def test_a_single_size_is_refused(asked):
    """There is nothing to plan."""
    with pytest.raises(BadConfiguration, match="--size names one size"):
        plan(replace(asked, size="8x1"))


def test_the_command_prints_the_ladder_and_the_same_as_json(asked):
    """On stdout; one plan a target."""
    flags = ["--target", "tiny", "--targets", asked.targets_file, "--data", asked.data, "--label", "kind"]
    text = CliRunner().invoke(app, ["plan", *flags])
    found = CliRunner().invoke(app, ["plan", *flags, "--format", "json"])
    (planned,) = json.loads(found.stdout)

    assert (text.exit_code, found.exit_code) == (0, 0)
    assert planned["schema"] == "hpmkd-edge/plan/1"
    assert all(one["size"] in text.stdout for one in planned["sizes"])
    assert "a run would train mlp" in text.stdout


@pytest.fixture
def prober(asked, tmp_path):
    """What probes perceptrons on the table."""
    task = open_task(asked.data, label="kind")
    inlet = fit_inlet(task)
    return Prober(
        target=load_targets(Path(asked.targets_file))["tiny"],
        desk=Desk(
            target=load_targets(Path(asked.targets_file))["tiny"],
            runtime="onnxruntime",
            protocol="quick",
            row=task.validation.inputs.take(np.zeros(1, np.int64)).feeds(),
            stop=lambda: False,
        ),
        state=tmp_path,
        family=FAMILIES["mlp"],
        shape=shape_of(inlet, task),
        inlet=inlet,
        seed=0,
        rows=task.train,
        facts={},
        cut_for=None,
        most_bytes=None,
    )


def test_each_probe_measures_anew_and_a_resumed_one_reads_all_back(prober, monkeypatch):
    """The same file each time; measurements lie beside each other, in order."""
    size = prober.family.ladder(prober.shape)[0]
    for _ in range(3):
        prober.probe(size)
    files = sorted(prober.state.glob("*.onnx"))
    monkeypatch.setattr(desk, "compare", None)
    resumed = replace(prober, probes=[], refused=set())
    for _ in range(3):
        resumed.probe(size)

    assert len({path.read_bytes() for path in files}) == 1
    assert len({read_profile(path.with_suffix(".json")).samples_ns for path in files}) == 3
    assert len(files) == len(prober.probes) == 3
    assert resumed.probes == prober.probes


def test_what_was_refused_is_what_the_last_measurement_refused(prober):
    """A disturbed one is mended by the next."""
    size = prober.family.ladder(prober.shape)[-1]
    prober.probe(size)
    assert prober.refused == {size}
    roomy = replace(prober, target=replace(prober.target, budgets=replace(prober.target.budgets, model_size_mb=None)))
    roomy.probe(size)

    assert prober.refused == set()


def test_the_least_compression_is_judged_in_bytes_where_the_teacher_has_no_parameters(prober):
    """Inclusive, as limits are."""
    size = prober.family.ladder(prober.shape)[0]
    prober.probe(size)
    weight = prober.probes[0].file_bytes
    for most, fitting in ((weight, True), (weight - 1, False)):
        replace(prober, most_bytes=float(most)).probe(size)
        assert prober.probes[-1].fits is fitting


def test_a_probe_that_is_interrupted_is_kept(prober):
    """The measurement is there for the run that takes it up."""
    size = prober.family.ladder(prober.shape)[0]
    with pytest.raises(Interrupted, match="was measured; the state is saved"):
        replace(prober, desk=replace(prober.desk, stop=lambda: True)).probe(size)

    assert list(prober.state.glob("*-probe-*.json"))
