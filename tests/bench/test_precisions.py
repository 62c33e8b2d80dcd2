"""All precisions of a run's student are compared on its own test rows."""

import json

import pytest

from hpmkd_edge.bench.scoring import score
from hpmkd_edge.bench.scripts import precisions
from hpmkd_edge.errors import BadConfiguration, MeasurementFailed
from hpmkd_edge.export.conversion import save_graph, student_graph
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.tasks.source import open_task


@pytest.fixture
def run(table_csv):
    """A run with the student of a small table, untrained."""
    task = open_task(str(table_csv), label="kind")
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    module = FAMILIES["mlp"].build(FAMILIES["mlp"].ladder(shape)[1], shape, 0)
    folder = table_csv.parent / "run"
    folder.mkdir()
    save_graph(student_graph(module, inlet), folder / "student.onnx", {"hpmkd_edge.data_sha256": task.digest})
    return folder


def here(path, feeds, labels):
    found = score(path, feeds, labels)
    return found.accuracy, found.loss


def test_a_run_is_compared_in_all_precisions(run, table_csv, brief, monkeypatch, capsys):
    """With the goals judged, and read back the second time."""
    monkeypatch.setattr(precisions, "graded", here)
    monkeypatch.setitem(precisions.SAMPLINGS, "quick", brief())
    output = run.parent / "p.json"
    given = ["--run", str(run), "--data", f"{table_csv}:kind", "--output", str(output)]
    codes = [precisions.main(given) for _ in range(2)]
    result = json.loads(output.read_text())
    (row,) = result["rows"]
    files, (claim,) = row["files"], result["claims"].values()

    assert codes == [0, 0]
    assert list(files) == ["fp32", "fp16", "int8 x86", "int8 tensorrt"]
    assert files["fp32"]["file_ratio"] == files["fp32"]["p50_ratio"] == 1
    assert files["int8 x86"]["on_validation"]["calibration"] in ("minmax", "entropy", "percentile")
    assert claim["holds"] == (claim["drop_points"] <= 0.5 and claim["file_ratio"] <= 0.3)
    assert "layers kept" in capsys.readouterr().out


def test_other_rows_are_refused(run):
    """A student is compared on what it has not learned from."""
    with pytest.raises(BadConfiguration, match="made from other rows than those of digits"):
        precisions.task_of("digits", run / "student.onnx", 0)


def test_a_file_is_graded_in_a_process_of_its_own(run, table_csv):
    """What that one meets comes back under its own class."""
    (run / "broken.onnx").write_bytes(b"no graph")
    rows = open_task(str(table_csv), label="kind").validation
    with pytest.raises(MeasurementFailed, match=r"cannot load|broken\.onnx"):
        precisions.graded(run / "broken.onnx", rows.inputs.feeds(), rows.labels)
