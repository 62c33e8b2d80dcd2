"""Sentences without labels are read plainly, and what is wrong with a file is said."""

import gzip

import pyarrow
import pytest
from pyarrow import parquet

from hpmkd_edge.distill.unlabeled import read_unlabeled
from hpmkd_edge.errors import BadConfiguration, BadData

LINES = ["a good film", 'he said "no', "één\u2028line"]


def test_a_line_is_a_sentence_and_blank_ones_are_left_out(tmp_path):
    """Quotes and other separators of lines are letters like any; a mark of the byte order is none."""
    path = tmp_path / "more.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join([LINES[0], "", *LINES[1:], "  \t", ""]).encode())

    assert read_unlabeled(path, "text").strings() == LINES


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "parquet"])
def test_a_table_s_column_is_read_as_in_the_data(tmp_path, ending):
    """By its name, or as the only one."""
    path, other = tmp_path / f"more.{ending}", tmp_path / f"one.{ending}"
    for file, columns in ((path, ("text", "id")), (other, ("text",))):
        rows = [columns, *[(line, "7")[: len(columns)] for line in ("a b", "c", "")]]
        if ending == "parquet":
            parquet.write_table(pyarrow.table({name: ["a b", "c", ""] for name in columns}), file)
        else:
            text = "\n".join((("\t" if ending == "tsv" else ",").join(row)) for row in rows) + "\n"
            file.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())

    assert read_unlabeled(path, "text").strings() == ["a b", "c"]
    assert read_unlabeled(other, "sentence").strings() == ["a b", "c"]
    with pytest.raises(BadConfiguration, match=r"no column 'txt', as the sentences .* Did you mean 'text'\?"):
        read_unlabeled(path, "txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good\nb\xffd\n", r"line 2 of --unlabeled .* is not UTF-8; UTF-8 is needed"),
        (b" \n\n", r"holds no sentence; a file of sentences is needed"),
    ],
)
def test_a_file_without_readable_sentences_is_refused(tmp_path, content, message):
    """With what is needed."""
    path = tmp_path / "more.txt"
    path.write_bytes(content)

    with pytest.raises(BadData, match=message):
        read_unlabeled(path, "text")


def test_a_path_that_is_no_file_is_refused(tmp_path):
    """A folder, or nothing."""
    with pytest.raises(BadData, match="is no file; a file of sentences is needed"):
        read_unlabeled(tmp_path, None)


def test_lines_of_windows_and_packed_ones_are_the_same_lines(tmp_path):
    """A return at the end of a line is no letter of it."""
    packed = tmp_path / "more.txt.gz"
    packed.write_bytes(gzip.compress(("\r\n".join(LINES) + "\r\n").encode()))

    assert read_unlabeled(packed, None).strings() == LINES
    packed.write_bytes(packed.read_bytes()[:20])
    with pytest.raises(BadData, match="cannot be read"):
        read_unlabeled(packed, None)


@pytest.mark.parametrize("name", ["more.json", "more.jsonl", "more.JSONL.gz"])
def test_json_is_refused(tmp_path, name):
    """Each of its lines would be a sentence with braces."""
    path = tmp_path / name
    path.write_text('{"text": "good"}')

    with pytest.raises(BadData, match="is JSON; a table, or a text file with a sentence a line, is needed"):
        read_unlabeled(path, "text")


def test_the_only_column_of_a_table_is_taken_whatever_it_is_called(tmp_path):
    """As text, also where all of it are numbers."""
    path = tmp_path / "more.csv"
    path.write_text("title\n1984\n007\n")

    assert read_unlabeled(path, "text").strings() == read_unlabeled(path, "text").strings() == ["1984", "007"]


def test_more_text_than_arrow_counts_is_refused(tmp_path, monkeypatch):
    """Packed or not, it is not read to its end."""
    path = tmp_path / "more.txt"
    path.write_text("a good film\n" * 20)
    monkeypatch.setattr("hpmkd_edge.distill.unlabeled.MOST_BYTES", 100)

    with pytest.raises(BadData, match=r"holds more than the 0\.0 GB of text that are read"):
        read_unlabeled(path, "text")
