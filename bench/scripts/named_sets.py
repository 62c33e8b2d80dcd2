"""Data sets by name: the embedded digits, and tables that an index lists with their label columns."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hpmkd_edge.errors import BadConfiguration, BadData, unknown
from hpmkd_edge.tasks.source import EMBEDDED

SPLIT: Final = "split"  # the column of each listed table that says train or test
ENDING: Final = ".csv.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSet:
    """A data set, as `--data`, `--label` and `--split` take it."""

    name: str
    data: str
    label: str | None
    split: str | None

    @property
    def flags(self) -> tuple[str, ...]:
        """What `hpmkd-edge compress` is given."""
        if self.label is None or self.split is None:
            return ("--data", self.data)
        return ("--data", self.data, "--label", self.label, "--split", self.split)


def find_sets(names: Sequence[str], index: Path | None) -> tuple[NamedSet, ...]:
    """Return the sets of *names*: embedded ones, and tables of *index* without their `.csv.gz`.

    The index has tabs between its columns, `file` and `target`, the label column, among them. Its tables lie beside
    it, or in a folder there, and have a column `split`.

    Raises:
        BadConfiguration: a name is unknown or given twice.
        BadData: the index cannot be read, or a table that it lists is not there.
    """
    if len(set(names)) < len(names):
        raise BadConfiguration(f"a set is given twice among {', '.join(names)}; name each once.")
    labels = {} if index is None else _labels(index)
    for name in names:
        if name not in (*EMBEDDED, *labels):
            raise unknown("set", name, (*EMBEDDED, *labels))
    return tuple(
        NamedSet(name=name, data=name, label=None, split=None)
        if index is None or name in EMBEDDED
        else NamedSet(name=name, data=str(_table(index, name)), label=labels[name], split=SPLIT)
        for name in names
    )


def names_in(index: Path) -> tuple[str, ...]:
    """Return the names of all tables that *index* lists.

    Raises:
        BadData: it cannot be read.
    """
    return tuple(_labels(index))


def _labels(index: Path) -> dict[str, str]:
    try:
        with index.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        return {row["file"].removesuffix(ENDING): row["target"] for row in rows}
    except OSError as error:
        raise BadData(f"{index} cannot be read: {error.strerror}; an index of tables is needed.") from error
    except KeyError as error:
        raise BadData(f"{index} has no column {error}; tabs between file and target are needed.") from error


def _table(index: Path, name: str) -> Path:
    file = f"{name}{ENDING}"
    found = [path for path in (index.parent / file, *sorted(index.parent.glob(f"*/{file}"))) if path.is_file()]
    if not found:
        raise BadData(f"{index} lists {file}, and there is none in {index.parent} or a folder there; it is needed.")
    return found[0]
