"""Facts of a table's number columns, all columns in one compiled pass."""

# Shape suffixes: N = rows, M = columns.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """What is known of M columns of numbers; missing cells count in *missing* alone.

    Attributes:
        count, missing: cells with and without a value, int64 [M].
        mean, variance: float64 [M], the variance over the count; NaN without a value, and 0 for the variance of a
            constant.
        skewness, kurtosis: float64 [M], a normal distribution has 0 for both; NaN for a constant.
        lowest, highest: float64 [M]; NaN without a value.
        distinct: values that differ, int64 [M], counted up to 3: "3" is three or more.
        whole: whether all values are whole numbers, bool [M].
    """

    count: NDArray[np.int64]
    missing: NDArray[np.int64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    skewness: NDArray[np.float64]
    kurtosis: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    distinct: NDArray[np.int64]
    whole: NDArray[np.bool_]

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviations, [M]."""
        return np.sqrt(self.variance)

    @property
    def graded(self) -> NDArray[np.bool_]:
        """Whether a value in between means something, [M]: not in a column of two values, which is a yes or no."""
        return self.distinct > 2


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _describe(
    values_MN: NDArray[np.float32],
    counts: NDArray[np.int64],
    moments: NDArray[np.float64],
    ends: NDArray[np.float64],
    distinct: NDArray[np.int64],
    whole: NDArray[np.bool_],
) -> None:
    columns, rows = values_MN.shape
    for m in prange(columns):
        count, total, kinds, is_whole = 0, 0.0, 0, True
        low, high = np.inf, -np.inf
        first, second = 0.0, 0.0
        for n in range(rows):
            value = np.float64(values_MN[m, n])
            if np.isnan(value):
                continue
            count += 1
            total += value
            low, high = min(low, value), max(high, value)
            is_whole = is_whole and value == np.floor(value)
            if kinds == 0:
                first, kinds = value, 1
            elif kinds == 1 and value != first:
                second, kinds = value, 2
            elif kinds == 2 and value != first and value != second:
                kinds = 3
        counts[m], distinct[m], whole[m] = count, kinds, is_whole and count > 0
        ends[0, m], ends[1, m] = (low, high) if count else (np.nan, np.nan)
        if kinds < 2:
            # The sum of equal values is rounded, and a constant's variance would be noise.
            moments[0, m] = first if count else np.nan
            moments[1, m] = 0.0 if count else np.nan
            moments[2, m] = moments[3, m] = np.nan
            continue
        # A second pass about the mean: raw powers of values far from 0 would cancel out. The rest is what rounding took
        # from the mean itself (Chan, Golub & LeVeque 1983), kept apart so that it is not rounded off again.
        mean = total / count
        rest = 0.0
        for n in range(rows):
            if not np.isnan(values_MN[m, n]):
                rest += values_MN[m, n] - mean
        rest /= count
        scale = max(high - mean, mean - low)  # so that fourth powers neither overflow nor vanish
        square, cube, fourth = 0.0, 0.0, 0.0
        for n in range(rows):
            if not np.isnan(values_MN[m, n]):
                part = (values_MN[m, n] - mean - rest) / scale
                square += part * part
                cube += part * part * part
                fourth += part * part * part * part
        variance = square / count
        moments[0, m], moments[1, m] = mean + rest, variance * scale * scale
        moments[2, m] = cube / count / variance**1.5
        moments[3, m] = fourth / count / variance**2 - 3


def describe_columns(numbers_NM: NDArray[np.float32]) -> ColumnFacts:
    """Return the facts of each column of *numbers_NM*, accumulated in float64.

    Args:
        numbers_NM: float32 or float64 [N, M], finite; NaN where a value is missing.

    Raises:
        ValueError: *numbers_NM* is no float array of two dimensions.
    """
    if numbers_NM.ndim != 2 or numbers_NM.dtype not in (np.float32, np.float64):
        raise ValueError(f"float32 or float64 [N, M] is needed, not {numbers_NM.dtype} {numbers_NM.shape}.")
    rows, columns = numbers_NM.shape
    counts, distinct, whole = np.empty(columns, np.int64), np.empty(columns, np.int64), np.empty(columns, np.bool_)
    moments, ends = np.empty((4, columns)), np.empty((2, columns))
    _describe(np.ascontiguousarray(numbers_NM.T), counts, moments, ends, distinct, whole)
    mean, variance, skewness, kurtosis = moments
    return ColumnFacts(
        count=counts,
        missing=rows - counts,
        mean=mean,
        variance=variance,
        skewness=skewness,
        kurtosis=kurtosis,
        lowest=ends[0],
        highest=ends[1],
        distinct=distinct,
        whole=whole,
    )
