"""What a user says about the columns of a table, where their types alone would mislead."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, get_args

from hpmkd_edge.errors import BadConfiguration, nearest
from hpmkd_edge.yaml_lines import Source, read_yaml

# category keeps the type of the file: words or whole numbers; text is a category of what the file spells, as 007.
Meaning = Literal["number", "category", "text", "id", "drop"]
MEANINGS: Final[tuple[str, ...]] = get_args(Meaning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The meaning of some columns; those that are not named mean what their types say.

    Attributes:
        meanings: by name of the column.
        source: the file that says so, for complaints; None where nothing is said.
    """

    meanings: Mapping[str, Meaning]
    source: Source | None

    @property
    def identifier(self) -> str | None:
        """The column that names rows."""
        return next((name for name, meaning in self.meanings.items() if meaning == "id"), None)

    def check_names(self, names: Sequence[str], taken: Mapping[str, str | None]) -> None:
        """Make sure that every column exists and none has another role.

        Args:
            names: of all columns of the table.
            taken: the column of each flag that names one, by the flag.

        Raises:
            BadConfiguration: with the line of the column, and the nearest name.
        """
        flags = {column: flag for flag, column in taken.items() if column is not None}
        known: Container[str] = set(names)
        for name in self.meanings:
            if self.source is None:
                continue
            if name not in known:
                self.source.refuse(("columns", name), f"the table has no such column. {nearest(name, names)}")
            if name in flags:
                self.source.refuse(("columns", name), f"{flags[name]} names this column too; leave it out here.")


NOTHING_SAID: Final = Schema(meanings=MappingProxyType({}), source=None)


def read_schema(path: Path) -> Schema:
    """Read a file such as `columns: {age: number, zip: category, name: drop}`, strictly.

    The meanings: number; category (of words or of whole numbers, whichever the file holds); text (a category
    of what a CSV file spells, leading zeros too); id (names rows, and is not learned from); drop.

    Raises:
        BadConfiguration: with the line: it is no such file, a type does not exist, or there are two ids.
    """
    source = read_yaml(path)
    if not isinstance(source.value, dict) or not isinstance(source.value.get("columns"), dict):
        source.refuse((), "columns and their types are needed, as in `columns: {age: number, zip: category}`.")
    for key in source.value:
        if key != "columns":
            source.refuse((key,), f"there is no such key. {nearest(key, ['columns'])}")
    meanings: dict[str, Meaning] = {}
    for name, said in source.value["columns"].items():
        if said not in MEANINGS:
            source.refuse(("columns", name), f"there is no type {said!r}. {nearest(str(said), MEANINGS)}")
        if said == "id" and "id" in meanings.values():
            source.refuse(("columns", name), "a second column is called id; one is needed at most.")
        meanings[name] = said
    return Schema(meanings=MappingProxyType(meanings), source=source)


def refuse_schema(schema: Schema, data: str) -> None:
    """Stop where a schema is given for data that has no columns.

    Raises:
        BadConfiguration: it was.
    """
    if schema.source is not None:
        raise BadConfiguration(f"--schema is for a table, and {data} is none; leave it out.")
