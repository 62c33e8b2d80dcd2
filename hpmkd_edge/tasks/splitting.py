"""Which rows train, which select, which are read once: the split that the data brings, or a drawn one."""

# Shape suffixes: N = rows.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.labels import distinct

TRAIN, VALIDATION, TEST = range(3)
PARTS: Final = ("train", "validation", "test")
NAMES: Final = {
    "train": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}
NEEDED: Final = "train, validation (or val, valid, dev) and test are needed"
HELD_OUT_PERCENT: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The part of every row.

    Attributes:
        parts: uint8, [N]: TRAIN, VALIDATION or TEST.
        rule: one sentence that lets a reader make the same split.
    """

    parts: NDArray[np.uint8]
    rule: str


def named_split(values_N: NDArray[Any], origin: str) -> Split:
    """Read the split that the data names row by row.

    Args:
        values_N: text: train, validation (or val, valid, dev), test.
        origin: where it stands: "column 'split'".

    Raises:
        BadData: a value is none of these names.
    """
    if values_N.dtype.kind not in "OU":
        raise BadData(f"{origin} holds {values_N.dtype}; {NEEDED}.")
    words, codes_N = distinct(values_N)
    for code, word in enumerate(words):
        if word not in NAMES:
            row = int((codes_N == code).argmax()) + 1
            found = repr(word) if word else "nothing"
            raise BadData(f"row {row} of {origin} holds {found}; {NEEDED}.")
    parts = np.array([NAMES[word] for word in words], np.uint8)
    return Split(parts=parts[codes_N], rule=f"The split is given by {origin}.")


def complete_split(split: Split | None, labels_N: NDArray[Any], classes: tuple[str, ...], seed: int) -> Split:
    """Return the data's own *split*, with validation or test rows drawn where it has none, or a drawn split.

    Rows are drawn class by class; without *classes*, where values are learned, from all rows alike.

    Raises:
        BadData: a class is too small to be in every part, train never shows a class, or a part is empty.
    """
    if not classes:
        labels_N = np.zeros(len(labels_N), np.int64)
    if split is None:
        return _draw_all(labels_N, classes, seed)
    sizes = np.bincount(split.parts, minlength=len(PARTS))
    if not sizes[TRAIN] or not sizes[VALIDATION] + sizes[TEST]:
        raise BadData(
            f"the split has no {PARTS[TEST if sizes[TRAIN] else TRAIN]} rows ({split.rule[:-1]}); train is needed, and "
            "test or validation: the other may be drawn from train."
        )
    in_train = np.bincount(labels_N[split.parts == TRAIN], minlength=len(classes))
    if not in_train.all():
        absent = int((in_train == 0).argmax())
        part = PARTS[int(split.parts[(labels_N == absent).argmax()])]
        raise BadData(f"class {classes[absent]!r} is in {part}, never in train; train rows of it are needed.")
    absent_parts = [part for part in (VALIDATION, TEST) if not sizes[part]]
    return _draw_part(absent_parts[0], split, labels_N, classes, seed) if absent_parts else split


def _draw_all(labels_N: NDArray[np.int64], classes: tuple[str, ...], seed: int) -> Split:
    counts = np.bincount(labels_N, minlength=len(classes))
    if counts.min() < len(PARTS):
        small = int(counts.argmin())
        rows = "1 row" if counts[small] == 1 else f"{counts[small]} rows"
        what = f"class {classes[small]!r}" if classes else "the data"
        raise BadData(f"{what} has {rows}; at least 3 are needed, one for each of train, validation and test.")
    parts = np.full(len(labels_N), TRAIN, np.uint8)
    for rows_n in _shuffled(labels_N, np.arange(len(labels_N)), seed):
        count = _held_out(len(rows_n))
        parts[rows_n[:count]] = TEST
        parts[rows_n[count : 2 * count]] = VALIDATION
    share, (each, after) = HELD_OUT_PERCENT, _phrases(classes)
    return Split(
        parts=parts,
        rule=f"The rows{each}, in the order of the data, are permuted by "
        f"numpy.random.default_rng({seed}){after}; the first {share} % (rounded half up, at "
        f"least one) are test, the next as many validation, the other {100 - 2 * share} % train.",
    )


def _phrases(classes: tuple[str, ...]) -> tuple[str, str]:
    """Return how a rule says that rows are drawn class by class; nothing where there are no classes."""
    return (" of each class", ", class after class") if classes else ("", "")


def _draw_part(part: int, split: Split, labels_N: NDArray[np.int64], classes: tuple[str, ...], seed: int) -> Split:
    """Return *split* with rows of *part* drawn from train."""
    parts = split.parts.copy()
    for rows_n in _shuffled(labels_N, np.flatnonzero(parts == TRAIN), seed):
        # A class with one train row keeps it: without it, nothing could be learned.
        count = _held_out(len(rows_n)) if len(rows_n) > 1 else 0
        parts[rows_n[:count]] = part
    if not (parts == part).any():
        who = "no class has two train rows" if classes else "there is one train row"
        raise BadData(f"{who}; at least two are needed, to draw {PARTS[part]} from.")
    each, after = _phrases(classes)
    return Split(
        parts=parts,
        rule=f"{split.rule[:-1]}; the train rows{each}, in the order of the data, are permuted by "
        f"numpy.random.default_rng({seed}){after}, and the first {HELD_OUT_PERCENT} % (rounded "
        f"half up, at least one of two) are {PARTS[part]}.",
    )


def _held_out(count: int) -> int:
    """Return how many of *count* rows are held out, in whole numbers: the same on every machine."""
    return max(1, (HELD_OUT_PERCENT * count + 50) // 100)


def _shuffled(labels_N: NDArray[np.int64], rows_M: NDArray[np.intp], seed: int) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of each class among *rows_M*, permuted."""
    generator = np.random.default_rng(seed)
    labels_M = labels_N[rows_M]
    rows_M = rows_M[np.argsort(labels_M, kind="stable")]
    ends = np.cumsum(np.bincount(labels_M))
    for rows_n in np.split(rows_M, ends[:-1]):
        yield generator.permutation(rows_n)
