"""Sentences as inputs: which column they are, and how they are read."""

import gzip

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_texts import sentences, text_task, write_tsv

from hpmkd_edge.errors import BadConfiguration, BadData
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Texts

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
KINDS = (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view(), pyarrow.binary(), pyarrow.large_binary())


def lines(count=30):
    return "".join(f"sentence number {row}\t{row % 2}\n" for row in range(count))


def written(folder, rows, name="set.tsv", header="text\tlabel\n"):
    path = folder / name
    path.write_bytes((header + rows).encode())
    return str(path)


def strings_of(task):
    """Return all sentences in the order of the source."""
    parts = (task.train, task.validation, task.test)
    order = np.argsort(np.concatenate([part.positions for part in parts]))
    return np.array([text for part in parts for text in part.inputs.strings()], object)[order].tolist()


def test_a_row_of_a_part_is_the_sentence_at_its_position(tmp_path):
    """With its label."""
    texts, labels = sentences(120)
    task = open_task(str(write_tsv(tmp_path / "praise.tsv", 120)), label="label", text="text")

    assert task.kind == "text"
    assert task.classes == ("bad", "good")
    assert strings_of(task) == texts
    for part in (task.train, task.validation, task.test):
        assert part.labels.tolist() == [labels[place] for place in part.positions]
        assert part.inputs.feeds()["text"].tolist() == [texts[place] for place in part.positions]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.none() | ANY, min_size=10, max_size=10), kind=st.sampled_from(KINDS))
def test_any_text_of_parquet_comes_back(tmp_path, texts, kind):
    """NUL, control characters, lone line breaks and all planes; a missing sentence is ""."""
    texts += [f"some {row}" for row in range(8)]
    path = tmp_path / "set.parquet"
    values = pyarrow.array(texts, pyarrow.string()).cast(kind)
    pyarrow.parquet.write_table(pyarrow.table({"t": values, "label": [0, 1] * 9}), path)

    assert strings_of(open_task(str(path), label="label", text="t")) == [text or "" for text in texts]


def test_control_characters_of_tsv_are_kept(tmp_path):
    """So are spaces at the ends, and words that are nothing among numbers."""
    rows = ["a\0b", "\x01\x7f\x85\u2028", "  padded ", "NA", "null", "", "1", "2020-01-02"]
    text = "".join(f"{row}\t{place % 2}\n" for place, row in enumerate(rows))

    assert strings_of(open_task(written(tmp_path, text), label="label", text="text")) == rows


def test_a_table_of_one_column_of_sentences_is_text(tmp_path):
    """The same task as with --text, and a note says so; the split's column and an id are none to learn from."""
    path = str(write_tsv(tmp_path / "praise.tsv", 60))
    found, named = open_task(path, label="label"), open_task(path, label="label", text="text")
    rows = "".join(f"{row}\t{'train' if row % 3 else 'test'}\tthe number {row}\t{row % 2}\n" for row in range(40))
    (tmp_path / "schema.yaml").write_text("columns: {key: id}")
    path = written(tmp_path, rows, header="key\tpart\ttext\tlabel\n")
    keyed = open_task(path, label="label", split="part", schema=str(tmp_path / "schema.yaml"))

    assert found.digest == named.digest
    assert [note for note in found.notes if note not in named.notes] == [
        "Column 'text' holds sentences, so it is learned from as text; --schema can call it a category."
    ]
    assert (keyed.kind, keyed.identifiers.name) == ("text", "key")


@pytest.mark.parametrize(
    ("cell", "rows", "schema", "kind"),
    [
        ("city {}", 40, None, "text"),
        ("city {}", 40, "{text: category}", "table"),
        ("city{}", 40, None, "table"),
        ("这是第{}个电影", 40, None, "text"),
        ("城市{}", 40, None, "table"),
        ("ภาพยนตร์{}", 40, None, "text"),
        ("city{}", 1001, None, "text"),
    ],
)
def test_a_column_of_words_is_text_where_they_are_sentences_or_many(tmp_path, cell, rows, schema, kind):
    """Sentences have spaces, or are more than a category takes; what the schema says counts more."""
    text = "".join(f"{cell.format(row)}\t{row % 2}\n" for row in range(rows))
    (tmp_path / "schema.yaml").write_text(f"columns: {schema}")
    asked = None if schema is None else str(tmp_path / "schema.yaml")

    assert open_task(written(tmp_path, text), label="label", schema=asked).kind == kind


def test_sentences_that_come_back_in_most_rows_are_categories(tmp_path):
    """A word for each of a few answers is one, too; --text says otherwise."""
    path = written(tmp_path, "".join(f"answer {row // 2 % 20}\t{row % 2}\n" for row in range(40)))

    found = open_task(path, label="label")

    assert found.kind == "table"
    assert "Column 'text' is learned as a category; --text text reads it as sentences." in found.notes
    assert open_task(path, label="label", text="text").kind == "text"


def test_several_columns_of_sentences_are_refused_with_the_flag_that_chooses(tmp_path):
    """Chosen, the others are left alone, and a note names them."""
    rows = "".join(f"title {row}\tbody {row}\t{row}\t{row % 2}\n" for row in range(1001))
    path = written(tmp_path, rows, header="title\tbody\tn\tlabel\n")
    with pytest.raises(BadData, match=r"column 'title' holds 1,001 distinct words.* --text title learns from it"):
        open_task(path, label="label")
    task = open_task(path, label="label", text="body")

    assert task.notes == ("Only the sentences of 'body' are learned from, not 'title', 'n'.",)
    assert strings_of(task)[7] == "body 7"


@pytest.mark.parametrize("text", ["text", None])
def test_the_row_that_is_no_utf8_is_named(tmp_path, text):
    """In a packed file too, and in Parquet, which does not look."""
    raw = b"text\tlabel\n" + lines().encode() + b"caf\xe9 is bad\t1\n"
    (tmp_path / "set.tsv.gz").write_bytes(gzip.compress(raw))
    values = pyarrow.array([*(b"a %d" % row for row in range(30)), b"caf\xe9"])
    values = pyarrow.Array.from_buffers(pyarrow.string(), 31, values.buffers())
    pyarrow.parquet.write_table(pyarrow.table({"text": values, "label": [*[0, 1] * 15, 0]}), tmp_path / "set.parquet")
    for name in ("set.tsv.gz", "set.parquet"):
        with pytest.raises(BadData, match="row 31 of column 'text' holds text that is not UTF-8"):
            open_task(str(tmp_path / name), label="label", text=text)


def test_long_sentences_are_read_and_one_beyond_a_block_is_a_sentence(tmp_path, monkeypatch):
    """100,000 characters; a row must lie in two blocks."""
    long = "é " * 50_000
    path = written(tmp_path, lines() + f"{long}\t1\n")

    assert strings_of(open_task(path, label="label", text="text"))[30] == long
    monkeypatch.setattr("hpmkd_edge.tasks.table_files.BLOCK_BYTES", 1000)
    with pytest.raises(BadData, match=r"a row is longer than .* or has a quote that nothing closes"):
        open_task(path, label="label", text="text")


def test_empty_and_repeated_sentences_are_noted(tmp_path):
    """What a test row has in common with training is counted on each side."""
    rows = [*(f"number {row}" for row in range(20)), "", "", "number 3", "new", "number 4", "number 4"]
    parts = ["train"] * 22 + ["val"] * 2 + ["test"] * 2
    text = "".join(f"{row}\t{place % 2}\t{part}\n" for place, (row, part) in enumerate(zip(rows, parts, strict=True)))
    path = written(tmp_path, text, header="text\tlabel\tpart\n")

    assert open_task(path, label="label", text="text", split="part").notes == (
        "2 of 26 sentences are empty; they are kept.",
        "1 of 2 validation sentences are also in the training rows.",
        "2 of 2 test sentences are also in the training rows.",
    )


@pytest.mark.parametrize(
    ("rows", "asked", "error", "message"),
    [
        (lines(), {"text": "txt"}, BadConfiguration, "there is no --text column 'txt'. Did you mean 'text'"),
        (lines(), {"text": "label"}, BadConfiguration, "--label and --text both name 'label'"),
        (lines(), {"text": "text", "split": "text"}, BadConfiguration, "--split and --text both name 'text'"),
        (lines(), {"text": "text", "goal": "value"}, BadConfiguration, "--goal value is for columns of numbers"),
        (lines(), {"goal": "value"}, BadConfiguration, "'text' holds sentences; leave it out"),
        (
            "a b\t0.5\nc d\t1.5\n",
            {"text": "text"},
            BadData,
            "label column 'label' holds decimal numbers, and values are not learned from texts",
        ),
        ("a b\tx\nc d\tx\n", {"text": "text"}, BadData, "one class only, 'x'"),
        ("a b\t0\na b\t1\n" * 3, {"text": "text"}, BadData, "all training sentences are the same"),
        ("\t0\n\t1\n" * 3, {"text": "text"}, BadData, "all training sentences are the same"),
        ('"a b\t0\nc\nd" e\t1\n', {"text": "text"}, BadData, "row 2 has 1 field; 2 are needed"),
    ],
)
def test_sentences_that_cannot_be_learned_from_are_refused(tmp_path, rows, asked, error, message):
    """What was found is in the message."""
    with pytest.raises(error, match=message):
        open_task(written(tmp_path, rows), label="label", **asked)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pyarrow.array(range(9)), "column 'text' holds int64; text is needed"),
        (pyarrow.nulls(9), "column 'text' has no sentence in any row"),
        (pyarrow.array([["a", "b"]] * 9), "column 'text' holds list<"),
    ],
)
def test_a_column_of_something_else_is_refused(tmp_path, values, message):
    """Parquet says what it holds."""
    path = tmp_path / "set.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": values, "label": ["a", "b", "c"] * 3}), path)
    with pytest.raises(BadData, match=message):
        open_task(str(path), label="label", text="text")


def test_more_text_than_arrow_counts_is_refused(tmp_path, monkeypatch):
    """Its size is in the message."""
    monkeypatch.setattr("hpmkd_edge.tasks.texts.MOST_BYTES", 100)
    with pytest.raises(BadData, match=r"column 'text' holds 0\.0 GB of text; at most"):
        open_task(written(tmp_path, lines()), label="label", text="text")


def test_the_flag_is_for_tables(tmp_path):
    """Digits have no columns, and arrays no sentences; the schema does not say the same again."""
    np.savez(tmp_path / "set.npz", x=np.zeros((9, 2)), y=np.arange(9) % 2)
    (tmp_path / "schema.yaml").write_text("columns: {text: text}")
    for data in ("digits", str(tmp_path / "set.npz")):
        with pytest.raises(BadConfiguration, match=r"--text t is for a table, and .* is none; leave it out"):
            open_task(data, text="t")
    with pytest.raises(BadConfiguration, match=r"columns\.text: --text names this column too"):
        open_task(written(tmp_path, lines()), label="label", text="text", schema=str(tmp_path / "schema.yaml"))


@given(st.lists(ANY), st.lists(ANY), st.lists(ANY))
def test_blocks_of_a_slice_are_those_of_a_copy(before, texts, after):
    """The bytes of each sentence, and all of them one after another."""
    sliced = Texts(sentences=pyarrow.array([*before, *texts, *after], pyarrow.string()).slice(len(before), len(texts)))
    lengths, letters = sliced.blocks()

    assert lengths.tolist() == [len(text.encode()) for text in texts]
    assert letters.tobytes() == "".join(texts).encode()


def test_the_sample_is_the_same_each_time():
    """For everybody's tests."""
    first, second = text_task(), text_task()

    assert first.train.inputs.strings() == second.train.inputs.strings()
    assert [len(rows) for rows in (first.train, first.validation, first.test)] == [240, 80, 80]


def test_sentences_beside_other_columns_are_told(tmp_path):
    """As a category each is a name that no other row has: the student would learn nothing from them."""
    strings, labels = sentences(120)
    lines = [f"{place % 7}\t{one}\t{label}" for place, (one, label) in enumerate(zip(strings, labels, strict=True))]
    path = tmp_path / "glue.tsv"
    path.write_text("\n".join(["idx\tsentence\tlabel", *lines]), encoding="utf-8")

    task = open_task(str(path), label="label")

    assert task.kind == "table"
    assert any("--text sentence learns from their words" in note for note in task.notes)
