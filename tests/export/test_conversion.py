"""The exported file answers as the student does, from raw rows on, and carries what a board needs."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from hpmkd_edge.bench.scoring import answer
from hpmkd_edge.errors import ConversionFailed, ParityBroken
from hpmkd_edge.export.conversion import (
    convert,
    export_teacher,
    needs_cut,
    save_graph,
    save_student,
    student_graph,
)
from hpmkd_edge.export.parity import check_parity, compare_answers, compare_values
from hpmkd_edge.export.torch_graph import cause_of
from hpmkd_edge.export.versions import IR_VERSION, OPSET
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.teachers.teacher import TorchGraph


@pytest.fixture(scope="module")
def digits():
    return open_task("digits")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "t.csv"
    generator = np.random.default_rng(0)
    lines = ["age,job title,owns,y"]
    for number in range(90):
        age = "" if number % 11 == 0 else f"{generator.normal(40, 9):.2f}"
        lines.append(
            f"{age},{generator.choice(['cook', 'müller', ''])},{generator.choice(['true', 'false'])},{'ab'[number % 2]}"
        )
    path.write_text("\n".join(lines))
    return open_task(str(path), label="y")


def built(task, family, rung=1):
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    return FAMILIES[family].build(FAMILIES[family].ladder(shape)[rung], shape, 0).eval(), inlet


@pytest.mark.parametrize(
    ("data", "family"), [("digits", "residual"), ("digits", "depthwise"), ("digits", "mlp"), ("table", "mlp")]
)
def test_the_file_answers_as_the_student_does(data, family, request, tmp_path):
    """From raw rows to probabilities, for one row as for many."""
    task = request.getfixturevalue(data)
    module, inlet = built(task, family)
    artifact = convert(module, inlet, task.validation, tmp_path / "s.onnx", facts={}, answer=answer)
    feeds = task.validation.inputs.feeds()
    together = answer(artifact.path, feeds)
    alone = answer(artifact.path, {name: array[:1] for name, array in feeds.items()})

    assert artifact.parity.agreement == 1
    assert artifact.parity.max_error < 1e-5
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(alone[0], together[0], atol=1e-5)


def test_the_file_is_clean_and_whole(digits, tmp_path):
    """One file, stated opset and IR, free batch axis, facts in its metadata, no traces of the exporter's machine."""
    module, inlet = built(digits, "residual")
    path = tmp_path / "s.onnx"
    save_graph(student_graph(module, inlet), path, {"hpmkd_edge.classes": json.dumps(digits.classes)})
    model = onnx.load(path)
    session = onnxruntime.InferenceSession(path)

    assert [file.name for file in tmp_path.iterdir()] == ["s.onnx"]
    assert model.ir_version == IR_VERSION
    assert {(o.domain, o.version) for o in model.opset_import} == {("", OPSET)}
    assert json.loads(session.get_modelmeta().custom_metadata_map["hpmkd_edge.classes"]) == list(digits.classes)
    (images,) = session.get_inputs()
    assert (images.name, images.type, images.shape[1:]) == ("images", "tensor(uint8)", [8, 8, 1])
    assert isinstance(images.shape[0], str)
    assert [output.name for output in session.get_outputs()] == ["probabilities"]
    assert not any(node.metadata_props for node in model.graph.node)
    assert b"site-packages" not in path.read_bytes()


def test_a_table_s_columns_enter_by_their_own_names(table, tmp_path):
    """Numbers as float32, text as strings, one row an array of shape [N, 1]."""
    module, inlet = built(table, "mlp")
    path = tmp_path / "s.onnx"
    save_graph(student_graph(module, inlet), path, {})
    inputs = {i.name: i.type for i in onnxruntime.InferenceSession(path).get_inputs()}

    assert inputs == {"age": "tensor(float)", "job title": "tensor(string)", "owns": "tensor(float)"}


def test_a_cut_student_answers_as_a_whole_one(table, tmp_path):
    """Raw rows through both files give what one file gives, and parity is of both; one row as many."""
    module, inlet = built(table, "mlp")
    rows = table.validation
    whole = convert(module, inlet, rows, tmp_path / "w.onnx", facts={}, answer=answer)
    cut = convert(module, inlet, rows, tmp_path / "s.onnx", facts={}, answer=answer, cut_for="tensorrt")
    feeds = rows.inputs.feeds()
    one = {name: array[:1] for name, array in feeds.items()}
    together = answer(cut.path, feeds, preprocessing=cut.preprocessing)

    assert cut.parity == whole.parity
    np.testing.assert_allclose(together, answer(whole.path, feeds), atol=1e-6)
    np.testing.assert_allclose(answer(cut.path, one, preprocessing=cut.preprocessing)[0], together[0], atol=1e-6)
    assert cut.file_bytes == cut.path.stat().st_size + cut.preprocessing.stat().st_size


def test_both_files_of_a_cut_student_say_which_runs_where_and_when(table, tmp_path):
    """The order and the runtimes in both; the digest of the first in the second, whose own thus covers both."""
    module, inlet = built(table, "mlp")
    cut = save_student(module, inlet, tmp_path / "s.onnx", facts={"x": "y"}, cut_for="tensorrt")
    first, second = (onnx.load(path) for path in (cut.preprocessing, cut.path))
    facts = [{one.key: one.value for one in model.metadata_props} for model in (first, second)]
    files = json.loads(facts[0]["hpmkd_edge.files"])

    assert facts[0]["hpmkd_edge.files"] == facts[1]["hpmkd_edge.files"]
    assert facts[0]["x"] == facts[1]["x"] == "y"
    assert [(one["file"], one["runtime"]) for one in files] == [
        ("preprocessing.onnx", "onnxruntime"),
        ("student.onnx", "tensorrt"),
    ]
    assert facts[1]["hpmkd_edge.preprocessing_sha256"] == hashlib.sha256(cut.preprocessing.read_bytes()).hexdigest()
    assert [one.name for one in second.graph.input] == [one.name for one in first.graph.output] == ["features"]
    assert [one.name for one in second.graph.output] == ["probabilities"]


def test_a_column_called_features_does_not_break_the_cut(tmp_path):
    """The link between the files then has another name, the same in both."""
    lines = ["features,word,y", *(f"{number}.5,{'uv'[number % 3 == 0]},{'ab'[number % 2]}" for number in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    task = open_task(str(tmp_path / "t.csv"), label="y")
    module, inlet = built(task, "mlp")
    cut = convert(module, inlet, task.validation, tmp_path / "s.onnx", facts={}, answer=answer, cut_for="tensorrt")

    assert cut.parity.agreement == 1


def test_parity_goes_through_the_preprocessing_too(table, tmp_path):
    """A preprocessing file that lies stops the run, though what follows it is right."""
    module, inlet = built(table, "mlp")

    first = tmp_path / "s-preprocessing.onnx"

    def lying(path, feeds, *, preprocessing=None):
        if preprocessing is None:
            return answer(path, feeds) + 3 * (path == first)
        (name,) = (one.name for one in onnx.load(path).graph.input)
        return answer(path, {name: answer(preprocessing, feeds) + 3})

    with pytest.raises(ParityBroken, match=r"is (needed|allowed)\."):
        convert(module, inlet, table.validation, tmp_path / "s.onnx", facts={}, answer=lying, cut_for="tensorrt")


def test_only_a_table_with_more_than_numbers_is_cut_and_only_for_tensorrt(digits, table, tmp_path):
    """ONNX Runtime takes everything in one file, TensorRT bytes and floats."""
    lines = ["a,b,y", *(f"{i}.5,{'' if i % 7 == 0 else i},{i % 2}" for i in range(60))]
    (tmp_path / "n.csv").write_text("\n".join(lines))
    numbers = open_task(str(tmp_path / "n.csv"), label="y")

    assert needs_cut(fit_inlet(table), "tensorrt")
    assert not needs_cut(fit_inlet(table), "onnxruntime")
    assert not needs_cut(fit_inlet(numbers), "tensorrt")
    assert not needs_cut(fit_inlet(digits), "tensorrt")


def test_the_same_student_gives_the_same_bytes(digits, tmp_path):
    """So that a run can be repeated to the file."""
    module, inlet = built(digits, "mlp")
    for name in ("a", "b"):
        save_graph(student_graph(module, inlet), tmp_path / name, {"x": "y"})

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class Branching(nn.Module):
    """A module that no tracer can follow."""

    def forward(self, x):
        return torch.zeros(len(x), 10) if float(x.sum()) > 0 else torch.ones(len(x), 10)


class Faulty(nn.Module):
    """A module that raises an error of its own."""

    def __init__(self, *message):
        super().__init__()
        self.message = message

    def forward(self, x):
        raise ValueError(*self.message)


@pytest.mark.parametrize(
    ("module", "cause"),
    [
        (Branching(), "Could not guard on data-dependent expression"),
        (Faulty("\n\x1b[96mx has 64 columns\x1b[0m; 3 are needed.\nmore"), "x has 64 columns; 3 are needed;"),
        (Faulty(), "ValueError;"),
        (Faulty(" \n"), "ValueError;"),
    ],
)
def test_what_torch_cannot_export_is_said_in_one_sentence(digits, module, cause):
    """With the cause, not the step in which the exporter met it, without colors, and with what is needed."""
    with pytest.raises(ConversionFailed, match=f"to ONNX: {cause}.*is needed") as raised:
        student_graph(module, fit_inlet(digits))

    assert not {"\n", "\x1b"} & set(str(raised.value))
    assert "step 1/3" not in str(raised.value)


def test_the_cause_of_errors_in_a_circle_is_one_of_them():
    """The search ends."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    assert cause_of(first) == "second"


def test_an_exporter_that_lies_is_caught(digits, tmp_path):
    """Parity compares real answers: a file with other weights stops the run."""
    module, inlet = built(digits, "mlp")
    other, _ = built(digits, "mlp")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    save_graph(student_graph(other, inlet), tmp_path / "other.onnx", {})
    with pytest.raises(ParityBroken, match="is needed"):
        convert(
            module,
            inlet,
            digits.validation,
            tmp_path / "s.onnx",
            facts={},
            answer=lambda _, feeds, *, preprocessing: answer(tmp_path / "other.onnx", feeds),
        )


def test_parity_counts_a_draw_as_agreement_and_nan_as_none():
    """Two classes within 1e-4 may come out either way; NaN never passes."""
    wanted = np.array([[0.5, 0.49995, 0.00005], [0.9, 0.1, 0.0]], np.float32)
    given = np.array([[0.49995, 0.5, 0.00005], [0.9, 0.1, 0.0]], np.float32)

    assert compare_answers(given, wanted).agreement == 1
    assert compare_answers(wanted[:, ::-1], wanted).agreement < 1
    with pytest.raises(ParityBroken):
        check_parity(compare_answers(np.full_like(wanted, np.nan), wanted), "fp32")


def test_a_torch_teacher_can_be_exported_for_timing(tmp_path):
    """From its preprocessed input to logits."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)).eval()
    path = export_teacher(TorchGraph(module=module, example=torch.ones(1, 3, 2, 2)), tmp_path / "t.onnx")
    (logits,) = onnxruntime.InferenceSession(path).run(None, {"input": np.ones((1, 3, 2, 2), np.float32)})

    np.testing.assert_allclose(logits, module(torch.ones(1, 3, 2, 2)).detach().numpy(), atol=1e-6)


def test_a_file_of_values_answers_in_their_units(table, tmp_path):
    """Mean and deviation of train are multiplied back inside; parity is counted in deviations, whatever the unit."""
    valued = {
        part: replace(rows, labels=np.linspace(4000, 9000, len(rows), dtype=np.float32))
        for part, rows in (("train", table.train), ("validation", table.validation), ("test", table.test))
    }
    task = replace(table, classes=(), **valued)
    module, inlet = built(task, "mlp")
    artifact = convert(module, inlet, task.validation, tmp_path / "s.onnx", facts={}, answer=answer)
    given = answer(artifact.path, task.validation.inputs.feeds())
    with torch.inference_mode():
        learned = module(inlet.open(inlet.store(task.validation.inputs))).numpy()

    assert [output.name for output in onnx.load(artifact.path).graph.output] == ["value"]
    np.testing.assert_allclose(given, learned * inlet.scale.deviation + inlet.scale.mean, rtol=1e-5)
    assert (artifact.parity.of, artifact.parity.agreement) == ("value", 1.0)
    assert artifact.parity.max_error < 1e-5
    off = compare_values(given + np.float32(10), learned, inlet.scale)
    with pytest.raises(ParityBroken, match=r"a value of the fp32 file is off by 0\.\d+ deviations of the label"):
        check_parity(off, "fp32")
