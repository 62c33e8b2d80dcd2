"""Columns to features: fitted on training rows, computed here and, the same, inside the shipped file."""

# Shape suffixes: N = rows, F = features, S = shares of bins, W = known values of a category.

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.task import Column, Table

# Standardized values end here: one far outlier would otherwise drown a row's other features in an MLP.
CLIP: Final = 6.0
MOST_WORDS: Final = 64
# A column of numbers has at most so many bins, and a table so many in all: a student of a few KB spends a row of its
# first layer on each.
BINS: Final = 8
MOST_SHARES: Final = 512
# Of all training rows. With fewer, students that copied 600 rows by their bins did worse than without.
LEAST_ROWS_A_BIN: Final = 300
# Training keeps the features of all rows in memory, once a view: the shares of bins may take 268 MB of it each time.
MOST_CELLS: Final = 1 << 26
ROWS_AT_ONCE: Final = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberEncoding:
    """How a column of numbers becomes one feature, or two; the shares of its bins come on top.

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
        """Features of this column, without the shares of its bins."""
        return 1 + self.marks_missing


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryEncoding:
    """How a category becomes one feature a known value: 1 where it is the row's, else 0.

    Attributes:
        name: of the column.
        words: the most frequent of train, at most MOST_WORDS, sorted: text, or whole numbers. The missing value
            is one of them if train had it. Any other value is 0 in all features.
    """

    name: str
    words: tuple[str, ...] | tuple[int, ...]

    @property
    def width(self) -> int:
        """Features of this column."""
        return len(self.words)

    @property
    def holds_text(self) -> bool:
        """Whether its values are text, not whole numbers."""
        return isinstance(self.words[0], str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a row of a table becomes F features.

    The order of the features: every number standardized; the shares of the bins of every number; the marks of
    missing numbers; the words of every category of text; the values of every category of whole numbers; each in
    the order of the columns. So a few nodes of the shipped graph serve all numbers.

    Attributes:
        columns: in the order of the table.
        edges: of the bins of each column of numbers, in float32 and increasing; none where it has no bins.
    """

    columns: tuple[NumberEncoding | CategoryEncoding, ...]
    edges: tuple[tuple[float, ...], ...]

    @property
    def numbers(self) -> tuple[NumberEncoding, ...]:
        """The columns of numbers."""
        return tuple(column for column in self.columns if isinstance(column, NumberEncoding))

    @property
    def categories(self) -> tuple[CategoryEncoding, ...]:
        """The categories, those of text first."""
        found = [column for column in self.columns if isinstance(column, CategoryEncoding)]
        return tuple(sorted(found, key=lambda category: not category.holds_text))

    @property
    def width(self) -> int:
        """F."""
        return sum(column.width for column in self.columns) + sum(max(0, len(edges) - 1) for edges in self.edges)

    def bins(self) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the number that each bin belongs to, its middle, and its width: [S] each."""
        owners = [place for place, edges in enumerate(self.edges) for _ in edges[1:]]
        ends = [np.array([edges[:-1], edges[1:]], np.float32) for edges in self.edges if edges]
        low_S, high_S = np.concatenate(ends, axis=1) if ends else np.empty((2, 0), np.float32)
        return np.array(owners, np.int32), low_S + (high_S - low_S) / 2, high_S - low_S


def fit_encoding(table: Table) -> Encoding:
    """Fit an encoding on *table*, the training rows.

    A column of numbers that is missing in all of them encodes any later value around 0, with deviation 1.
    """
    numbers = [column.values for column in table.columns if column.kind == "number"]
    most = min(MOST_SHARES, MOST_CELLS // max(1, len(table)))
    bins = min(BINS, most // max(1, len(numbers)), len(table) // LEAST_ROWS_A_BIN)
    return Encoding(
        columns=tuple(
            _fit_number(column) if column.kind == "number" else _fit_category(column) for column in table.columns
        ),
        edges=tuple(_fit_edges(values_N, bins) for values_N in numbers),
    )


def encode(encoding: Encoding, table: Table) -> NDArray[np.float32]:
    """Return the features of *table*: float32 [N, F].

    A number is filled if missing, standardized, and clipped to ±CLIP; every step is taken in float32, as
    the shipped graph takes it. Infinite values thus end at ±CLIP. The share of a bin (Gorishniy et al. 2022,
    arXiv 2203.05556, eq. 1, less ½) is −½ for a filled number below it, ½ above it, and linear inside.

    Raises:
        BadData: a column of the encoding is not in the table, or is of another kind.
    """
    columns = {column.name: column for column in table.columns}
    numbers = [_values(columns, number.name, "number") for number in encoding.numbers]
    categories = [_category_values(columns, category) for category in encoding.categories]
    features_NF = np.zeros((len(table), encoding.width), np.float32)
    # In blocks: a column of all rows would be written across all of the memory, once a column.
    for start in range(0, len(table), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        block_NF = features_NF[rows]
        used = _encode_numbers(encoding, [values_N[rows] for values_N in numbers], block_NF)
        for category, values_N in zip(encoding.categories, categories, strict=True):
            places_N = _places(category, values_N[rows])
            known = np.flatnonzero(places_N >= 0)
            block_NF[known, used + places_N[known]] = 1
            used += category.width
    return features_NF


def _encode_numbers(encoding: Encoding, columns: Sequence[NDArray[Any]], block_NF: NDArray[np.float32]) -> int:
    """Write the features of all numbers into *block_NF*, and return how many they are."""
    numbers = encoding.numbers
    share = len(numbers)
    mark = share + sum(max(0, len(edges) - 1) for edges in encoding.edges)
    owners_S, middle_S, width_S = encoding.bins()
    with np.errstate(over="ignore"):
        for place, (number, values_N) in enumerate(zip(numbers, columns, strict=True)):
            missing_N = np.isnan(values_N)
            filled_N = np.where(missing_N, np.float32(number.fill), values_N)
            scaled_N = (filled_N - np.float32(number.mean)) / np.float32(number.deviation)
            np.clip(scaled_N, -CLIP, CLIP, out=block_NF[:, place])
            for one in np.flatnonzero(owners_S == place):
                np.clip((filled_N - middle_S[one]) / width_S[one], -0.5, 0.5, out=block_NF[:, share + one])
            if number.marks_missing:
                block_NF[:, mark] = missing_N
                mark += 1
    return mark


def _places(category: CategoryEncoding, values_N: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of each value among the known ones, −1 where it is none of them."""
    if category.holds_text:
        places = {word: place for place, word in enumerate(category.words)}
        return np.fromiter((places.get(word, -1) for word in values_N), np.int64, len(values_N))
    known_W = np.array(category.words, np.int64)
    places_N = np.minimum(np.searchsorted(known_W, values_N), len(known_W) - 1)
    return np.where(known_W[places_N] == values_N, places_N, -1)


def _category_values(columns: dict[str, Column], category: CategoryEncoding) -> NDArray[Any]:
    values_N = _values(columns, category.name, "category")
    if (values_N.dtype == np.object_) != category.holds_text:
        found, needed = ("whole numbers", "text") if category.holds_text else ("text", "whole numbers")
        raise BadData(f"column {category.name!r} is a category of {found}; the encoding needs one of {needed}.")
    return values_N


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


def _fit_edges(values_N: NDArray[np.float32], bins: int) -> tuple[float, ...]:
    """Return the edges of at most *bins* bins; none where they would say no more than the standardized number."""
    from hpmkd_edge.kernels.binning import quantile_edges

    known_N = values_N[~np.isnan(values_N)]
    if bins < 2 or not len(known_N):
        return ()
    if ((known_N == known_N.min()) | (known_N == known_N.max())).all():
        return ()
    edges = tuple(quantile_edges(known_N, bins).tolist())
    return edges if len(edges) > 2 else ()


def _fit_category(column: Column) -> CategoryEncoding:
    counts = Counter(column.values.tolist())
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS]
    return CategoryEncoding(name=column.name, words=tuple(sorted(frequent)))
