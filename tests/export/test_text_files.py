"""A text student ships as two files, a runner, and one file that takes sentences where that can be."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sample_readers import reader
from torch import nn

from hpmkd_edge.bench.runtimes import tokenizer
from hpmkd_edge.bench.scoring import answer
from hpmkd_edge.entrance import entering, timed_row
from hpmkd_edge.errors import ConversionFailed, ParityBroken
from hpmkd_edge.export.artifact import follows_another
from hpmkd_edge.export.conversion import convert, export_teacher, needs_cut
from hpmkd_edge.export.graph_costs import node_costs
from hpmkd_edge.export.parity import compare_files
from hpmkd_edge.export.passes.half import halve
from hpmkd_edge.export.passes.quantize import observe, write_int8
from hpmkd_edge.export.precision import best_int8
from hpmkd_edge.export.text_files import TEXT_STUDENT, ship_text
from hpmkd_edge.export.text_graph import cannot_take_strings, string_graph
from hpmkd_edge.export.torch_graph import FromIds, torch_graph
from hpmkd_edge.students.inlet import fit_inlet
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.teachers.teacher import TorchGraph

CLASSES = {"hpmkd_edge.classes": '["bad", "good"]'}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A task, its inlet, a module, and its two files as they ship."""
    task, inlet, module = reader()
    folder = tmp_path_factory.mktemp("run")
    artifact = convert(module, inlet, task.validation, folder / "student.onnx", facts=CLASSES, answer=answer)
    shipped = shutil.copyfile(artifact.preprocessing, folder / "tokenizer.json")
    return task, inlet, module, replace(artifact, preprocessing=shipped)


def test_a_text_student_answers_as_its_module_from_the_sentence_on(made):
    """A sentence of nothing too."""
    task, inlet, module, artifact = made
    inputs = type(task.train.inputs).of(["", "good", *task.test.inputs.strings()])
    with torch.inference_mode():
        wanted = module(inlet.open(inlet.store(inputs))).softmax(1).numpy()
    given = answer(artifact.path, inputs.feeds(), preprocessing=artifact.preprocessing)

    assert artifact.parity.agreement == 1
    np.testing.assert_allclose(given, wanted, atol=1e-6)


def test_both_axes_are_free_and_both_files_say_what_they_are(made):
    """The tokenizer is the lexicon's to the byte, and the student knows its digest."""
    _, inlet, _, artifact = made
    model = onnx.load(artifact.path)
    (ids,) = model.graph.input
    facts = {one.key: one.value for one in model.metadata_props}
    files = json.loads(facts["hpmkd_edge.files"])

    assert [axis.dim_param for axis in ids.type.tensor_type.shape.dim] == ["batch", "tokens"]
    assert (ids.name, model.graph.output[0].name) == ("ids", "probabilities")
    assert artifact.preprocessing.read_bytes() == inlet.lexicon.tokenizer.encode()
    assert facts["hpmkd_edge.preprocessing_sha256"] == hashlib.sha256(artifact.preprocessing.read_bytes()).hexdigest()
    assert [(one["file"], one["runtime"], one["takes"], one["gives"]) for one in files] == [
        ("tokenizer.json", "tokenizers", "text", "ids"),
        ("student.onnx", "onnxruntime", "ids", "probabilities"),
    ]
    assert all(needs_cut(inlet, runtime) for runtime in ("onnxruntime", "tensorrt"))


def test_another_tokenizer_breaks_parity(made, tmp_path):
    """Parity begins at the sentence, not at the ids."""
    task, inlet, module, _ = made

    def reversing(path, feeds, *, preprocessing=None):
        ids = entering_ids(preprocessing, feeds)
        return answer(path, {"ids": np.where(ids, inlet.lexicon.pieces - ids, 0)})

    with pytest.raises(ParityBroken, match=r"is (needed|allowed)\."):
        convert(module, inlet, task.validation, tmp_path / "s.onnx", facts={}, answer=reversing)


def entering_ids(path, feeds):
    return tokenizer.load(path, feeds).run(feeds)


class Fixed(nn.Module):
    """Reads six pieces, no more and no fewer."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 4), nn.Linear(24, 2)

    def forward(self, ids):
        return self.head(self.embedding(ids).reshape(ids.shape[0], 24))


def test_a_model_that_fixes_the_number_of_pieces_is_refused():
    """The sentence says what was found."""
    ids = torch.ones((2, 6), dtype=torch.int64)
    with pytest.raises(ConversionFailed, match="inferred a static shape of 6"):
        torch_graph(FromIds(Fixed()).eval(), ids, name_in="ids", name_out="p", free=("rows", "tokens"))


def test_a_teacher_of_ids_takes_any_number_of_them(made, tmp_path):
    """It is timed on whatever row the student is."""
    _, _, module, _ = made
    graph = TorchGraph(module=module, example=torch.ones((1, 7), dtype=torch.int64), tokenizer="{}")
    path = export_teacher(graph, tmp_path / "teacher.onnx")

    assert answer(path, {"ids": np.ones((3, 5), np.int64)}).shape == (3, 2)


class Summing(nn.Module):
    """Reads six whole numbers a row: columns of a table, or pixels in one line."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 2)

    def forward(self, columns):
        return self.head(columns.float().reshape(-1, 6))


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8])
def test_a_teacher_of_whole_numbers_that_are_no_ids_keeps_its_columns(tmp_path, kind):
    """Only what a tokenizer runs before has a second free axis."""
    graph = TorchGraph(module=Summing().eval(), example=torch.ones((1, 6), dtype=kind))
    (rows, columns) = onnx.load(export_teacher(graph, tmp_path / "t.onnx")).graph.input[0].type.tensor_type.shape.dim

    assert (bool(rows.dim_param), columns.dim_value) == (True, 6)


def test_multiply_adds_grow_with_the_pieces(made):
    """Shapes are followed through lookup, mask and maximum."""
    macs = [sum(cost.macs for cost in node_costs(made[3].path, {"ids": (1, pieces)})) for pieces in (1, 2, 3)]

    assert macs[2] - macs[1] == macs[1] - macs[0] > 0


def test_other_precisions_answer_alike(made, tmp_path):
    """The mask before the maximum does not widen what eight bits span, nor does padding."""
    task, _, _, artifact = made
    feeds = entering(artifact, task.validation)
    halve(artifact.path, tmp_path / "half.onnx")
    observed = observe(artifact.path, feeds, "x86")
    half = compare_files(tmp_path / "half.onnx", artifact.path, feeds, precision="fp16", answer=answer)
    off = {}
    for calibration in ("minmax", "weights"):
        write_int8(observed, tmp_path / "int8.onnx", calibration=calibration)
        found = compare_files(tmp_path / "int8.onnx", artifact.path, feeds, precision="int8", answer=answer)
        off[calibration] = found.max_error

    assert half.max_error < 1e-3
    assert off["weights"] <= off["minmax"] < 0.02
    assert observed.tables


def test_weights_alone_leave_activations_as_they_are(made, tmp_path):
    """No activation is rounded: there is no QuantizeLinear, and the table holds bytes."""
    task, _, _, artifact = made
    observed = observe(artifact.path, entering(artifact, task.validation), "x86")
    write_int8(observed, tmp_path / "int8.onnx", calibration="weights")
    model = onnx.load(tmp_path / "int8.onnx")

    assert {"DequantizeLinear"} == {node.op_type for node in model.graph.node if "uantize" in node.op_type}
    assert max(model.graph.initializer, key=lambda one: len(one.raw_data)).data_type == onnx.TensorProto.INT8


def test_weights_alone_are_in_the_race_where_tables_are_most(made, tmp_path):
    """A file that only they answer well is theirs."""
    task, _, _, artifact = made

    def loss_of(path):
        rounded = any(node.op_type == "QuantizeLinear" for node in onnx.load(path).graph.node)
        return (0.5, 1.0) if rounded else (0.9, 0.1)

    found = best_int8(
        artifact.path,
        tmp_path / "int8.onnx",
        feeds=entering(artifact, task.validation),
        form="x86",
        loss_of=loss_of,
        most_drop=0.0,
    )

    assert (found.calibration, found.kept) == ("weights", ())


def test_the_timed_row_is_longer_than_all_but_one_in_twenty(made):
    """Of texts; of images and tables it is the first."""
    task, inlet, _, _ = made
    lengths = inlet.lengths(inlet.store(task.validation.inputs)).numpy()
    row = timed_row(task, inlet)
    (length,) = inlet.lengths(inlet.store(row.inputs)).numpy()
    digits = open_task("digits")

    assert (lengths <= length).mean() >= 0.95 > (lengths < length).mean()
    assert timed_row(digits, fit_inlet(digits)).positions[0] == digits.validation.positions[0]


@pytest.mark.slow
def test_the_runner_answers_as_a_user_starts_it(made):
    """In the run's folder, by arguments or standard input, with no more than two packages."""
    task, _, _, artifact = made
    folder, texts = artifact.path.parent, ["", *task.test.inputs.strings()[:70]]
    ship_text(artifact, folder, rows=task.validation, answer=answer)
    command = [sys.executable, "run_text.py"]
    asked = subprocess.run(command, cwd=folder, input="\n".join(texts), capture_output=True, text=True, check=True)
    one = subprocess.run([*command, texts[1]], cwd=folder, capture_output=True, text=True, check=True)
    inputs = type(task.train.inputs).of(texts)
    wanted = answer(artifact.path, inputs.feeds(), preprocessing=artifact.preprocessing)
    lines = [line.split("\t") for line in asked.stdout.splitlines()]

    assert [line[0] for line in lines] == [("bad", "good")[best] for best in wanted.argmax(1)]
    assert [line[2] for line in lines] == texts
    np.testing.assert_allclose([float(line[1]) for line in lines], wanted.max(1), atol=6e-4)
    assert one.stdout.splitlines() == asked.stdout.splitlines()[1:2]


@pytest.mark.slow
def test_the_runner_takes_any_bytes_and_ends_a_line_at_a_line_feed(made):
    """A form feed is inside of a sentence, and what is no UTF-8 is one sign that cannot be read."""
    task, _, _, artifact = made
    folder = artifact.path.parent
    ship_text(artifact, folder, rows=task.validation, answer=answer)
    command = [sys.executable, "-X", "utf8", "run_text.py"]

    def sentences(arguments, given=b""):
        told = subprocess.run([*command, *arguments], cwd=folder, input=given, capture_output=True, check=True)
        return [line.split("\t")[2] for line in told.stdout.decode().removesuffix("\n").split("\n") if line]

    assert sentences([], b"good\x0cbad\n\ncaf\xe9\n") == ["good\x0cbad", "", "caf\ufffd"]
    assert sentences([b"caf\xe9", "café"]) == ["caf\ufffd", "café"]
    assert sentences([]) == []


@pytest.fixture(scope="module")
def strings(made):
    """The graph that reads sentences, in ONNX Runtime."""
    pytest.importorskip("onnxruntime_extensions")
    path = made[3].path.with_name("strings.onnx")
    onnx.save(string_graph(made[1].lexicon.tokenizer), path)
    from hpmkd_edge.bench.runtimes import onnx_runtime

    return onnx_runtime.load(path, 1, tokenizer.feeds_of([]))


# Letters, signs and accents that the operator reads as the library does, and scripts whose words are unknown to both;
# `cannot_take_strings` names the rest.
LETTERS = st.lists(
    st.one_of(
        st.text(alphabet="abz QÉïñ.,!?-'\"0129$_#\t\u00a0", max_size=20),
        st.sampled_from([" 東京 ", " привет ", " 😀 ", " ไทย "]),
    ),
    max_size=5,
).map("".join)


@given(texts=st.lists(LETTERS, min_size=1, max_size=4))
def test_the_operators_read_as_the_tokenizer_does(made, strings, texts):
    """Id for id, any number of sentences, cut and padded alike."""
    wanted = entering_ids(made[3].preprocessing, tokenizer.feeds_of(texts))

    np.testing.assert_array_equal(strings.run(tokenizer.feeds_of(texts)), wanted)


def test_a_file_that_takes_sentences_answers_as_the_two_do(made):
    """It is one file, which follows no other."""
    pytest.importorskip("onnxruntime_extensions")
    task, _, _, artifact = made
    note = ship_text(artifact, artifact.path.parent, rows=task.validation, answer=answer)
    path = artifact.path.with_name(TEXT_STUDENT)
    feeds = task.test.inputs.feeds()

    assert note.startswith("student-text.onnx takes sentences")
    assert not follows_another(path)
    wanted = answer(artifact.path, feeds, preprocessing=artifact.preprocessing)
    np.testing.assert_allclose(answer(path, feeds), wanted, atol=1e-6)


def test_a_tokenizer_of_bytes_has_no_such_file(tmp_path):
    """The note says why, and the runner is there."""
    pytest.importorskip("onnxruntime_extensions")
    task, inlet, module = reader("bytes")
    artifact = convert(module, inlet, task.validation, tmp_path / "student.onnx", facts=CLASSES, answer=answer)
    note = ship_text(artifact, tmp_path, rows=task.validation, answer=answer)

    assert "its tokenizer is a BPE, normalized by None and split by ByteLevel" in note
    assert (tmp_path / "run_text.py").exists()
    assert not (tmp_path / TEXT_STUDENT).exists()


def test_a_sentence_that_is_read_otherwise_keeps_the_file_back(made, tmp_path):
    """Control characters are the operator's own way."""
    pytest.importorskip("onnxruntime_extensions")
    task, _, _, artifact = made
    odd = replace(task.validation, inputs=type(task.train.inputs).of(["good\x00 bad", *["good"] * 79]))
    note = ship_text(artifact, tmp_path, rows=odd, answer=answer)

    assert "reads 1 of 80 validation sentences otherwise" in note
    assert not (tmp_path / TEXT_STUDENT).exists()


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("model", "max_input_chars_per_word", 50),
        ("normalizer", "strip_accents", False),
        ("normalizer", "clean_text", False),
    ],
)
def test_other_settings_than_berts_are_refused(made, part, key, value):
    """Only what is known to be read alike is."""
    pytest.importorskip("onnxruntime_extensions")
    spec = json.loads(made[1].lexicon.tokenizer)
    spec[part][key] = value

    assert "other settings than BERT's own" in cannot_take_strings(json.dumps(spec))


def test_the_operators_that_read_text_cost_no_other_package(strings):
    """Their own imports transformers and torch, whose memory would be measured as the student's."""
    code = (
        "import sys; from pathlib import Path; from hpmkd_edge.bench.runtimes import onnx_runtime;"
        f"onnx_runtime.inputs(Path({str(strings.path)!r}));"
        "sys.exit(bool({'torch', 'transformers', 'onnxruntime_extensions'} & {*sys.modules}))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
