"""What the records of a board say of a file that was never there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from sample_graphs import floats, save_nodes
from sample_records import BOARD, make_host, make_profile, make_target

from hpmkd_edge.bench.profile import Shape, write_profile
from hpmkd_edge.compress import compress
from hpmkd_edge.errors import BadConfiguration, BadReport
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.export.conversion import save_student
from hpmkd_edge.foretelling import foretell, read_experience
from hpmkd_edge.record import read_report
from hpmkd_edge.report.gate import exit_code_of, gate
from hpmkd_edge.request import Request
from hpmkd_edge.students.choose import open_family
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.students.stand_in import stand_in
from hpmkd_edge.targets import Budgets, LatencyLimit, Limit
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Rows
from hpmkd_edge.verdict import Outcome, Provenance

ON_BOARD = make_host(model="Maker Board 9 rev 1")
BUDGETS = Budgets(
    latency_ms=(
        LatencyLimit(percentile="p50", limit=Limit(fail=8.0)),
        LatencyLimit(percentile="p90", limit=Limit(fail=8.0)),
    )
)
TARGET = make_target(device=BOARD, budgets=BUDGETS)


@dataclass
class Vectors:
    """Inputs that are one array of vectors."""

    values: Any

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Any) -> Vectors:
        return Vectors(self.values[rows])

    def feeds(self) -> dict[str, Any]:
        return {"x": self.values}


def row(width: int) -> Rows:
    return Rows(inputs=Vectors(floats(1, width)), labels=np.zeros(1, np.int64), positions=np.zeros(1, np.int64))


def perceptron(path: Path, width: int, layers: int) -> Path:
    """Write products of a square matrix with rectifiers between."""
    names = ["x", *(f"y{layer}" for layer in range(layers))]
    nodes, constants = [], {}
    for layer in range(layers):
        constants[f"w{layer}"] = floats(width, width, seed=layer)
        nodes.append(("MatMul", [names[layer], f"w{layer}"], f"h{layer}", {}))
        nodes.append(("Relu", [f"h{layer}"], names[layer + 1], {}))
    return save_nodes(path, [("x", TensorProto.FLOAT, ["batch", width])], nodes, constants, names[-1], classes=width)


def truth(width: int, layers: int) -> float:
    return width * width * layers * 1e-6 + 0.1 * layers


@pytest.fixture
def records(tmp_path):
    """Six perceptrons as the board would time them, each tenth run and more a half slower: 1 ns a multiply-add."""
    folder = tmp_path / "records"
    folder.mkdir()
    for width in (32, 64, 128):
        for layers in (2, 8):
            path = perceptron(folder / f"{width}-{layers}.onnx", width, layers)
            ns = truth(width, layers) * 1e6
            write_profile(
                make_profile(
                    samples_ns=tuple(round(ns * (1.5 if place % 8 == 0 else 1.0)) for place in range(1000)),
                    model=path.name,
                    model_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                    shapes=(Shape(name="x", sizes=(1, width)),),
                    host=ON_BOARD,
                ),
                path.with_suffix(".json"),
            )
    return folder


@pytest.fixture
def student(tmp_path):
    return Artifact(path=perceptron(tmp_path / "student.onnx", 96, 4), precision="fp32", parity=None)


def test_each_percentile_with_a_budget_is_foretold_from_its_own(student, records):
    """The p90 from the records' p90s, which are half as long again here."""
    median, tail = foretell(student, row(96), TARGET, read_experience(str(records), TARGET))

    assert (median.percentile, tail.percentile, tail.source) == ("p50", "p90", "6 records")
    assert median.prediction.ms == pytest.approx(truth(96, 4), rel=0.02)
    assert tail.prediction.ms == pytest.approx(1.5 * truth(96, 4), rel=0.02)
    assert tail.prediction.provenance == "predicted"


@pytest.mark.parametrize(
    "target",
    [
        replace(TARGET, threads=4),
        replace(TARGET, power_mode="7W"),
        replace(TARGET, runtime="tensorrt"),
        replace(TARGET, device=replace(BOARD, identity=("Board 8",))),
    ],
    ids=["threads", "mode", "runtime", "machine"],
)
def test_records_from_elsewhere_foretell_nothing(student, records, target):
    """Other threads, another mode, runtime or machine: they are counted, and left out."""
    found = foretell(student, row(96), target, read_experience(str(records), target))

    assert [one.interval_ms for one in found] == [None, None]
    assert found[0].phrase.endswith(
        "5 are needed; 6 profiles of another machine, power mode, runtime or number of threads were left out"
    )


def test_what_lies_outside_the_records_is_unknown(tmp_path, records):
    """Larger than all of them."""
    large = Artifact(path=perceptron(tmp_path / "large.onnx", 256, 12), precision="fp32", parity=None)
    found = foretell(large, row(256), TARGET, read_experience(str(records), TARGET))

    assert {one.prediction.provenance for one in found} == {"unknown"}
    assert "in the 6 measured models" in found[0].phrase


def test_two_files_or_a_graph_that_cannot_be_counted_are_unknown(student, records):
    """They cost the prediction, and not the student."""
    experience = read_experience(str(records), TARGET)
    two = foretell(replace(student, preprocessing=student.path), row(96), TARGET, experience)
    misfit = foretell(student, row(95), TARGET, experience)

    assert [one.phrase for one in two] == [
        "not predicted: it is two files, and records and published figures are of one"
    ] * 2
    assert [one.interval_ms for one in misfit] == [None, None]


def test_without_records_published_figures_are_of_the_median(student):
    """None are of perceptrons, and the answer says so; without a budget nothing is asked."""
    (median,) = foretell(student, row(96), TARGET, read_experience(None, TARGET))

    assert median.percentile == "p50"
    assert "models with convolutions" in median.phrase
    assert foretell(student, row(96), replace(TARGET, budgets=Budgets()), None) == ()


def test_a_folder_that_does_not_hold_records_is_refused(tmp_path, records):
    """Before anything is trained: no folder, or a model that is no graph."""
    with pytest.raises(BadReport, match="there is no folder"):
        read_experience(str(tmp_path / "none"), TARGET)

    broken = records / "broken.onnx"
    broken.write_bytes(b"no graph")
    write_profile(
        make_profile(model_sha256=hashlib.sha256(b"no graph").hexdigest(), host=ON_BOARD), records / "broken.json"
    )
    with pytest.raises(BadConfiguration, match=r"broken\.onnx"):
        read_experience(str(records), TARGET)


FAR = """
devices:
  far: {description: a board, identity: [Board 9], status: invented, source: this test}
targets:
  far:
    device: far
    runtime: onnxruntime
    precisions: [fp32]
    budgets: {latency_ms: {p90: {fail: 50}}, model_size_mb: {fail: 50}}
"""


def time_ladder(data: Path, folder: Path) -> None:
    """Write each perceptron of the ladder with a profile from the board: 1 ns a parameter and 0.1 ms."""
    task = open_task(str(data), label=None, split=None, split_seed=0, schema=None, goal=None)
    family, inlet = open_family("mlp", task), fit_inlet(task)
    shape = shape_of(inlet, task)
    (name, array), *_ = task.validation.take(np.zeros(1, np.int64)).inputs.feeds().items()
    for size in family.ladder(shape):
        path = folder / f"{size.width}x{size.depth}.onnx"
        save_student(stand_in(family, size, shape, 0), inlet, path, facts={}, cut_for=None)
        profile = make_profile(
            ms=size.parameters * 1e-6 + 0.1,
            model=path.name,
            model_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            shapes=(Shape(name=name, sizes=array.shape),),
            host=ON_BOARD,
        )
        write_profile(profile, path.with_suffix(".json"))


@pytest.mark.slow
def test_a_run_for_a_board_that_is_not_here_predicts_what_it_ships(images_npz, tmp_path, brief):
    """Left open with the interval, kept in report and manifest, and judged by the gate where that is allowed."""
    records = tmp_path / "records"
    records.mkdir()
    time_ladder(images_npz, records)
    (tmp_path / "far.yaml").write_text(FAR)
    request = Request(
        data=str(images_npz),
        student="mlp",
        epochs=2,
        targets=("far",),
        targets_file=str(tmp_path / "far.yaml"),
        records=str(records),
    )
    (report,) = compress(request, output=tmp_path / "run")
    latency = report.verdict.judgements[0]

    assert (latency.provenance, latency.outcome) == (Provenance.PREDICTED, Outcome.INCONCLUSIVE)
    assert latency.low <= report.student.cost.parameters * 1e-6 + 0.1 <= latency.high
    assert read_report(tmp_path / "run" / "report.json").foretold == report.foretold
    assert str(records / "4x1.json") in (tmp_path / "run" / "manifest.json").read_text()
    assert exit_code_of(gate([report])) == 5
    assert exit_code_of(gate([report], allow_predicted=True)) == 0
