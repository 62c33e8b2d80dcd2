"""Raw labels to class numbers: which classes there are, and in which order."""

# Shape suffixes: N = rows.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadData

MOST_FLOAT_CLASSES: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of all rows.

    Attributes:
        codes: int64, [N], each in 0 … classes − 1.
        classes: class names in the order of the outputs.
    """

    codes: NDArray[np.int64]
    classes: tuple[str, ...]


def code_labels(values_N: NDArray[Any], where: str) -> Labels:
    """Number the classes of raw labels, none of them missing.

    Integers sort as numbers; text sorts as text, "10" before "2", as scikit-learn and the image
    folders of torchvision order it, so that a teacher's outputs fall on their own classes.

    Args:
        values_N: integers, booleans, text, or floats that are whole numbers.
        where: how a message calls the labels: "label column 'income'".

    Raises:
        BadData: labels of another kind, a measurement instead of classes, or one class only.
    """
    kind = values_N.dtype.kind
    if kind == "f":
        values_N = _whole(values_N, where)
    elif kind not in "biuOU":
        raise BadData(f"{where} holds {values_N.dtype}; text, whole numbers or booleans are needed.")
    words, codes = distinct(values_N)
    classes = tuple(str(word) for word in words)
    if len(classes) == 1:
        raise BadData(f"{where} holds one class only, {classes[0]!r}; at least two are needed.")
    for name in classes:
        # Class names go into ONNX metadata, JSON and pages: all of them UTF-8.
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise BadData(f"{where} holds {name!r}, half a Unicode character; whole ones are needed.")
    return Labels(codes=codes, classes=classes)


def distinct(values_N: NDArray[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the distinct values, sorted, and the place of each value among them: int64 [N]."""
    if values_N.dtype != np.object_:
        values, codes_N = np.unique(values_N, return_inverse=True)
        return values.tolist(), codes_N.reshape(-1).astype(np.int64, copy=False)
    # Only the distinct words are sorted: sorting millions of Python strings takes minutes.
    words = sorted(set(values_N.tolist()))
    places = {word: place for place, word in enumerate(words)}
    return words, np.fromiter(map(places.__getitem__, values_N.tolist()), np.int64, len(values_N))


def _whole(values_N: NDArray[Any], where: str) -> NDArray[np.int64]:
    """Return floats as the integers that they are."""
    need = "this tool classifies, so text, whole numbers or booleans are needed"
    # Beyond 2^53 a float no longer tells neighboring whole numbers apart.
    broken_N = ~(np.abs(values_N) <= 2.0**53) | (values_N != np.trunc(values_N))
    if broken_N.any():
        row = int(broken_N.argmax())
        raise BadData(f"row {row + 1} of {where} holds {values_N[row]}; {need}.")
    distinct = len(np.unique(values_N))
    if distinct > MOST_FLOAT_CLASSES:
        raise BadData(f"{where} holds {distinct} distinct decimal numbers; {need}.")
    return values_N.astype(np.int64)
