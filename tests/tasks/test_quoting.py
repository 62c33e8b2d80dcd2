"""Quotes in TSV files: around cells, or in the text."""

import csv
import gzip
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpmkd_edge.tasks.quoting import has_quoted_cells
from hpmkd_edge.tasks.source import open_task

LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\t")
PLAIN = st.text(LETTERS | st.sampled_from("\"'"), max_size=6)
ROWS = 12


def written(folder, text):
    path = folder / "set.tsv"
    path.write_bytes(text.encode())
    return path


def sentences_of(path):
    """Return all sentences of a file in its order."""
    task = open_task(str(path), label="label", text="text")
    parts = (task.train, task.validation, task.test)
    rows = {
        place: text
        for part in parts
        for place, text in zip(part.positions.tolist(), part.inputs.strings(), strict=True)
    }
    return [rows[place] for place in range(task.row_count)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PLAIN, min_size=ROWS, max_size=ROWS))
def test_every_line_of_a_plain_file_is_a_row(tmp_path, cells):
    """Whatever quotes are in it; where all cells with a quote are quoted as in CSV, they are taken off."""
    lines = "".join(f"s{place}{cell}\t{place % 2}\n" for place, cell in enumerate(cells))

    assert sentences_of(written(tmp_path, "text\tlabel\n" + lines)) == [
        f"s{place}{cell}" for place, cell in enumerate(cells)
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PLAIN, min_size=ROWS, max_size=ROWS))
def test_no_row_is_lost_or_joined_where_quotes_begin_lines(tmp_path, cells):
    """The rows are as many as the lines."""
    lines = "".join(f'"{cell}\t{place % 2}\n' for place, cell in enumerate(cells))

    assert len(sentences_of(written(tmp_path, "text\tlabel\ns\t0\n" + lines))) == 1 + ROWS


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(LETTERS | st.sampled_from('\n\r\t"'), max_size=6), min_size=8, max_size=8))
def test_what_a_csv_writer_quotes_comes_back(tmp_path, cells):
    """Tabs, quotes and line breaks in cells too; a row of two lines and no tab tells it from a plain file."""
    cells = [f"s{place}{cell}" for place, cell in enumerate(cells)] + ["two\nlines", "x"]
    file = io.StringIO()
    rows = [("text", "label"), *((cell, place % 2) for place, cell in enumerate(cells))]
    csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL).writerows(rows)

    assert sentences_of(written(tmp_path, file.getvalue())) == cells


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a\tb\nx\ty\n", False),
        ('a\tb\n"x"\ty\n', True),
        ('a\tb\n"x ""z"""\t"y"\n', True),
        ('a\tb\nhe said "x"\ty\n', False),
        ('a\tb\n"x" he said\ty\n', False),
        ('a\tb\n"x\ty\n', False),
        ('a\tb\n"x\ty\nz"\ty\n', False),
        ('a\tb\n"x\nz"\ty\n', True),
        ('a\tb\n"x\tz"\ty\n', True),
        ('\ufeff"a"\t"b"\r\n"x"\t1\r\n\r\n', True),
        ('"a\tb"\tc\n"x"\t1\n', True),
        ("", False),
    ],
)
def test_a_file_is_quoted_if_it_reads_so_throughout(tmp_path, text, quoted):
    """One cell with a quote inside makes the file a plain one; packed files are judged alike."""
    path = written(tmp_path, text)
    packed = tmp_path / "packed.tsv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))

    assert has_quoted_cells(path) == has_quoted_cells(packed) == quoted


def test_a_quote_that_nothing_closes_is_given_up_early(tmp_path, monkeypatch):
    """A large file would otherwise be one row in memory."""
    monkeypatch.setattr("hpmkd_edge.tasks.quoting.MOST_ROW_BYTES", 100)
    rows = 'a\tb\n"x\n' + 200 * "x\n" + 'z"\ty\n'

    assert not has_quoted_cells(written(tmp_path, rows))
