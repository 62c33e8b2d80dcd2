"""A tokenizer before a model: sentences go in, and the two files are timed and scored as one."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, save
from sample_readers import reader
from sample_records import make_target
from typer.testing import CliRunner

from hpmkd_edge.bench import worker
from hpmkd_edge.bench.change import check_comparable
from hpmkd_edge.bench.job import Job
from hpmkd_edge.bench.lengths import latency_by_length, sentences_by_length
from hpmkd_edge.bench.measurement import measure
from hpmkd_edge.bench.protocol import Sampling
from hpmkd_edge.bench.runtimes import tokenizer
from hpmkd_edge.bench.runtimes.feeds import feeds_of_student
from hpmkd_edge.bench.scoring import answer, entered, score
from hpmkd_edge.cli import app
from hpmkd_edge.errors import BadConfiguration, MeasurementFailed, RuntimeUnavailable
from hpmkd_edge.export.conversion import save_student
from hpmkd_edge.history import entry_of

BRIEF = Sampling(
    name="brief",
    least_runs=64,
    least_seconds=0.05,
    processes=1,
    warmup_runs=4,
    warmup_seconds=0.02,
    warmup_limit_seconds=1.0,
    settled=0.5,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A task, its inlet, and a student in its two files."""
    task, inlet, module = reader()
    artifact = save_student(module, inlet, tmp_path_factory.mktemp("student") / "student.onnx", facts={})
    return task, inlet, artifact


@pytest.fixture(scope="module")
def session(made):
    return tokenizer.load(made[2].preprocessing, tokenizer.feeds_of([]))


@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_ids_are_the_inlets_own(made, session, texts):
    """Whatever is written: cut, padded at the right with 0, one column at least."""
    task, inlet, _ = made
    wanted = inlet.open(inlet.store(type(task.train.inputs).of(texts))).numpy()

    np.testing.assert_array_equal(session.run(tokenizer.feeds_of(texts)), wanted)


def test_a_sentence_is_read_alike_in_every_batch(made):
    """Its neighbors only add padding, and answers do not depend on that."""
    task, _, artifact = made
    feeds = task.test.inputs.feeds()
    whole = answer(artifact.path, feeds, preprocessing=artifact.preprocessing)
    few = answer(artifact.path, feeds, preprocessing=artifact.preprocessing, batch=3)

    np.testing.assert_allclose(few, whole, atol=1e-6)
    assert score(
        artifact.path, feeds, task.test.labels, preprocessing=artifact.preprocessing
    ).accuracy == pytest.approx((whole.argmax(1) == task.test.labels).mean())


def test_what_enters_the_model_is_called_as_its_input(made):
    """The ids of all rows, padded to the longest."""
    task, inlet, artifact = made
    (name,) = found = entered(artifact.preprocessing, task.test.inputs.feeds())

    assert name == "ids"
    np.testing.assert_array_equal(found["ids"], inlet.open(inlet.store(task.test.inputs)).numpy())


@pytest.mark.parametrize(("texts", "said"), [(["\ud800"], "text is needed"), ([3], "text is needed")])
def test_what_is_no_text_is_refused(session, texts, said):
    """A lone surrogate has no UTF-8."""
    with pytest.raises(MeasurementFailed, match=said):
        session.run(tokenizer.feeds_of(texts))


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    """By its content, its absence, or what it is fed."""
    path = tmp_path / "tokenizer.json"
    with pytest.raises(BadConfiguration, match="there is no file"):
        tokenizer.load(path, tokenizer.feeds_of([]))
    path.write_text("{}")
    with pytest.raises(MeasurementFailed, match=r"is no tokenizer: .*; a tokenizer\.json is needed"):
        tokenizer.load(path, tokenizer.feeds_of([]))


def test_other_feeds_than_text_are_refused(made):
    """The name is checked as a graph's are."""
    with pytest.raises(MeasurementFailed, match="was fed ids; it needs text"):
        tokenizer.load(made[2].preprocessing, {"ids": np.zeros((1, 1), np.int64)})


def test_without_the_library_a_sentence_says_how_to_get_it(made, monkeypatch):
    """Nothing else stands in for it."""
    monkeypatch.setattr(tokenizer, "find_spec", lambda _name: None)
    with pytest.raises(RuntimeUnavailable, match=r"pip install 'hpmkd-edge\[text\]'"):
        tokenizer.load(made[2].preprocessing, tokenizer.feeds_of([]))


def test_a_machine_without_the_library_is_found_before_there_is_a_model(monkeypatch):
    """A board is asked so, before hours are spent on what it cannot read."""
    job = Job(runtime="onnxruntime", threads=1, models=(), preprocessing=(), names=(), sampling=None, tokenized=True)

    assert worker._carry_out(job, ())[0].models == ()
    monkeypatch.setattr(tokenizer, "find_spec", lambda _name: None)
    with pytest.raises(RuntimeUnavailable, match="on a board pip install tokenizers"):
        worker._carry_out(job, ())
    assert worker._carry_out(replace(job, tokenized=False), ())[0].models == ()


def test_the_sentence_that_is_made_up_has_as_many_pieces_as_are_read(made, session):
    """32, or all that the tokenizer keeps; the same at every call."""
    _, inlet, artifact = made
    text = tokenizer.made_up_text(artifact.preprocessing)

    assert session.run(tokenizer.feeds_of([text])).shape == (1, min(32, inlet.length))
    assert tokenizer.made_up_text(artifact.preprocessing, 5) == tokenizer.made_up_text(artifact.preprocessing, 5)
    assert session.run(tokenizer.feeds_of([tokenizer.made_up_text(artifact.preprocessing, 5)])).shape == (1, 5)


def test_a_text_is_for_a_tokenizer_and_a_shape_is_not(made):
    """Each is refused beside the other."""
    artifact = made[2]
    with pytest.raises(BadConfiguration, match=r"takes ids, no sentences; --preprocessing tokenizer\.json is needed"):
        feeds_of_student(artifact.path, None, text="a")
    with pytest.raises(BadConfiguration, match="--shape gives ids"):
        feeds_of_student(artifact.path, artifact.preprocessing, shapes={"ids": (1, 3)})


def test_a_record_names_the_tokenizer_and_its_library(made):
    """Both files count in bytes, and what the model was fed hangs on the sentence."""
    artifact = made[2]
    feeds = tokenizer.feeds_of(["the plot is good"])
    found = measure(
        artifact.path, runtime="onnxruntime", feeds=feeds, sampling=BRIEF, preprocessing=artifact.preprocessing
    )

    assert (found.preprocessing.runtime, found.preprocessing.runtime_version) == ("tokenizers", tokenizer.version())
    assert found.model_bytes == artifact.file_bytes
    assert found.activation_bytes > 0
    assert [(one.name, one.sizes) for one in found.shapes] == [("text", (1,))]
    assert [(one.name, one.sizes) for one in found.entering] == [("ids", (1, len(session_ids(artifact, feeds))))]


def session_ids(artifact, feeds):
    return tokenizer.load(artifact.preprocessing, feeds).run(feeds)[0]


def test_records_of_other_sentences_are_no_two_of_one_feed(made):
    """Neither side by side nor in the history: a longer one takes longer."""
    artifact = made[2]
    short, long = (
        measure(
            artifact.path,
            runtime="onnxruntime",
            feeds=tokenizer.feeds_of([text]),
            sampling=BRIEF,
            preprocessing=artifact.preprocessing,
        )
        for text in ("good", "the plot is good")
    )
    target = make_target()

    with pytest.raises(BadConfiguration, match=r"different inputs, ids=1,1 text=1 and ids=1,\d+ text=1"):
        check_comparable(short, long)
    assert entry_of(short, target=target).feed != entry_of(long, target=target).feed


def test_a_file_that_takes_strings_is_fed_the_sentence(tmp_path):
    """By whatever name it has for it; one of several inputs, or of columns, takes none."""

    def saved(*inputs):
        nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name, _ in inputs]
        values = [helper.make_tensor_value_info(name, TensorProto.STRING, shape) for name, shape in inputs]
        outputs = [helper.make_tensor_value_info(f"{name}_out", TensorProto.STRING, shape) for name, shape in inputs]
        graph = helper.make_graph(nodes, "strings", values, outputs)
        path = tmp_path / f"{len(inputs)}-{len(inputs[0][1])}.onnx"
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
        return path

    assert feeds_of_student(saved(("said", ["n"])), None, text="a b")["said"].tolist() == ["a b"]
    for inputs in ([("a", ["n", 1])], [("a", ["n"]), ("b", ["n"])]):
        with pytest.raises(BadConfiguration, match="no sentences"):
            feeds_of_student(saved(*inputs), None, text="a b")


@pytest.mark.parametrize("kind", ["wordpiece", "bytes"])
def test_a_sentence_has_the_pieces_that_it_is_said_to_have(tmp_path, kind):
    """As it stands: bytes read a word behind a space otherwise than alone. Words without spaces are cut."""
    task, inlet, _ = reader(kind)
    path = tmp_path / "tokenizer.json"
    path.write_text(inlet.lexicon.tokenizer)
    native = tokenizer.load(path, tokenizer.feeds_of([])).native
    sentences = task.validation.inputs.strings()
    for words in (" ".join(sentences).split(), ["".join(sentences).replace(" ", "")], ["東京都に住んでいます" * 9]):
        found = sentences_by_length(path, words)

        assert [one.pieces for one in found] == [len(native.encode(one.text).ids) for one in found]
        assert 0 < found[0].pieces <= 8
    assert len(native.encode(tokenizer.made_up_text(path, 7)).ids) == 7


def test_lengths_are_told_once_and_none_of_nothing(made):
    """Where words run out, the longer sentences are the same one."""
    path = made[2].preprocessing

    assert [one.pieces for one in sentences_by_length(path, ["good", "good"])] == [2]
    assert sentences_by_length(path, []) == ()


def test_sentences_by_length_have_that_many_pieces(made, session):
    """Up to what the tokenizer reads; of too few words they are shorter, and say so."""
    task, inlet, artifact = made
    words = " ".join(task.validation.inputs.strings()).split()
    found = sentences_by_length(artifact.preprocessing, words)

    assert [one.pieces for one in found] == [*(size for size in (8, 16, 32, 64) if size < inlet.length), inlet.length]
    assert [session.run(tokenizer.feeds_of([one.text])).shape[1] for one in found] == [one.pieces for one in found]
    assert {one.pieces for one in sentences_by_length(artifact.preprocessing, ["good"])} == {1}


def test_latency_by_length_has_a_figure_for_each(made):
    """Timed in turn: each is run as often."""
    _, _, artifact = made
    sentences = sentences_by_length(artifact.preprocessing, ["good"] * 64)
    found = latency_by_length(
        artifact.path,
        preprocessing=artifact.preprocessing,
        sentences=sentences,
        runtime="onnxruntime",
        sampling=BRIEF,
    )

    assert [one.pieces for one in found] == [one.pieces for one in sentences]
    assert len({one.runs for one in found}) == 1
    assert all(0 < one.p50_ms <= one.p90_ms for one in found)


@pytest.mark.slow
def test_the_profile_command_takes_a_tokenizer_and_a_text(made, tmp_path):
    """The record says so."""
    artifact = made[2]
    given = ["profile", artifact.path, "--preprocessing", artifact.preprocessing, "--text", "a good film"]
    result = CliRunner().invoke(app, [*map(str, given), "--no-history", "--output", str(tmp_path / "p.json")])

    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "p.json").read_text())["preprocessing"]["runtime"] == "tokenizers"
