"""Any ONNX file in another precision: made, compared, graded and timed, and written only where it answers well."""

import json
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from sample_crash import name_or_crash
from sample_graphs import floats, images_graph, save_nodes
from sample_readers import reader

from hpmkd_edge import exporting
from hpmkd_edge.bench import isolation
from hpmkd_edge.bench.runtimes import tensor_rt
from hpmkd_edge.cli import main
from hpmkd_edge.errors import BadConfiguration, BadData, BadOutput, MeasurementFailed, ParityBroken
from hpmkd_edge.export.artifact import precision_of
from hpmkd_edge.export.text_graph import string_graph
from hpmkd_edge.exporting import ExportWish, export
from hpmkd_edge.report.export_text import exported_as_json, notes_of


@pytest.fixture(autouse=True)
def _here(monkeypatch, brief):
    """Files are run in this process: one of its own takes a second to start."""
    monkeypatch.setattr(exporting, "isolated", lambda work, path, *given: work(path, *given))


@pytest.fixture
def images(tmp_path):
    """A model of images, and its rows with the classes that it gives them."""
    path, feeds = images_graph(tmp_path / "m.onnx")
    rows = feeds(120)
    labels = exporting.outputs(path, rows).argmax(1)
    np.savez(tmp_path / "rows.npz", **rows, kind=labels)
    return path


def pair_graph(path, batch="batch", out=1):
    """Two inputs, a row of numbers and a word's number, to *out* numbers that are no probabilities."""
    nodes = [
        ("MatMul", ["x", "w1"], "h1", {}),
        ("Gather", ["table", "word"], "h2", {}),
        ("Add", ["h1", "h2"], "h3", {}),
        ("Relu", ["h3"], "h4", {}),
        ("MatMul", ["h4", "w2"], "y", {}),
    ]
    constants = {
        "w1": floats(6, 32, seed=1, scale=1), "table": floats(40, 32, seed=2, scale=1), "w2": floats(32, out, seed=3)
    }  # fmt: skip
    inputs = [("x", TensorProto.FLOAT, [batch, 6]), ("word", TensorProto.INT64, [batch])]
    save_nodes(path, inputs, nodes, constants, "y", classes=out)
    if batch != "batch":
        model = onnx.load(path)
        model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = batch
        onnx.save(model, path)
    generator = np.random.default_rng(0)
    rows = {"x": generator.standard_normal((90, 6)), "word": generator.integers(0, 40, 90).astype(np.int32)}
    np.savez(path.with_suffix(".npz"), **rows)
    return path


def wish(model, precision="int8", **changes):
    given = {"rows": model.with_name("rows.npz"), "output": model.with_name("new.onnx"), **changes}
    return ExportWish(model=model, precision=precision, **given)


def test_int8_of_a_file_that_reads_text_is_refused(tmp_path):
    """Whatever rows are given: its weights lie behind operators that take none of them."""
    pytest.importorskip("onnxruntime_extensions")
    _, inlet, _ = reader()
    path = tmp_path / "student-text.onnx"
    onnx.save(string_graph(inlet.lexicon.tokenizer), path)

    with pytest.raises(BadConfiguration, match=r"reads text by operators of ai\.onnx\.contrib, .* as student\.onnx"):
        export(wish(path, rows=tmp_path / "rows.npz", output=tmp_path / "int8.onnx"))


def test_int8_by_labels_is_written_and_told(images):
    """Half of the rows calibrates, the other half grades; the fp32 file is right by its own labels."""
    made = export(wish(images, label="kind", max_drop=0.2))

    assert precision_of(images.with_name("new.onnx")) == "int8"
    assert (made.grade.measure, made.grade.full_score, made.grade.rows) == ("accuracy", 1.0, 60)
    assert made.grade.score >= 0.8
    assert made.quantized.calibration_rows == 60
    assert made.bytes == images.with_name("new.onnx").stat().st_size
    assert made.timing.runtime.startswith("onnxruntime")
    assert made.exit_code == 0


def test_what_loses_too_much_is_not_written(images, monkeypatch):
    """And ends with 1, the code of a broken budget."""
    grade = exporting.Standard.grade
    monkeypatch.setattr(
        exporting.Standard,
        "grade",
        lambda standard, answers: grade(standard, answers) if answers is standard.origin else (0.5, 1.0),
    )
    made = export(wish(images))

    assert made.exit_code == 1
    assert made.output is None
    assert not images.with_name("new.onnx").exists()
    assert "Nothing was written: keep fp32" in next(notes_of(made))


def test_without_labels_values_are_graded_by_the_fp32_file(tmp_path):
    """Of two inputs, cast without loss; R² of the file itself is 1."""
    model = pair_graph(tmp_path / "pair.onnx")
    made = export(wish(model, rows=tmp_path / "pair.npz", max_drop=0.1))
    as_json = exported_as_json(made)

    assert (made.grade.measure, made.grade.full_score, made.grade.full_loss) == ("R²", 1.0, 0.0)
    assert made.grade.score > 0.9
    assert made.parity.of == "value"
    assert as_json["schema"] == "hpmkd-edge/export/1"
    assert json.loads(json.dumps(as_json))["grade"]["fits"]


def test_a_file_of_a_fixed_batch_is_run_on_whole_batches(tmp_path):
    """Logits are graded as classes, by a softmax of them; rows that fill no batch are left out."""
    model = pair_graph(tmp_path / "pair.onnx", batch=4, out=3)
    made = export(wish(model, rows=tmp_path / "pair.npz", max_drop=0.5))

    assert (made.grade.measure, made.grade.rows) == ("agreement", 44)
    assert made.quantized.calibration_rows == 44
    assert made.timing.batch == 4


def test_a_file_of_a_fixed_batch_as_large_as_a_run_is_searched_on_whole_batches(tmp_path, monkeypatch):
    """The layer that differs is found on as many rows as the file takes, and not on the few that differ."""
    model = pair_graph(tmp_path / "pair.onnx", batch=exporting.ROWS_A_RUN, out=3)
    seen = []
    monkeypatch.setattr(exporting, "differing_node", lambda file, origin, feeds, *_: seen.append(len(feeds["x"])))

    def spoil(source, output):
        made = onnx.load(source)
        weights = next(one for one in made.graph.initializer if one.name == "w2")
        weights.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weights), "w2"))
        onnx.save(made, output)

    monkeypatch.setattr(exporting, "halve", spoil)
    with pytest.raises(ParityBroken, match="fp16"):
        export(wish(model, "fp16", rows=None))

    assert set(seen) == {exporting.ROWS_A_RUN}


def test_fp16_without_rows_says_so(images):
    """It is compared on made-up values, and graded by nothing."""
    made = export(wish(images, "fp16", rows=None))

    assert precision_of(images.with_name("new.onnx")) == "fp16"
    assert made.grade is None
    assert any("made-up rows" in note for note in notes_of(made))


def test_a_file_that_answers_otherwise_is_not_written(images, monkeypatch):
    """The first layer that differs is named."""

    def spoil(source, output):
        model = onnx.load(source)
        weights = next(one for one in model.graph.initializer if one.name == "w3")
        weights.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weights), "w3"))
        onnx.save(model, output)

    monkeypatch.setattr(exporting, "halve", spoil)
    with pytest.raises(ParityBroken, match="The first layer that differs is n_logits"):
        export(wish(images, "fp16"))

    assert not images.with_name("new.onnx").exists()


def test_a_runtime_that_is_not_here_is_said(images, monkeypatch):
    """The file is made all the same."""
    monkeypatch.setattr(tensor_rt, "missing", lambda: "no GPU.")
    made = export(wish(images, form="tensorrt", max_drop=0.5))

    assert (made.timing, made.not_timed) == (None, "tensorrt cannot run here: no GPU.")
    assert images.with_name("new.onnx").exists()


def test_what_is_timed_elsewhere_is_not_timed_here(images, monkeypatch):
    """The matrix times all files in turn; the file is the same."""
    timed = []
    monkeypatch.setattr(exporting, "compare", lambda *arguments, **options: timed.append(arguments))
    made = export(wish(images, "fp16", timed=False))

    assert (made.timing, made.not_timed, timed) == (None, "nobody asked for it.", [])
    assert images.with_name("new.onnx").exists()


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"rows": None}, BadConfiguration, "int8 is calibrated and graded on real rows; --rows"),
        ({"precision": "fp16", "rows": None, "label": "y"}, BadConfiguration, "labels 'y' are on real rows"),
        ({"label": "kin"}, BadData, "has no array 'kin', the label. Did you mean 'kind'"),
        ({"max_drop": 2.0}, BadConfiguration, "a share from 0 to 1"),
        ({"output": "new.engine"}, BadConfiguration, r"ends in \.onnx"),
        ({"output": "m.onnx", "force": True}, BadConfiguration, "is the model itself"),
        ({"output": "rows.onnx"}, BadOutput, "exists; another --output, or --force"),
        ({"output": "none/new.onnx"}, BadOutput, "there is no folder"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(images, changes, kind, sentence):
    """Found, then needed; before any work."""
    images.with_name("rows.onnx").write_bytes(b"taken")
    if "output" in changes:
        changes = {**changes, "output": images.parent / changes["output"]}
    with pytest.raises(kind, match=sentence):
        export(wish(images, **changes))


def test_what_is_of_another_precision_already_is_refused(images):
    """It would lose twice."""
    export(wish(images, "fp16"))
    with pytest.raises(BadConfiguration, match=r"new\.onnx is of fp16 already; an fp32 file is needed"):
        export(wish(images.with_name("new.onnx"), "int8", output=images.with_name("other.onnx")))


def test_force_replaces_a_file(images):
    """Whole, and with nothing left beside it."""
    images.with_name("new.onnx").write_bytes(b"old")
    export(wish(images, "fp16", force=True))

    assert precision_of(images.with_name("new.onnx")) == "fp16"
    assert sorted(path.name for path in images.parent.iterdir()) == ["m.onnx", "new.onnx", "rows.npz"]


def test_a_crash_of_a_process_of_its_own_is_a_sentence(tmp_path):
    """This process goes on; where it does not crash, its answer comes back."""
    with pytest.raises(MeasurementFailed, match=r"the process that ran m\.onnx crashed"):
        isolation.isolated(name_or_crash, tmp_path / "m.onnx", True)

    assert isolation.isolated(name_or_crash, tmp_path / "m.onnx", False) == "m.onnx"


def test_the_command_prints_for_people_and_for_machines(images, monkeypatch, capsys):
    """With the same file; --check goes with it, and flags of the one without the other are refused."""
    given = ["hpmkd-edge", "export", str(images), "--precision", "fp16"]
    rows = ["--rows", str(images.with_name("rows.npz")), "--max-drop", "1"]

    def call(*more):
        monkeypatch.setattr(sys, "argv", [*given, *more])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    text = call(*rows, "--output", str(images.with_name("a.onnx")))
    machine = call(*rows, "--output", str(images.with_name("b.onnx")), "--format", "json")
    idle = call("--dla", "1", "--output", str(images.with_name("c.onnx")))

    assert (text[0], machine[0], idle[0]) == (0, 0, 2)
    assert "m.onnx in fp16" in text[1]
    assert json.loads(machine[1])["precision"] == "fp16"
    assert "--dla was given without --check" in idle[2]
