"""Tables: CSV, TSV and Parquet files, and 2-D arrays, as columns of numbers and categories, or as sentences."""

# Shape suffixes: N = rows, M = columns.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hpmkd_edge.errors import BadConfiguration, BadData, nearest
from hpmkd_edge.progress import hidden
from hpmkd_edge.tasks.columns import (
    TEXT,
    column_of,
    decoded,
    identifiers_of,
    labels_of,
    listed,
    number_column,
    words_of,
)
from hpmkd_edge.tasks.labels import hold_decimals, read_labels
from hpmkd_edge.tasks.reading import Reading
from hpmkd_edge.tasks.schema import NOTHING_SAID, Schema
from hpmkd_edge.tasks.splitting import NEEDED, Split, named_split
from hpmkd_edge.tasks.table_files import BAR_BYTES, TableFile, named_errors, open_parquet, read_delimited
from hpmkd_edge.tasks.table_folders import JoinedTable, join_files, split_by_file, table_parts
from hpmkd_edge.tasks.task import OUTPUTS, Goal, Table, Texts
from hpmkd_edge.tasks.texts import looks_like_sentences, texts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user says about a table: see `read_table`."""

    label: str
    split: str | None
    schema: Schema
    goal: Goal | None
    text: str | None

    @property
    def flags(self) -> dict[str, str | None]:
        """The column that each flag names, if any."""
        return {"--label": self.label, "--split": self.split, "--text": self.text}


def read_table(
    path: Path,
    label: str | None,
    split: str | None,
    schema: Schema = NOTHING_SAID,
    *,
    goal: Goal | None = None,
    text: str | None = None,
) -> Reading:
    """Read a CSV, TSV (plain or .gz) or Parquet file, or a folder of train, validation and test files.

    A blank is missing; in columns of numbers so are NA, NaN and null. Booleans are numbers, 0 and 1. A column
    of words that differ in most rows is sentences where it is the only one to learn from, else refused unless the
    schema says what it is. Messages count rows from 1, the header not counted, through all files of a folder.

    Args:
        path: an existing file, or a folder that `table_folders.table_parts` finds files in.
        label: the column to be learned.
        split: a column that holds train, validation and test, or None.
        schema: what columns mean that do not mean what their types say.
        goal: what a label is; see `labels.read_labels`.
        text: the column of sentences to learn from, and from no other; None for what the columns suggest.

    Raises:
        BadConfiguration: no label column is given, a column does not exist, or a flag cannot be used with this data.
        BadData: the file cannot be read, or a column cannot be used.
    """
    if label is None:
        raise BadConfiguration(f"{path} is a table; --label is needed, the column to be learned.")
    asked = Asked(label=label, split=split, schema=schema, goal=goal, text=text)
    for (flag, name), (other, same) in combinations(asked.flags.items(), 2):
        if name == same and name is not None:
            raise BadConfiguration(f"{flag} and {other} both name {name!r}; two columns are needed.")
    with named_errors(path):
        table, own = _open_folder(path, asked) if path.is_dir() else (_open(path, asked), None)
        return _reading(path, table, own, asked)


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


def _open(path: Path, asked: Asked) -> TableFile:
    if path.name.lower().endswith(".parquet"):
        return open_parquet(path)
    meanings = asked.schema.meanings
    return read_delimited(
        path,
        exact={asked.label, asked.split, *(name for name, meaning in meanings.items() if meaning != "number")},
        as_text=tuple(name for name, meaning in meanings.items() if meaning in ("text", "id")),
        # So that a row that is no UTF-8 can be named.
        as_bytes=() if asked.text is None else (asked.text,),
    )


def _open_folder(folder: Path, asked: Asked) -> tuple[JoinedTable, Split | None]:
    """Return the files of *folder* as one table, and the split that they are; None where train is alone."""
    parts = table_parts(folder)
    if len(parts) > 1 and asked.split is not None:
        names = ", ".join(path.name for path in parts)
        raise BadConfiguration(f"{folder} is split by its files, {names}; --split cannot be used with it.")
    files: dict[Path, TableFile] = {}
    for path in parts:
        with named_errors(path):
            files[path] = _open(path, asked)
        _check_names(files[path].names)
    joined = join_files(files)
    return joined, split_by_file(parts, [file.rows for file in files.values()]) if len(parts) > 1 else None


def _reading(path: Path, table: TableFile, own: Split | None, asked: Asked) -> Reading:
    _check_names(table.names)
    for flag, name in asked.flags.items():
        if name is not None and name not in table.names:
            raise BadConfiguration(f"there is no {flag} column {name!r}. {nearest(name, table.names)}")
    asked.schema.check_names(table.names, asked.flags)
    if not table.rows:
        raise BadData("the table has a header and no rows; rows are needed.")
    labels_N = labels_of(asked.label, table.take(asked.label))
    own = own if asked.split is None else _split_of(table, asked.split)
    inputs, notes = _inputs(path, table, asked)
    where = f"label column {asked.label!r}"
    if isinstance(inputs, Texts) and hold_decimals(labels_N):
        raise BadData(
            f"{where} holds decimal numbers, and values are not learned from texts; text, whole numbers or booleans are"
            " needed, as classes."
        )
    labels = read_labels(labels_N, where, goal=asked.goal, table=isinstance(inputs, Table))
    output = OUTPUTS["classes" if labels.classes else "value"]
    if isinstance(inputs, Table) and output in [column.name for column in inputs.columns]:
        # An input of the same name would make the shipped file invalid.
        raise BadData(f"a column is named {output!r}, as the shipped file's output; another name is needed.")
    identifier = asked.schema.identifier
    return Reading(
        inputs=inputs,
        labels=labels,
        split=own,
        identifiers=None if identifier is None else identifiers_of(identifier, table.take(identifier)),
        notes=notes,
        text=(asked.text or _learnable(table, asked)[0]) if isinstance(inputs, Texts) else None,
    )


def _learnable(table: TableFile, asked: Asked) -> list[str]:
    """Return the columns that have no role and are not left out."""
    roles, meanings = (asked.label, asked.split, asked.text), asked.schema.meanings
    return [name for name in table.names if name not in roles and meanings.get(name) not in ("id", "drop")]


def _inputs(path: Path, table: TableFile, asked: Asked) -> tuple[Table | Texts, tuple[str, ...]]:
    """Return what is learned from, and sentences on how the columns were understood."""
    from tqdm import tqdm

    meanings, others = asked.schema.meanings, _learnable(table, asked)
    if asked.text is not None:
        _refuse_values(asked.text, asked.goal)
        return texts_of(asked.text, table.take(asked.text)), _ignored(asked.text, others)
    if not others:
        raise BadData(f"the table has no column beside {asked.label!r}; at least one to learn from is needed.")
    columns, taken = [], None
    notes: tuple[str, ...] = ()
    if len(others) == 1 and others[0] not in meanings:
        (name,) = others
        taken = table.take(name)
        if looks_like_sentences(taken):
            _refuse_values(name, asked.goal)
            note = f"Column {name!r} holds sentences, so it is learned from as text; --schema can call it a category."
            return texts_of(name, taken), (note,)
        if str(decoded(taken).type) in TEXT:
            notes = (f"Column {name!r} is learned as a category; --text {name} reads it as sentences.",)
    silent = True if path.stat().st_size < BAR_BYTES else hidden()
    with tqdm(total=table.rows, desc=path.name, unit="row", unit_scale=True, leave=False, disable=silent) as bar:
        for name in others:
            values = table.take(name) if taken is None else taken
            columns.append(column_of(name, values, meanings.get(name)))
            if len(others) > 1 and name not in meanings and looks_like_sentences(values):
                notes += (
                    f"Column {name!r} holds sentences, and each is learned as a category; --text {name} learns from"
                    " their words, --schema can drop it.",
                )
            bar.update(table.rows / len(others))
    return Table(columns=tuple(columns)), notes


def _refuse_values(text: str, goal: Goal | None) -> None:
    if goal == "value":
        raise BadConfiguration(
            f"--goal value is for columns of numbers and categories, and {text!r} holds sentences; leave it out."
        )


def _ignored(text: str, others: Sequence[str]) -> tuple[str, ...]:
    if not others:
        return ()
    return (f"Only the sentences of {text!r} are learned from, not {listed(others)}.",)


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
