"""Folders of train, validation and test files of one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.columns import decoded
from hpmkd_edge.tasks.splitting import NAMES, PARTS, TRAIN, Split
from hpmkd_edge.tasks.table_files import TableFile, ending_of, named_errors

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedTable:
    """Files of the same columns as one table, its rows in the order of the files."""

    files: Mapping[Path, TableFile]

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in the order of the first file."""
        return next(iter(self.files.values())).names

    @property
    def rows(self) -> int:
        """How many rows all files have."""
        return sum(file.rows for file in self.files.values())

    def take(self, name: str) -> pyarrow.ChunkedArray:
        """Return a column of all files, once.

        Raises:
            BadData: no type fits what they hold.
        """
        import pyarrow

        columns = []
        for path, file in self.files.items():
            with named_errors(path):
                columns.append(decoded(file.take(name)))
        tables = [pyarrow.table({name: column}) for column in columns]
        try:
            return pyarrow.concat_tables(tables, promote_options="permissive").column(0)
        except pyarrow.ArrowException as error:
            held = ", ".join(f"{column.type} in {path.name}" for path, column in zip(self.files, columns, strict=True))
            raise BadData(f"column {name!r} holds {held}; one type is needed in all files.") from error


def table_parts(folder: Path) -> dict[Path, int]:
    """Return the train, validation and test tables of *folder* and their parts, in this order; or none.

    A validation file may be called dev, val or valid. Other files are left alone.

    Raises:
        BadData: two files are of one part, or there is no train file beside them.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = ending_of(path)
        part = None if ending is None else NAMES.get(path.name[: -len(ending)].lower())
        if part is None or not path.is_file():
            continue
        if part in found:
            raise BadData(f"{folder} holds {found[part].name} and {path.name}; one {PARTS[part]} file is needed.")
        found[part] = path
    if found and TRAIN not in found:
        names = " and ".join(found[part].name for part in sorted(found))
        raise BadData(f"{folder} holds {names} and no train file; one, as train.csv, is needed.")
    return {found[part]: part for part in sorted(found)}


def join_files(files: Mapping[Path, TableFile]) -> JoinedTable:
    """Return *files* as one table.

    Raises:
        BadData: one has a column less or more than the first.
    """
    first, *others = files
    for other in others:
        for have, lack in ((first, other), (other, first)):
            absent = [name for name in files[have].names if name not in files[lack].names]
            if absent:
                raise BadData(
                    f"{have.name} has a column {absent[0]!r} and {lack.name} has none; the same columns are needed in "
                    "all files."
                )
    return JoinedTable(files=files)


def split_by_file(parts: Mapping[Path, int], rows: Sequence[int]) -> Split:
    """Return the split of as many *rows* as each file has."""
    *names, last = (path.name for path in parts)
    return Split(
        parts=np.repeat(np.array(list(parts.values()), np.uint8), rows),
        rule=f"The split is given by the files {', '.join(names)} and {last}.",
    )
