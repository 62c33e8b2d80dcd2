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

    assert read_unlabeled(path, None).strings() == LINES


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
    assert read_unlabeled(other, None).strings() == ["a b", "c"]
    with pytest.raises(BadConfiguration, match=r"has the columns text, id; --text is needed"):
        read_unlabeled(path, None)
    with pytest.raises(BadConfiguration, match=r"has no column 'txt'. Did you mean 'text'\?"):
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
        read_unlabeled(path, None)


def test_a_path_that_is_no_file_is_refused(tmp_path):
    """A folder, or nothing."""
    with pytest.raises(BadData, match="is no file; a file of sentences is needed"):
        read_unlabeled(tmp_path, None)
