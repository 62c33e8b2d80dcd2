"""Sentences without labels, for a teacher to label: a line each, or a column of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hpmkd_edge.errors import BadConfiguration, BadData, nearest
from hpmkd_edge.tasks.reading import cause_of
from hpmkd_edge.tasks.table_files import TableFile, ending_of, named_errors, open_parquet, read_delimited
from hpmkd_edge.tasks.task import Texts
from hpmkd_edge.tasks.texts import MOST_BYTES, texts_of

REFUSED: Final = (".json", ".jsonl", ".ndjson")


def read_unlabeled(path: Path, column: str) -> Texts:
    """Read the sentences of *path*; those of nothing but white space are left out.

    Args:
        path: a .csv, .tsv (or .gz of them) or .parquet file, or a text file (or .gz) with a sentence a line.
        column: of a table of several, the one with the sentences: that of the task.

    Raises:
        BadConfiguration: a table of several has no such *column*.
        BadData: the file cannot be read, holds no sentence, or is no UTF-8.
    """
    from pyarrow import compute

    if not path.is_file():
        raise BadData(f"--unlabeled {path} is no file; a file of sentences is needed.")
    if path.name.lower().removesuffix(".gz").endswith(REFUSED):
        raise BadData(f"--unlabeled {path} is JSON; a table, or a text file with a sentence a line, is needed.")
    try:
        texts = _of_lines(path) if ending_of(path) is None else _of_table(path, column)
    except OSError as error:
        raise BadData(f"--unlabeled {path} cannot be read: {cause_of(error)}.") from error
    seen = compute.utf8_trim_whitespace(texts.sentences)
    kept = texts.sentences.filter(compute.greater(compute.binary_length(seen), 0))
    if not len(kept):
        raise BadData(f"--unlabeled {path} holds no sentence; a file of sentences is needed.")
    return Texts(sentences=kept)


def _of_lines(path: Path) -> Texts:
    import pyarrow
    from pyarrow import compute

    # Unpacked by its ending; a byte more than can be used is read, and no more.
    with named_errors(path), pyarrow.input_stream(str(path), compression="detect") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BadData(f"--unlabeled {path} holds more than the {MOST_BYTES / 1e9:.1f} GB of text that are read.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadData(f"line {line} of --unlabeled {path} is not UTF-8; UTF-8 is needed.") from error
    # Split by Arrow: a million lines as Python strings would take more memory than all that is made of them.
    return Texts(sentences=compute.split_pattern_regex(pyarrow.array([text]), "\r?\n").flatten())


def _of_table(path: Path, column: str) -> Texts:
    with named_errors(path):
        if ending_of(path) == ".parquet":
            table: TableFile = open_parquet(path)
        else:
            table = read_delimited(path, exact=(), as_text=(column,))
            if len(table.names) == 1 and table.names[0] != column:  # its numbers too are sentences
                table = read_delimited(path, exact=(), as_text=table.names)
        name = table.names[0] if len(table.names) == 1 else column
        if table.names.count(name) != 1:
            raise BadConfiguration(
                f"--unlabeled {path} has no column {name!r}, as the sentences of --data have."
                f" {nearest(name, table.names)}"
            )
        return texts_of(name, table.take(name))
