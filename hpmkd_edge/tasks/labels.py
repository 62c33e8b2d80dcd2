"""Raw labels to class numbers, or to values: which of both, which classes there are, and in which order."""

# Shape suffixes: N = rows.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadConfiguration, BadData
from hpmkd_edge.tasks.task import Goal

# Of numbers: more distinct ones than this are values where nobody says otherwise.
MOST_CLASSES: Final = 50
# The grain of float32 at the largest value, over the values' deviation: above it, answers would be rounded visibly.
COARSEST: Final = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of all rows.

    Attributes:
        codes: [N]: int64, each in 0 … classes − 1; or float32, values in the units of the data.
        classes: class names in the order of the outputs; none for values.
        note: a sentence for the report where nobody said that values are learned, or where two classes look alike.
    """

    codes: NDArray[Any]
    classes: tuple[str, ...]
    note: str | None = None


def read_labels(values_N: NDArray[Any], where: str, *, goal: Goal | None, table: bool) -> Labels:
    """Return raw labels, none of them missing, as classes or as values.

    Args:
        where: how a message calls the labels: "label column 'income'".
        goal: what the user says that they are. By default decimal numbers that are not all whole are values, and so are
            more than 50 distinct numbers.
        table: whether the inputs are a table; the labels of images are classes.

    Raises:
        BadConfiguration: values are asked for, of images.
        BadData: the labels cannot be used as what they are to be.
    """
    if goal == "value" and not table:
        raise BadConfiguration(f"--goal value is for a table, and {where} are those of images; leave it out.")
    if goal == "value":
        return Labels(codes=_values(values_N, where), classes=())
    found = _sign_of_values(values_N) if goal is None and table else None
    if found is not None:
        whole = bool((values_N == np.trunc(values_N)).all())
        other = "; --goal classes would take each for a class" if whole else ""
        note = f"The {where} holds {found}, so it is learned by value{other}."
        return Labels(codes=_values(values_N, where), classes=(), note=note)
    return code_labels(values_N, where, most_floats=None if goal == "classes" else MOST_CLASSES)


def hold_decimals(values_N: NDArray[Any]) -> bool:
    """Return whether raw labels, none of them missing, are numbers that are not all whole."""
    return values_N.dtype.kind == "f" and bool((values_N != np.trunc(values_N)).any())


def _sign_of_values(values_N: NDArray[Any]) -> str | None:
    """Return what says that numbers are values, or None."""
    if values_N.dtype.kind not in "iuf":
        return None
    if hold_decimals(values_N):
        return "decimal numbers"
    distinct = len(np.unique(values_N))
    return f"{distinct} distinct numbers" if distinct > MOST_CLASSES else None


def _values(values_N: NDArray[Any], where: str) -> NDArray[np.float32]:
    """Return numbers as float32.

    Raises:
        BadData: they are no numbers, one is not finite, all are equal, or float32 cannot tell them apart.
    """
    if values_N.dtype.kind not in "iuf":
        kind = {"b": "booleans", "O": "text", "U": "text"}.get(values_N.dtype.kind, str(values_N.dtype))
        raise BadData(f"{where} holds {kind}; numbers are needed to learn it by value.")
    with np.errstate(over="ignore"):
        labels_N = values_N.astype(np.float32)
    strange_N = ~np.isfinite(labels_N)
    if strange_N.any():
        row = int(strange_N.argmax())
        raise BadData(f"row {row + 1} of {where} holds {values_N[row]}; finite numbers up to 3.4e38 are needed.")
    if values_N.min() == values_N.max():
        raise BadData(f"{where} holds one value only, {values_N[0]:g}; values that differ are needed.")
    largest, deviation = np.abs(labels_N).max(), float(values_N.astype(np.float64).std())
    if float(np.spacing(largest)) > COARSEST * deviation:
        raise BadData(
            f"{where} holds values up to {largest:g} that differ by {deviation:.3g}, too little for numbers of 32 bits;"
            " a constant less in each is needed."
        )
    return np.asarray(labels_N + np.float32(0), np.float32)  # one zero: −0 would change the digest


def code_labels(values_N: NDArray[Any], where: str, *, most_floats: int | None = MOST_CLASSES) -> Labels:
    """Number the classes of raw labels, none of them missing.

    Integers sort as numbers; text sorts as text, "10" before "2", as scikit-learn and the image
    folders of torchvision order it, so that a teacher's outputs fall on their own classes.

    Args:
        values_N: integers, booleans, text, or floats that are whole numbers.
        where: how a message calls the labels: "label column 'income'".
        most_floats: of distinct floats, or None for any number.

    Raises:
        BadData: labels of another kind, a measurement instead of classes, or one class only.
    """
    kind = values_N.dtype.kind
    if kind == "f":
        values_N = _whole(values_N, where, most_floats)
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
    return Labels(codes=codes, classes=classes, note=_note_of_spaces(classes, where))


def _note_of_spaces(classes: tuple[str, ...], where: str) -> str | None:
    """Return a sentence about two classes that white space alone tells apart, or None."""
    first: dict[str, str] = {}
    for name in classes:
        same = first.setdefault(" ".join(name.split()), name)
        if same != name:
            return f"The {where} holds {same!r} and {name!r}, which white space alone tells apart, as two classes."
    return None


def distinct(values_N: NDArray[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the distinct values, sorted, and the place of each value among them: int64 [N]."""
    if values_N.dtype != np.object_:
        values, codes_N = np.unique(values_N, return_inverse=True)
        return values.tolist(), codes_N.reshape(-1).astype(np.int64, copy=False)
    # Only the distinct words are sorted: sorting millions of Python strings takes minutes.
    words = sorted(set(values_N.tolist()))
    places = {word: place for place, word in enumerate(words)}
    return words, np.fromiter(map(places.__getitem__, values_N.tolist()), np.int64, len(values_N))


def _whole(values_N: NDArray[Any], where: str, most: int | None) -> NDArray[np.int64]:
    """Return floats as the integers that they are."""
    need = "text, whole numbers or booleans are needed for classes"
    # Beyond 2^53 a float no longer tells neighboring whole numbers apart.
    broken_N = ~(np.abs(values_N) <= 2.0**53) | (values_N != np.trunc(values_N))
    if broken_N.any():
        row = int(broken_N.argmax())
        raise BadData(f"row {row + 1} of {where} holds {values_N[row]}; {need}.")
    distinct = len(np.unique(values_N))
    if most is not None and distinct > most:
        raise BadData(f"{where} holds {distinct} distinct decimal numbers; {need}.")
    return values_N.astype(np.int64)
