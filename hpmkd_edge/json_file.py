"""Dataclasses in JSON files that name their schema: read strictly, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from hpmkd_edge.errors import BadOutput, BadReport
from hpmkd_edge.text_file import write_text


def parse(text: str) -> object:
    """Parse *text* as JSON.

    Raises:
        ValueError: it is not JSON, names a key twice, holds NaN or an infinity, or is nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(kind: type[Any], schema: str, path: Path) -> Any:
    """Read a dataclass of *kind* from a file that says to be of *schema*.

    The kind's `__pydantic_config__` says how strictly: for all of ours, no unknown key and no NaN.

    Raises:
        BadReport: the file cannot be read as one.
    """
    from pydantic import TypeAdapter, ValidationError

    text, version = read_named(path)
    if version != schema:
        raise BadReport(f"{path} has the schema {version!r:.60}; {schema!r} is needed.")
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadReport(f"{path} does not follow {schema}: {place}: {first['msg']}.") from error


def read_named(path: Path) -> tuple[str, object]:
    """Return the text of a JSON file, and the schema that it says to be of: None where it says none.

    Raises:
        BadReport: the file cannot be read, or is not JSON; see `parse`.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = parse(text)
    except OSError as error:
        raise BadReport(f"{path.absolute()} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are such
        raise BadReport(f"{path} is not JSON: {error}; a whole file is needed.") from error
    return text, found.get("schema") if isinstance(found, dict) else None


def write_json(value: dict[str, Any], path: Path) -> None:
    """Write *value* to *path*, indented, a list of numbers or texts on one line.

    Raises:
        BadOutput: the file cannot be written, or a number is not finite.
    """
    try:
        text = lay_out(value) + "\n"
    except ValueError as error:  # of json, for NaN
        raise BadOutput(f"{path} cannot be written: a number is not finite.") from error
    write_text(text, path)


def lay_out(value: Any, newline: str = "\n") -> str:
    """Return *value* as indented JSON, a list of numbers or texts on one line.

    Args:
        newline: what ends a line, with the indent of the next.

    Raises:
        ValueError: a number is not finite.
    """
    # json's own indent would give each of thousands of samples a line.
    nested = isinstance(value, (list, tuple)) and any(isinstance(item, (dict, list, tuple)) for item in value)
    if not value or not (nested or isinstance(value, dict)):
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    inner = newline + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {lay_out(item, inner)}" for key, item in value.items()]
        return f"{{{inner}{(',' + inner).join(parts)}{newline}}}"
    return f"[{inner}{(',' + inner).join(lay_out(item, inner) for item in value)}{newline}]"


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
