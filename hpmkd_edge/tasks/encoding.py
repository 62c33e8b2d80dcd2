"""Columns to features: fitted on training rows, computed here and, the same, inside the shipped file."""

# Shape suffixes: N = rows, F = features.

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.task import Column, Table

# Standardized values end here: one far outlier would otherwise drown a row's other features in an MLP.
CLIP: Final = 6.0
MOST_WORDS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberEncoding:
    """How a column of numbers becomes one feature, or two.

    Attributes:
        name: of the column.
        fill: takes the place of a missing value: the median of train.
        mean, deviation: of train, once filled; the deviation of a constant is 1.
        marks_missing: whether a feature more says 1 where the value is missing, 0 where not.
    """

    name: str
    fill: float
    mean: float
    deviation: float
    marks_missing: bool

    @property
    def width(self) -> int:
        """Features of this column."""
        return 1 + self.marks_missing


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryEncoding:
    """How a column of words becomes one feature a known word: 1 where it is the row's, else 0.

    Attributes:
        name: of the column.
        words: the most frequent of train, at most MOST_WORDS, sorted; "" is one of them if it was missing
            in train. Any other word is 0 in all features.
    """

    name: str
    words: tuple[str, ...]

    @property
    def width(self) -> int:
        """Features of this column."""
        return len(self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a row of a table becomes F features.

    The order of the features: every number, then the marks of missing numbers, then the words of every
    category, each in the order of the columns. So one node of the shipped graph scales all numbers.

    Attributes:
        columns: in the order of the table.
    """

    columns: tuple[NumberEncoding | CategoryEncoding, ...]

    @property
    def numbers(self) -> tuple[NumberEncoding, ...]:
        """The columns of numbers."""
        return tuple(column for column in self.columns if isinstance(column, NumberEncoding))

    @property
    def categories(self) -> tuple[CategoryEncoding, ...]:
        """The columns of words."""
        return tuple(column for column in self.columns if isinstance(column, CategoryEncoding))

    @property
    def width(self) -> int:
        """F."""
        return sum(column.width for column in self.columns)


def fit_encoding(table: Table) -> Encoding:
    """Fit an encoding on *table*, the training rows.

    A column of numbers that is missing in all of them encodes any later value around 0, with deviation 1.
    """
    return Encoding(
        columns=tuple(
            _fit_number(column) if column.kind == "number" else _fit_category(column) for column in table.columns
        )
    )


def encode(encoding: Encoding, table: Table) -> NDArray[np.float32]:
    """Return the features of *table*: float32 [N, F].

    A number is filled if missing, standardized, and clipped to ±CLIP; every step is taken in float32, as
    the shipped graph takes it. Infinite values thus end at ±CLIP.

    Raises:
        BadData: a column of the encoding is not in the table, or is of the other kind.
    """
    columns = {column.name: column for column in table.columns}
    features_NF = np.zeros((len(table), encoding.width), np.float32)
    numbers = encoding.numbers
    mark = len(numbers)
    for place, number in enumerate(numbers):
        values_N = _values(columns, number.name, "number")
        missing_N = np.isnan(values_N)
        with np.errstate(over="ignore"):
            filled_N = np.where(missing_N, np.float32(number.fill), values_N)
            scaled_N = (filled_N - np.float32(number.mean)) / np.float32(number.deviation)
        np.clip(scaled_N, -CLIP, CLIP, out=features_NF[:, place])
        if number.marks_missing:
            features_NF[:, mark] = missing_N
            mark += 1
    start = mark
    for category in encoding.categories:
        places = {word: start + index for index, word in enumerate(category.words)}
        values_N = _values(columns, category.name, "category")
        found_N = np.fromiter((places.get(word, -1) for word in values_N), np.int64, len(values_N))
        rows = np.flatnonzero(found_N >= 0)
        features_NF[rows, found_N[rows]] = 1
        start += category.width
    return features_NF


def _values(columns: dict[str, Column], name: str, kind: Literal["number", "category"]) -> NDArray[Any]:
    column = columns.get(name)
    if column is None or column.kind != kind:
        found = "is not in the table" if column is None else f"is a {column.kind}"
        raise BadData(f"column {name!r} {found}; the encoding needs it as a {kind}.")
    return column.values


def _fit_number(column: Column) -> NumberEncoding:
    values_N = column.values.astype(np.float64)
    missing_N = np.isnan(values_N)
    fill = 0.0 if missing_N.all() else float(np.float32(np.median(values_N[~missing_N])))
    values_N[missing_N] = fill
    deviation = float(np.float32(values_N.std()))
    # The sum of equal values is rounded, so a constant's deviation is rarely exactly 0; and one below
    # the least normal float32 would be flushed to 0 by some runtimes.
    if values_N.min() == values_N.max() or deviation < np.finfo(np.float32).tiny:
        deviation = 1.0
    return NumberEncoding(
        name=column.name,
        fill=fill,
        mean=float(np.float32(values_N.mean())),
        deviation=deviation,
        marks_missing=bool(missing_N.any()),
    )


def _fit_category(column: Column) -> CategoryEncoding:
    counts = Counter(column.values.tolist())
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS]
    return CategoryEncoding(name=column.name, words=tuple(sorted(frequent)))
