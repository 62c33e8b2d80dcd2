"""NPZ archives: arrays of pixels or of numbers, with labels, whole or already split."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadConfiguration, BadData, nearest
from hpmkd_edge.tasks.images import images_of
from hpmkd_edge.tasks.labels import read_labels
from hpmkd_edge.tasks.reading import Reading, cause_of
from hpmkd_edge.tasks.splitting import PARTS, Split, named_split
from hpmkd_edge.tasks.tables import table_of
from hpmkd_edge.tasks.task import Goal

INPUTS: Final = ("x", "X", "images")
LABELS: Final = ("y", "labels")
INPUT: Final = "the input array"
ENDINGS: Final = {"train": ("_train",), "validation": ("_validation", "_val"), "test": ("_test",)}

# All that zipfile, zlib and NumPy's header parser raise on a damaged file; RuntimeError: an encrypted
# one; MemoryError: a header that claims more rows than there is memory.
DAMAGED: Final = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    KeyError,
    OverflowError,
    TypeError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_archive(path: Path, label: str | None, split: str | None, *, goal: Goal | None = None) -> Reading:
    """Read an .npz archive: x (or X, images) and y (or labels), or x_train, y_train, x_test and y_test.

    Inputs of two dimensions are a table, of three or four images. Its own split may also have
    x_val, y_val (or _validation); the rows then are in the order train, validation, test. Arrays of
    Python objects are never loaded: they could run code.

    Args:
        path: an existing file.
        label: the array of labels (before _train and the like), or None for y or labels.
        split: an array of train, validation and test for each row, or None.
        goal: what a label is; see `labels.read_labels`.

    Raises:
        BadConfiguration: a named array does not exist.
        BadData: the file is damaged, or an array has another type or length than is needed.
    """
    try:
        archive = np.load(path, allow_pickle=False)
    except DAMAGED as error:
        raise BadData(f"{path} cannot be read as an .npz archive: {cause_of(error)}.") from error
    if isinstance(archive, np.ndarray):
        raise BadData(f"{path} is a single array; an .npz archive of inputs and labels is needed.")
    with archive:
        names = archive.files
        stems = LABELS if label is None else (label,)
        if _find(names, INPUTS, ENDINGS["train"]) is None:
            inputs = _load(archive, path, _named(names, INPUTS, ("",)))
            labels = _labels(archive, path, _named(names, stems, ("",)), len(inputs))
            own = None if split is None else _row_split(archive, path, split, len(inputs))
        elif split is not None:
            raise BadConfiguration(f"{path} has its own train and test arrays; --split cannot be used with it.")
        else:
            inputs, labels, own = _parted(archive, path, stems)
    read = read_labels(labels, f"the labels of {path.name}", goal=goal, table=inputs.ndim == 2)
    if read.classes and labels.dtype.kind in "if" and (labels < 0).any():
        row = int((labels < 0).argmax())
        raise BadData(f"row {row + 1} of the labels of {path.name} holds {labels[row]}; classes from 0 on are needed.")
    return Reading(
        labels=read,
        split=own,
        inputs=images_of(inputs, INPUT) if inputs.ndim > 2 else table_of(inputs, INPUT),
    )


def _parted(archive: Any, path: Path, stems: tuple[str, ...]) -> tuple[NDArray[Any], NDArray[Any], Split]:
    """Return the inputs, labels and split of an archive that is split already."""
    names: list[str] = archive.files
    parts, inputs, labels = [], [], []
    for part, endings in enumerate(ENDINGS.values()):
        name = _find(names, INPUTS, endings)
        if name is None and PARTS[part] == "validation" and _find(names, stems, endings) is None:
            continue
        name = name or _named(names, INPUTS, endings)
        inputs.append(_load(archive, path, name))
        labels.append(_labels(archive, path, _named(names, stems, endings), len(inputs[-1])))
        parts.append(np.full(len(inputs[-1]), part, np.uint8))
        if inputs[-1].shape[1:] != inputs[0].shape[1:]:
            found, needed = ("×".join(map(str, array.shape)) for array in (inputs[-1], inputs[0]))
            raise BadData(f"array {name!r} is {found} and that of train {needed}; rows of one shape are needed.")
    return (
        np.concatenate(inputs),
        np.concatenate(labels),
        Split(parts=np.concatenate(parts), rule="The split is given by the arrays of the file."),
    )


def _find(names: list[str], stems: tuple[str, ...], endings: tuple[str, ...]) -> str | None:
    return next((stem + end for stem in stems for end in endings if stem + end in names), None)


def _named(names: list[str], stems: tuple[str, ...], endings: tuple[str, ...]) -> str:
    """Return the array of one of these names.

    Raises:
        BadConfiguration: there is none.
    """
    name = _find(names, stems, endings)
    if name is None:
        wanted = " or ".join(stem + endings[0] for stem in stems)
        raise BadConfiguration(f"the archive has no array {wanted}. {nearest(stems[0] + endings[0], names)}")
    return name


def _load(archive: Any, path: Path, name: str) -> NDArray[Any]:
    try:
        array = archive[name]
    except DAMAGED as error:
        raise BadData(f"array {name!r} of {path} cannot be read: {cause_of(error)}.") from error
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise BadData(f"{name!r} of {path} is not an array of rows; an array of rows is needed.")
    if array.dtype.kind not in "biufU":
        raise BadData(f"array {name!r} holds {array.dtype}; numbers or text are needed.")
    return array


def _labels(archive: Any, path: Path, name: str, rows: int) -> NDArray[Any]:
    """Return an array of labels: [N]."""
    labels = _load(archive, path, name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (rows,):
        shape = "×".join(map(str, labels.shape))
        raise BadData(f"array {name!r} is {shape} and there are {rows} inputs; one label a row is needed.")
    if labels.dtype.kind == "U" and (labels == "").any():
        row = int((labels == "").argmax())
        raise BadData(f"row {row + 1} of array {name!r} is missing; a label is needed in every row.")
    return labels


def _row_split(archive: Any, path: Path, name: str, rows: int) -> Split:
    values = _load(archive, path, _named(archive.files, (name,), ("",)))
    if values.shape != (rows,):
        raise BadData(f"array {name!r} has {len(values)} rows and the inputs {rows}; the same are needed.")
    return named_split(values, f"array {name!r}")
