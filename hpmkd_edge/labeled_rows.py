"""Rows for a model file, from an .npz that names them as the model names its inputs."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.runtimes.runtime import Feeds, Input
from hpmkd_edge.errors import BadData, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class LabeledRows:
    """Arrays of N rows each, by the model's inputs.

    Attributes:
        labels: [N], as they are in the file; None where there are none.
    """

    feeds: Feeds
    labels: NDArray[Any] | None

    def __len__(self) -> int:
        """Return N."""
        return len(next(iter(self.feeds.values())))

    def take(self, places: NDArray[np.int64] | slice) -> LabeledRows:
        """Return the rows at *places*."""
        labels = None if self.labels is None else self.labels[places]
        return LabeledRows(feeds={name: array[places] for name, array in self.feeds.items()}, labels=labels)

    def whole(self, batch: int) -> LabeledRows:
        """Return as many of the first rows as make whole batches.

        Raises:
            BadData: not even one.
        """
        kept = len(self) // batch * batch
        if not kept:
            raise BadData(f"{len(self)} rows were given; the model takes {batch} at once, and so many are needed.")
        return self.take(slice(kept))

    def evenly(self, most: int) -> LabeledRows:
        """Return at most so many rows, spread evenly."""
        if len(self) <= most:
            return self
        return self.take(np.linspace(0, len(self) - 1, most).round().astype(np.int64))


def read_rows(path: Path, inputs: tuple[Input, ...], *, label: str | None) -> LabeledRows:
    """Read the rows that *inputs* take.

    Args:
        path: an .npz.
        inputs: of the model.
        label: the name of an array of labels, or None.

    Raises:
        BadData: the file cannot be read, an array is missing or does not fit, or they have not the same number of rows.
    """
    wanted = {one.name: one for one in inputs}
    arrays: dict[str, NDArray[Any]] = {}
    try:
        opened = np.load(path, allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise BadData(f"{path} holds one array without a name; an .npz of named arrays is needed.")
        with opened as file:
            for name in (*wanted, *([label] if label is not None else ())):
                if name not in file.files:
                    what = f"an input of the model ({_declared(wanted[name])})" if name in wanted else "the label"
                    raise BadData(f"{path.name} has no array {name!r}, {what}. {nearest(name, file.files)}")
                arrays[name] = file[name]
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror or error}; an .npz is needed.") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadData(f"{path} cannot be read as .npz, without pickled objects: {error}") from error
    for name, array in arrays.items():
        if array.ndim == 0:
            raise BadData(f"the array {name!r} of {path.name} is a single number; a row of it for each is needed.")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise BadData(f"the arrays of {path.name} have {lengths} rows; the same number, at least 1, is needed.")
    labels = None if label is None else arrays[label]
    return LabeledRows(feeds={name: _fed(one, arrays[name], path) for name, one in wanted.items()}, labels=labels)


def _fed(one: Input, array: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return the array as the input takes it."""
    found = f"the array {one.name!r} of {path.name} is {array.dtype} of shape {array.shape}"
    # A runtime declares no axes both for a scalar and for an input of any shape.
    if one.shape and not (
        len(one.shape) == array.ndim
        and all(size in (None, own) for size, own in zip(one.shape[1:], array.shape[1:], strict=True))
    ):
        raise BadData(f"{found}; the model takes {_declared(one)}.")
    if one.dtype == np.object_:
        if array.dtype.kind != "U":
            raise BadData(f"{found}; the model takes text.")
        return array.astype(np.object_)
    cast = array.astype(one.dtype) if array.dtype.kind in "fiub" else None
    same_kind = cast is not None and (array.dtype.kind == one.dtype.kind == "f" or np.array_equal(cast, array))
    if cast is None or not same_kind:
        raise BadData(f"{found}; the model takes {_declared(one)}, without loss.")
    return cast


def _declared(one: Input) -> str:
    axes = ", ".join("any" if size is None else str(size) for size in one.shape)
    return f"{'text' if one.dtype == np.object_ else one.dtype} of shape ({axes})"
