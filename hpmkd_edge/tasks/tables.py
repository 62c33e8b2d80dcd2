"""Tables: CSV, TSV and Parquet files, and 2-D arrays, as columns of numbers and words."""

# Shape suffixes: N = rows, M = columns.

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadConfiguration, BadData, nearest
from hpmkd_edge.tasks.labels import code_labels
from hpmkd_edge.tasks.reading import Reading, cause_of
from hpmkd_edge.tasks.splitting import NEEDED, named_split
from hpmkd_edge.tasks.task import Column, Table

if TYPE_CHECKING:
    import pyarrow

# The name of the shipped file's output: an input of the same name would make it invalid.
OUTPUT: Final = "probabilities"
TEXT: Final = frozenset({"string", "large_string", "string_view"})


def read_table(path: Path, label: str | None, split: str | None) -> Reading:
    """Read a CSV, TSV (plain or .gz) or Parquet file.

    A blank is missing; in columns of numbers so are NA, NaN and null. Booleans are numbers, 0 and 1.
    Messages count rows from 1, the header not counted.

    Args:
        path: an existing file.
        label: the column to be learned.
        split: a column that holds train, validation and test, or None.

    Raises:
        BadConfiguration: no label column is given, or a column does not exist.
        BadData: the file cannot be read, or a column cannot be used.
    """
    if label is None:
        raise BadConfiguration(f"{path} is a table; --label is needed, the column to be learned.")
    if label == split:
        raise BadConfiguration(f"--label and --split both name {label!r}; two columns are needed.")
    import pyarrow

    try:
        return _reading(path, label, split)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read: {_sentence(error)}") from error


def table_of(values_NM: NDArray[Any], name: str) -> Table:
    """Return a 2-D array of numbers as a table with the columns x0, x1 and so on.

    Raises:
        BadData: another type or shape, an infinite value, or a column without any value.
    """
    if values_NM.dtype.kind not in "biuf":
        raise BadData(f"{name} holds {values_NM.dtype}; a table needs numbers.")
    if values_NM.ndim != 2 or 0 in values_NM.shape:
        raise BadData(f"{name} is {'×'.join(map(str, values_NM.shape))}; rows × columns is needed.")
    columns = (_numbers(f"x{index}", values_N) for index, values_N in enumerate(values_NM.T))
    return Table(columns=tuple(columns))


def _delimited(path: Path) -> pyarrow.Table:
    from pyarrow import csv

    return csv.read_csv(
        path,
        # One thread: with several, the message about a broken row has no row number.
        read_options=csv.ReadOptions(use_threads=False),
        parse_options=csv.ParseOptions(delimiter="\t" if ".tsv" in path.name.lower() else ",", newlines_in_values=True),
    )


def _parquet(path: Path) -> pyarrow.Table:
    from pyarrow import parquet

    # Not read_table: it would make columns of folders named key=value.
    with parquet.ParquetFile(path) as file:
        return file.read()


def _reading(path: Path, label: str, split: str | None) -> Reading:
    table = _parquet(path) if path.name.lower().endswith(".parquet") else _delimited(path)
    names: list[str] = table.column_names
    _check_names(names)
    for flag, name in (("label", label), ("split", split)):
        if name is not None and name not in names:
            raise BadConfiguration(f"there is no --{flag} column {name!r}. {nearest(name, names)}")
    if not table.num_rows:
        raise BadData("the table has a header and no rows; rows are needed.")
    # Taken out one by one, so that each is freed once it is converted.
    remaining = dict(zip(names, table.columns, strict=True))
    del table
    labels = code_labels(_label_values(label, _decoded(remaining.pop(label))), f"label column {label!r}")
    own = None
    if split is not None:
        column = _decoded(remaining.pop(split))
        if str(column.type) not in TEXT:
            raise BadData(f"split column {split!r} holds {column.type}; {NEEDED}.")
        own = named_split(_words(column), f"column {split!r}")
    if not remaining:
        raise BadData(f"the table has no column beside {label!r}; at least one to learn from is needed.")
    columns = tuple(_column(name, remaining.pop(name)) for name in list(remaining))
    return Reading(inputs=Table(columns=columns), labels=labels, split=own)


def _check_names(names: Sequence[str]) -> None:
    seen = set()
    for place, name in enumerate(names, 1):
        if not name or "\0" in name or name.startswith("__index_level_"):
            found = f"is named {name!r}" if name else "has no name"
            raise BadData(
                f"column {place} {found}, as row numbers saved by pandas; a name is needed, or to save with "
                "index=False."
            )
        if name in seen:
            raise BadData(f"two columns are named {name!r}; names that differ are needed.")
        if name == OUTPUT:
            raise BadData(f"a column is named {name!r}, as the shipped file's output; another name is needed.")
        seen.add(name)


def _column(name: str, values_N: pyarrow.ChunkedArray) -> Column:
    import pyarrow
    from pyarrow import types

    values_N = _decoded(values_N)
    kind = values_N.type
    if str(kind) in TEXT:
        words = _words(values_N)
        if not words.any():
            raise _all_missing(name)
        return Column(name=name, kind="category", values=words)
    if types.is_null(kind):
        raise _all_missing(name)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return _numbers(name, values_N.cast(pyarrow.float64(), safe=False).to_numpy())
    found = "text that is not UTF-8" if types.is_binary(kind) else str(kind)
    raise BadData(f"column {name!r} holds {found}; numbers, booleans or text are needed.")


def _numbers(name: str, values_N: NDArray[Any]) -> Column:
    with np.errstate(over="ignore"):
        numbers_N = values_N.astype(np.float32)
    missing_N = np.isnan(numbers_N)
    if missing_N.all():
        raise _all_missing(name)
    infinite_N = np.isinf(numbers_N)
    if infinite_N.any():
        row = int(infinite_N.argmax())
        raise BadData(
            f"row {row + 1} of column {name!r} holds {values_N[row]}; finite numbers up to 3.4e38 are needed "
            "(rows count from 1, without the header)."
        )
    # One NaN and one zero (-0.0 + 0.0 is 0.0): their other bits would change the digest.
    numbers_N[missing_N] = np.nan
    numbers_N += 0.0
    return Column(name=name, kind="number", values=numbers_N)


def _words(values_N: pyarrow.ChunkedArray) -> NDArray[Any]:
    """Return text as Python strings, "" where missing: [N], one object a distinct word."""
    import pyarrow

    encoded = values_N.cast(pyarrow.large_string()).combine_chunks().dictionary_encode()
    words = encoded.dictionary.to_pylist()
    codes_N = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    vocabulary = np.array([*words, ""], object)
    return np.asarray(vocabulary[codes_N])


def _decoded(values_N: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Return the values themselves where a column is stored as a dictionary of them."""
    from pyarrow import types

    kind = values_N.type
    return values_N.cast(kind.value_type) if types.is_dictionary(kind) else values_N


def _label_values(name: str, column: pyarrow.ChunkedArray) -> NDArray[Any]:
    """Return labels as a NumPy array, none of them missing."""
    import pyarrow
    from pyarrow import types

    words_N = _words(column) if str(column.type) in TEXT else None
    missing_N = column.is_null(nan_is_null=True).to_numpy() if words_N is None else words_N == ""
    if missing_N.any():
        row = int(missing_N.argmax()) + 1
        raise BadData(f"row {row} of label column {name!r} is missing; a label is needed in every row.")
    if words_N is not None:
        return words_N
    if types.is_boolean(column.type) or types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    if types.is_floating(column.type) or types.is_decimal(column.type):
        return np.asarray(column.cast(pyarrow.float64(), safe=False).to_numpy())
    raise BadData(f"label column {name!r} holds {column.type}; text, whole numbers or booleans are needed.")


def _all_missing(name: str) -> BadData:
    return BadData(f"column {name!r} has no value in any row; drop it, or at least one value is needed.")


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
    if "Empty CSV" in text:
        return "it holds no rows; a header and rows are needed."
    return f"{text}."
