"""A tokenizer before a model: sentences go in, and the two files are timed and scored as one."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_readers import reader
from typer.testing import CliRunner

from hpmkd_edge.bench.lengths import latency_by_length, sentences_by_length
from hpmkd_edge.bench.measurement import measure
from hpmkd_edge.bench.protocol import Sampling
from hpmkd_edge.bench.runtimes import tokenizer
from hpmkd_edge.bench.runtimes.feeds import feeds_of_student
from hpmkd_edge.bench.scoring import answer, entered, score
from hpmkd_edge.cli import app
from hpmkd_edge.errors import BadConfiguration, MeasurementFailed, RuntimeUnavailable
from hpmkd_edge.export.conversion import save_student

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
    with pytest.raises(BadConfiguration, match=r"--preprocessing tokenizer\.json is needed"):
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
