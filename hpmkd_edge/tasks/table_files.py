"""Files of tables as columns of Arrow, never all of a large file at once in double precision."""

from __future__ import annotations

import codecs
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from hpmkd_edge.errors import BadData
from hpmkd_edge.progress import hidden
from hpmkd_edge.tasks.columns import to_float32
from hpmkd_edge.tasks.quoting import has_quoted_cells
from hpmkd_edge.tasks.reading import cause_of

if TYPE_CHECKING:
    import pyarrow

TABLES: Final = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
# pyarrow guesses the types of a CSV file from its first block. A row must lie in one block, or in two neighbors.
BLOCK_BYTES: Final = 16 << 20
# Smaller files are read before a bar could be seen.
BAR_BYTES: Final = 8 << 20
UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class TableFile(Protocol):
    """A table whose columns are taken one by one, so that each is freed once it is converted."""

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in the order of the file."""
        ...

    @property
    def rows(self) -> int:
        """How many rows it has."""
        ...

    def take(self, name: str) -> pyarrow.ChunkedArray:
        """Return a column, once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetTable:
    """A Parquet file: columns lie apart in it, so each is read when it is asked for."""

    file: Any

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in the order of the file."""
        return tuple(self.file.schema_arrow.names)

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.file.metadata.num_rows)

    def take(self, name: str) -> pyarrow.ChunkedArray:
        """Return a column, read now."""
        # "a" also selects the columns of other names that begin with "a.".
        return self.file.read(columns=[name]).column(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelimitedTable:
    """A CSV or TSV file, read whole."""

    names: tuple[str, ...]
    rows: int
    columns: dict[str, pyarrow.ChunkedArray]

    def take(self, name: str) -> pyarrow.ChunkedArray:
        """Return a column, and let go of it."""
        return self.columns.pop(name)


def ending_of(path: Path) -> str | None:
    """Return the ending that says which table *path* is, or None where it is none."""
    return max((known for known in TABLES if path.name.lower().endswith(known)), key=len, default=None)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn what pyarrow finds in *path* into a sentence.

    Raises:
        BadData: the sentence.
    """
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read: {_sentence(error)}") from error


def open_parquet(path: Path) -> ParquetTable:
    """Open a Parquet file.

    Raises:
        pyarrow.ArrowException: it is none.
    """
    from pyarrow import parquet

    # Not read_table: it would make columns of folders named key=value.
    return ParquetTable(file=parquet.ParquetFile(path, memory_map=False))


def read_delimited(
    path: Path, *, exact: Container[str | None], as_text: tuple[str, ...], as_bytes: tuple[str, ...] = ()
) -> DelimitedTable:
    """Read a CSV or TSV file (plain or .gz) block by block; numbers are kept in float32.

    In a TSV file whose quotes are characters of its text, each line is a row; see `quoting`. Where a later
    block contradicts the types of the first, the file is read again at once: that takes more memory, and finds the
    type that fits all.

    Args:
        path: an existing file.
        exact: columns whose numbers keep their type: labels and categories.
        as_text: columns whose cells are kept as they are spelled.
        as_bytes: columns of text that the caller decodes.

    Raises:
        pyarrow.ArrowException: a row or a text is broken.
        BadData: a number is infinite, or the text is UTF-16.
    """
    import pyarrow
    from pyarrow import csv

    _refuse_other_encodings(path)
    tabs = ".tsv" in path.name.lower()
    quoted = not tabs or has_quoted_cells(path)
    kinds = {**dict.fromkeys(as_text, pyarrow.string()), **dict.fromkeys(as_bytes, pyarrow.binary())}
    options: dict[str, Any] = {
        "parse_options": csv.ParseOptions(
            delimiter="\t" if tabs else ",", quote_char='"' if quoted else False, newlines_in_values=quoted
        ),
        "convert_options": csv.ConvertOptions(column_types=kinds),
    }
    # One thread: with several, the message about a broken row has no row number.
    one_thread = csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)
    try:
        reader = csv.open_csv(path, read_options=one_thread, **options)
        return _in_blocks(reader, path, exact)
    except pyarrow.ArrowInvalid as error:
        if "CSV conversion error" not in str(error):
            raise
        whole = csv.read_csv(path, read_options=one_thread, **options)
        # Not a dict of a table with a name twice: the caller looks at the names first.
        columns = dict(zip(whole.column_names, whole.columns, strict=True))
        return DelimitedTable(names=tuple(whole.column_names), rows=whole.num_rows, columns=columns)


def _refuse_other_encodings(path: Path) -> None:
    """Refuse UTF-16, which spreadsheets write: its bytes would be taken for cells.

    Raises:
        BadData: the file begins with its mark.
    """
    import pyarrow

    with pyarrow.input_stream(str(path), compression="detect") as stream:
        if stream.read(2) in UTF_16:
            raise BadData(f"{path} is UTF-16; UTF-8 is needed: iconv -f UTF-16 -t UTF-8 writes it.")


def _in_blocks(reader: Any, path: Path, exact: Container[str | None]) -> DelimitedTable:
    import pyarrow
    from tqdm import tqdm

    fields = list(reader.schema)
    chunks: list[list[pyarrow.Array]] = [[] for _ in fields]
    rows = 0
    silent = True if path.stat().st_size < BAR_BYTES else hidden()
    with tqdm(desc=path.name, unit="row", unit_scale=True, leave=False, disable=silent) as bar:
        for batch in reader:
            for kept, field, values in zip(chunks, fields, batch.columns, strict=True):
                kept.append(values if field.name in exact else _narrowed(field.name, values, rows))
            rows += batch.num_rows
            bar.update(batch.num_rows)
    columns = {
        field.name: pyarrow.chunked_array(kept, type=None if kept else field.type)
        for field, kept in zip(fields, chunks, strict=True)
    }
    return DelimitedTable(names=tuple(field.name for field in fields), rows=rows, columns=columns)


def _narrowed(name: str, values: pyarrow.Array, first_row: int) -> pyarrow.Array:
    """Return numbers in half of their bytes; anything else as it is."""
    import pyarrow
    from pyarrow import types

    if not (types.is_integer(values.type) or types.is_floating(values.type)):
        return values
    doubles = values.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
    halves = np.ascontiguousarray(to_float32(name, np.asarray(doubles), first_row))
    # Not pyarrow.array, which imports pandas where that is installed, for a third of a second.
    return pyarrow.Array.from_buffers(pyarrow.float32(), len(halves), [None, pyarrow.py_buffer(halves)])


def _sentence(error: Exception) -> str:
    """Turn pyarrow's message into the rest of a sentence."""
    text = cause_of(error)
    ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", text)
    if ragged:
        row, needed, found = map(int, ragged.groups())
        fields = "1 field" if found == 1 else f"{found} fields"
        return f"row {row - 1} has {fields}; {needed} are needed, as in the header."
    if isinstance(error, UnicodeDecodeError):
        return "it holds text that is not UTF-8; UTF-8 is needed."
    if "straddl" in text:
        return (
            f"a row is longer than {BLOCK_BYTES >> 20} MB, or has a quote that nothing closes; shorter ones are needed."
        )
    if "Empty CSV" in text:
        return "it holds no rows; a header and rows are needed."
    return f"{text}."
