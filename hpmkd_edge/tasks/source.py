"""From what --data names to a task: find its reader, part the rows, take the digest."""

# Shape suffixes: N = rows.

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadConfiguration, BadData, nearest
from hpmkd_edge.tasks.archives import read_archive
from hpmkd_edge.tasks.columns import listed
from hpmkd_edge.tasks.images import read_digits, read_folder
from hpmkd_edge.tasks.reading import Reading, cause_of
from hpmkd_edge.tasks.schema import NOTHING_SAID, Schema, read_schema, refuse_schema
from hpmkd_edge.tasks.splitting import TEST, TRAIN, VALIDATION, complete_split
from hpmkd_edge.tasks.table_files import TABLES, ending_of
from hpmkd_edge.tasks.table_folders import table_parts
from hpmkd_edge.tasks.tables import read_table
from hpmkd_edge.tasks.task import Column, Goal, Images, Inputs, Rows, Table, Task, Texts
from hpmkd_edge.tasks.texts import text_notes
from hpmkd_edge.tasks.values import check_varied

EMBEDDED: Final[dict[str, Callable[[], Reading]]] = {"digits": read_digits}
ARCHIVE: Final = ".npz"


def open_task(
    data: str,
    *,
    label: str | None = None,
    split: str | None = None,
    split_seed: int = 0,
    schema: str | None = None,
    goal: Goal | None = None,
    text: str | None = None,
) -> Task:
    """Read a data set and part its rows.

    Without a split of its own, 15 % of each class, or of all rows where values are learned, are test,
    15 % validation and the rest train; a split of its own without validation rows, or without test rows, gives
    15 % of train to them. Rows of a split keep the order of the source, and `positions` are 0-based places in
    it: rows of the file, the sorted paths of a folder, train then validation then test of an archive or of a folder
    of tables that is split.

    Args:
        data: the name of an embedded set (digits), a .csv, .tsv (or .gz of them), .parquet or .npz
            file, a folder of train, validation (val, valid, dev) and test tables, or one of class folders of images.
        label: the column or array to be learned: needed for a table, by default y or labels in .npz.
        split: a column or array of train, validation (val, valid, dev) and test.
        split_seed: 0 or more; decides every row that is drawn.
        schema: a file that says what columns of a table mean; see `schema.read_schema`.
        goal: whether labels are classes or values; None for what the labels suggest, see `labels.read_labels`.
        text: the column of sentences to learn from; None for the only column there is, if it holds sentences.

    Raises:
        BadConfiguration: a flag is missing or cannot be used with this data.
        BadData: the data does not exist, cannot be read, or cannot be learned from.
    """
    if split_seed < 0:
        raise BadConfiguration(f"the split seed is {split_seed}; 0 or more is needed.")
    meanings = NOTHING_SAID if schema is None else read_schema(Path(schema))
    try:
        name, reading = _read(data, label, split, meanings, goal, text)
    except OSError as error:
        raise BadData(f"{data} cannot be read: {cause_of(error)}.") from error
    labels, identifiers, notes, column = reading.labels, reading.identifiers, reading.notes, reading.text
    parted = complete_split(reading.split, labels.codes, labels.classes, split_seed)
    places = [np.flatnonzero(parted.parts == part).astype(np.int64, copy=False) for part in (TRAIN, VALIDATION, TEST)]
    inputs = reading.inputs
    parts: Sequence[Inputs]
    if isinstance(inputs, Table):
        columns = list(inputs.columns)
        del reading, inputs
        parts = tables = _part_columns(columns, places)
        notes += _constants(tables[0])
    elif isinstance(inputs, Texts):
        parts = texts = [inputs.take(rows_N) for rows_N in places]
        notes += text_notes(*texts)
    else:
        parts = [inputs.take(rows_N) for rows_N in places]
    train, validation, test = (
        Rows(inputs=part, labels=labels.codes[rows_N], positions=rows_N)
        for part, rows_N in zip(parts, places, strict=True)
    )
    task = Task(
        name=name,
        source=data,
        classes=labels.classes,
        train=train,
        validation=validation,
        test=test,
        split_rule=parted.rule,
        digest=_digest(labels.classes, (train, validation, test)),
        identifiers=identifiers,
        notes=notes if labels.note is None else (labels.note, *notes),
        text=column,
    )
    if task.goal == "value":
        check_varied(task)
    return task


def _read(
    data: str, label: str | None, split: str | None, schema: Schema, goal: Goal | None, text: str | None
) -> tuple[str, Reading]:
    """Return a short name of *data* and what its reader found."""
    path = Path(data)
    if data not in EMBEDDED and path.is_dir() and _is_of_tables(path, label):
        return path.resolve().name, read_table(path, label, split, schema, goal=goal, text=text)
    if data in EMBEDDED or path.is_dir():
        refuse_schema(schema, data)
        _refuse_text(text, data)
        for flag, value in (("--label", label), ("--split", split)):
            if value is not None:
                raise BadConfiguration(
                    f"{flag} {value} is given, but {data} brings its own labels; a table, a folder with a train table"
                    " or .npz is needed."
                )
        if goal == "value":
            raise BadConfiguration(f"--goal value is for a table, and {data} holds images; leave it out.")
        return (data, EMBEDDED[data]()) if data in EMBEDDED else (path.resolve().name, read_folder(path))
    if not path.exists():
        raise BadData(
            f"there is no file {path.absolute()} and no embedded data set {data!r}. {nearest(data, EMBEDDED)}"
        )
    if not path.is_file():
        raise BadData(f"{path} is neither a file nor a folder; a file or a folder is needed.")
    table = ending_of(path)
    ending = table or (ARCHIVE if path.name.lower().endswith(ARCHIVE) else None)
    if ending is None:
        found = path.suffix or "no suffix"
        raise BadData(f"{path} has {found}; {', '.join((*TABLES, ARCHIVE))} or a folder of images is needed.")
    if path.stat().st_size == 0:
        raise BadData(f"{path.absolute()} is empty; rows are needed.")
    if table is not None:
        reading = read_table(path, label, split, schema, goal=goal, text=text)
    else:
        refuse_schema(schema, data)
        _refuse_text(text, data)
        reading = read_archive(path, label, split, goal=goal)
    return path.name[: -len(ending)] or path.name, reading


def _is_of_tables(folder: Path, label: str | None) -> bool:
    """Return whether *folder* holds tables: a folder of class folders, which needs no label, may hold some too."""
    has_folders = any(entry.is_dir() and not entry.name.startswith(".") for entry in folder.iterdir())
    return (label is not None or not has_folders) and bool(table_parts(folder))


def _refuse_text(text: str | None, data: str) -> None:
    if text is not None:
        raise BadConfiguration(f"--text {text} is for a table, and {data} is none; leave it out.")


def _part_columns(columns: list[Column], places: Sequence[NDArray[np.int64]]) -> list[Table]:
    """Return a table of the rows at each of *places*, and empty *columns*: two whole tables never lie in memory."""
    parts: list[list[Column]] = [[] for _ in places]
    while columns:
        column = columns.pop(0)
        for part, rows_N in zip(parts, places, strict=True):
            part.append(Column(name=column.name, kind=column.kind, values=column.values[rows_N]))
    return [Table(columns=tuple(part)) for part in parts]


def _constants(table: Table) -> tuple[str, ...]:
    """Return a sentence about the columns with one value in all training rows.

    Raises:
        BadData: all columns are such.
    """
    same = [column.name for column in table.columns if _is_constant(column)]
    if len(same) == len(table.columns):
        raise BadData("no column has two different values in the training rows; one that varies is needed.")
    if not same:
        return ()
    return (
        f"One value in all training rows, so nothing to learn from, and 0 to the student: {listed(same)}; --schema can"
        " drop what is of no use.",
    )


def _is_constant(column: Column) -> bool:
    first, values_N = column.values[:1], column.values
    alike_N = np.isnan(values_N) if column.kind == "number" and np.isnan(first[0]) else values_N == first
    return bool(alike_N.all())


def _digest(classes: tuple[str, ...], splits: Sequence[Rows]) -> str:
    """Return sha256 over class names, inputs, labels and split, in hex."""
    digest = hashlib.sha256(json.dumps([classes, [len(rows) for rows in splits]]).encode())
    for rows in splits:
        digest.update(json.dumps(_shape(rows.inputs)).encode())
        for array in (rows.positions, rows.labels, *_arrays(rows.inputs)):
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _shape(inputs: Inputs) -> Sequence[object]:
    if isinstance(inputs, Images):
        return inputs.pixels.shape
    if isinstance(inputs, Texts):
        return ["text"]
    return [(column.name, _kind(column)) for column in inputs.columns]


def _kind(column: Column) -> str:
    return column.kind if column.kind == "number" or column.holds_text else "category of whole numbers"


def _arrays(inputs: Inputs) -> Iterator[NDArray[Any]]:
    """Yield arrays of numbers that tell *inputs* from any others of their shape."""
    if isinstance(inputs, Images):
        yield inputs.pixels
        return
    if isinstance(inputs, Texts):
        yield from inputs.blocks()
        return
    for column in inputs.columns:
        if column.kind == "number" or not column.holds_text:
            yield column.values
        else:
            # The lengths too: else "ab", "c" and "a", "bc" would be one.
            yield np.fromiter(map(len, column.values), np.int64, len(column.values))
            yield np.frombuffer("".join(column.values).encode(), np.uint8)
