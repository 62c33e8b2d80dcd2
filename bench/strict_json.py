"""Turn JSON into frozen dataclasses, strictly, with the standard library alone: a board has no pydantic."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def decode(kind: type[T], value: object, where: str) -> T:
    """Return *value* as the dataclass *kind*; nothing is converted but lists to tuples, and int to float.

    Args:
        kind: a dataclass of str, int, float, bool, None, Path, Literal, tuple[X, ...] and dataclasses.
        value: as `parse` gives it; a key whose field has a default may be missing, but for "schema".
        where: what the value is, for the message.

    Raises:
        ValueError: a key is missing or unknown, or a value has another type. The message ends
            without a full stop, to be set into a sentence.
    """
    decoded: T = _decode(kind, value, where)
    return decoded


def _decode(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _decode_object(kind, value, where)
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        (inner,) = (option for option in get_args(kind) if option is not type(None))
        return None if value is None else _decode(inner, value, where)
    if origin is tuple:
        if type(value) is not list:
            raise _mismatch(where, value, "a list")
        item = get_args(kind)[0]
        # A profile holds up to 200,000 samples: names of places are made only for what is wrong.
        if item in (int, str) and all(type(one) is item for one in value):
            return tuple(value)
        return tuple(_decode(item, one, f"{where}[{i}]") for i, one in enumerate(value))
    if origin is Literal:
        if value not in get_args(kind):
            raise _mismatch(where, value, " or ".join(repr(option) for option in get_args(kind)))
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind is Path and type(value) is str:
        return Path(value)
    if type(value) is not kind:
        raise _mismatch(where, value, f"a value of type {kind.__name__}")
    return value


def _decode_object(kind: Any, value: Any, where: str) -> Any:
    if type(value) is not dict:
        raise _mismatch(where, value, "an object")
    wanted = [field.name for field in fields(kind)]
    # A file that was written before a field was there; what it is a file of must be said.
    needed = [field.name for field in fields(kind) if field.default is MISSING or field.name == "schema"]
    for key in value:
        if key not in wanted:
            raise ValueError(f"{where} has an unknown key {key!r}; its keys are {', '.join(wanted)}")
    for key in needed:
        if key not in value:
            raise ValueError(f"{where} has no key {key!r}")
    hints = get_type_hints(kind)
    return kind(**{key: _decode(hints[key], found, key) for key, found in value.items()})


def _mismatch(where: str, value: object, wanted: str) -> ValueError:
    found = json.dumps(value)
    return ValueError(f"{where} is {found[:60] + '…' if len(found) > 60 else found}; {wanted} is needed")
