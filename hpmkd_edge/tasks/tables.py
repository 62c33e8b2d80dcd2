"""Tables: CSV, TSV and Parquet files, and 2-D arrays, as columns of numbers and categories."""

# Shape suffixes: N = rows, M = columns.

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hpmkd_edge.errors import BadConfiguration, BadData, nearest
from hpmkd_edge.progress import hidden
from hpmkd_edge.tasks.columns import TEXT, column_of, decoded, identifiers_of, labels_of, number_column, words_of
from hpmkd_edge.tasks.labels import read_labels
from hpmkd_edge.tasks.reading import Reading, cause_of
from hpmkd_edge.tasks.schema import NOTHING_SAID, Schema
from hpmkd_edge.tasks.splitting import NEEDED, Split, named_split
from hpmkd_edge.tasks.table_files import BAR_BYTES, TableFile, open_parquet, read_delimited
from hpmkd_edge.tasks.task import OUTPUTS, Goal, Table


def read_table(
    path: Path, label: str | None, split: str | None, schema: Schema = NOTHING_SAID, *, goal: Goal | None = None
) -> Reading:
    """Read a CSV, TSV (plain or .gz) or Parquet file.

    A blank is missing; in columns of numbers so are NA, NaN and null. Booleans are numbers, 0 and 1. A column
    of words that differ in most rows is refused unless the schema says what it is. Messages count rows from 1,
    the header not counted.

    Args:
        path: an existing file.
        label: the column to be learned.
        split: a column that holds train, validation and test, or None.
        schema: what columns mean that do not mean what their types say.
        goal: what a label is; see `labels.read_labels`.

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
        return _reading(path, label, split, schema, goal)
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
    columns = (number_column(f"x{index}", values_N) for index, values_N in enumerate(values_NM.T))
    return Table(columns=tuple(columns))


def _open(path: Path, label: str, split: str | None, schema: Schema) -> TableFile:
    if path.name.lower().endswith(".parquet"):
        return open_parquet(path)
    meanings = schema.meanings
    exact = {label, split, *(name for name, meaning in meanings.items() if meaning != "number")}
    return read_delimited(
        path, exact=exact, as_text=tuple(name for name, meaning in meanings.items() if meaning in ("text", "id"))
    )


def _reading(path: Path, label: str, split: str | None, schema: Schema, goal: Goal | None) -> Reading:
    from tqdm import tqdm

    table = _open(path, label, split, schema)
    _check_names(table.names)
    for flag, name in (("label", label), ("split", split)):
        if name is not None and name not in table.names:
            raise BadConfiguration(f"there is no --{flag} column {name!r}. {nearest(name, table.names)}")
    schema.check_names(table.names, {"--label": label, "--split": split})
    if not table.rows:
        raise BadData("the table has a header and no rows; rows are needed.")
    labels = read_labels(labels_of(label, table.take(label)), f"label column {label!r}", goal=goal, table=True)
    own = None if split is None else _split_of(table, split)
    learned = [
        name for name in table.names if name not in (label, split) and schema.meanings.get(name) not in ("id", "drop")
    ]
    if not learned:
        raise BadData(f"the table has no column beside {label!r}; at least one to learn from is needed.")
    output = OUTPUTS["classes" if labels.classes else "value"]
    if output in learned:
        # An input of the same name would make the shipped file invalid.
        raise BadData(f"a column is named {output!r}, as the shipped file's output; another name is needed.")
    columns = []
    silent = True if path.stat().st_size < BAR_BYTES else hidden()
    with tqdm(total=table.rows, desc=path.name, unit="row", unit_scale=True, leave=False, disable=silent) as bar:
        for name in learned:
            columns.append(column_of(name, table.take(name), schema.meanings.get(name)))
            bar.update(table.rows / len(learned))
    identifier = schema.identifier
    return Reading(
        inputs=Table(columns=tuple(columns)),
        labels=labels,
        split=own,
        identifiers=None if identifier is None else identifiers_of(identifier, table.take(identifier)),
    )


def _split_of(table: TableFile, name: str) -> Split:
    column = decoded(table.take(name))
    if str(column.type) not in TEXT:
        raise BadData(f"split column {name!r} holds {column.type}; {NEEDED}.")
    return named_split(words_of(column), f"column {name!r}")


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
        seen.add(name)


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
