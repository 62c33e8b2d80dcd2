"""What Python 3.8 and 3.9 lack of the standard library, for what `bundle` sends to a board.

On a newer Python each name is the library's own, so that a board is measured by the very code that measures here.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import sys
import typing
from typing import Any

__all__ = ["NDArray", "UnionType", "as_file", "cache", "dataclass", "files", "typing", "zip_strictly"]

if sys.version_info >= (3, 10):  # noqa: UP036  older ones are what this is for
    from functools import cache
    from importlib.resources import as_file, files
    from types import UnionType

    dataclass = dataclasses.dataclass

    def zip_strictly(*iterables: Any, strict: bool) -> Any:
        """Zip as the library does."""
        return zip(*iterables, strict=strict)

else:
    cache = functools.lru_cache(maxsize=None)
    UnionType = type("UnionType", (), {})  # no type is one: `X | None` is written Union[X, None] in what is sent

    def dataclass(cls: Any = None, *, slots: bool = False, kw_only: bool = False, **options: Any) -> Any:
        """Make a dataclass without slots; where its fields go by keyword only, those with a default come last."""
        if cls is None:
            return lambda one: dataclass(one, slots=slots, kw_only=kw_only, **options)
        if kw_only:
            noted = cls.__dict__.get("__annotations__", {})  # noqa: RUF063
            cls.__annotations__ = dict(sorted(noted.items(), key=lambda item: item[0] in cls.__dict__))
        return dataclasses.dataclass(**options)(cls)

    def zip_strictly(*iterables: Any, strict: bool) -> Any:
        """Zip rows into a list; where one is shorter and *strict* is set, raise."""
        rows = [list(one) for one in iterables]
        if strict and len({len(one) for one in rows}) > 1:
            raise ValueError("zip() argument lengths differ")
        return list(zip(*rows))  # noqa: B905

    class files:  # noqa: N801  the library's is a function
        """A package, by "/" one of its files."""

        def __init__(self, package: str) -> None:
            self.place: tuple[str, ...] = (package,)

        def __truediv__(self, name: str) -> files:
            self.place = (*self.place, name)
            return self

    def as_file(file: Any) -> Any:
        """Lend the path of a package's file, which may lie in a zip."""
        return importlib.resources.path(*file.place)


try:
    from numpy.typing import NDArray
except ImportError:  # numpy before 1.21, as JetPack 5's
    NDArray = typing.List  # type: ignore[misc,assignment]  # noqa: UP006  only ever named in annotations
