"""New rows of a table from its training rows, as pure functions of a seed, for a teacher to label."""

# Shape suffixes: N = rows, M = columns of numbers, Q = columns of words as codes, C = candidates.

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit, prange, uint64
from numpy.typing import NDArray

from hpmkd_edge.kernels.draws import low_share, normal, scramble
from hpmkd_edge.kernels.metafeatures import ColumnFacts

# Columns of codes count from here, so that no two columns share their draws.
CODES: Final = 1 << 32
LARGEST: Final = float(np.finfo(np.float32).max)
WHOLE_BELOW: Final = 2.0**53  # from there on every float64 is whole
# Rows that are compared with all others: some seconds on two cores for a hundred columns.
EXACT_ROWS: Final = 8192
CANDIDATES: Final = 4096
CANDIDATE_SEED: Final = 1 << 40


@njit(inline="always")  # type: ignore[untyped-decorator]
def source_row(draw: int, row: int, rows: int, share: float) -> int:
    """Return the row that a cell's value comes from: with probability *share* any other one, else its own."""
    if rows > 1 and low_share(draw) < share:
        return (row + 1 + np.int64((uint64(draw) >> uint64(32)) % uint64(rows - 1))) % rows  # type: ignore[no-any-return]
    return row


@njit(inline="always")  # type: ignore[untyped-decorator]
def _bounded(value: float, whole: bool) -> float:
    if whole and abs(value) < WHOLE_BELOW:
        value = float(math.floor(value + 0.5))
    # Not min and max: Numba 0.68 cannot type them for CUDA, where this runs too.
    if value > LARGEST:
        return LARGEST
    return -LARGEST if value < -LARGEST else value


@njit(inline="always")  # type: ignore[untyped-decorator]
def with_noise(value: float, draw: int, share: float, deviation: float, whole: bool) -> float:
    """Return a value with normal noise of a *deviation*, with probability *share*; whole numbers stay whole."""
    if math.isnan(value) or deviation == 0 or low_share(scramble(draw, 1)) >= share:
        return value
    return _bounded(value + deviation * normal(scramble(draw, 2)), whole)  # type: ignore[no-any-return]


@njit(inline="always")  # type: ignore[untyped-decorator]
def _swapped(value: float, other: float, draw: int, narrowing: float, graded: bool, whole: bool) -> float:
    if not graded or math.isnan(value) or math.isnan(other):
        return other
    return _bounded(other + abs(value - other) / narrowing * normal(scramble(draw, 2)), whole)  # type: ignore[no-any-return]


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _spunge_rows(
    numbers_NM: NDArray[np.float32],
    codes_NQ: NDArray[np.int32],
    deviation_M: NDArray[np.float64],
    whole_M: NDArray[np.bool_],
    seed: int,
    share: float,
    noise_share: float,
    new_NM: NDArray[np.float32],
    new_NQ: NDArray[np.int32],
) -> None:
    rows = len(new_NM)
    for n in prange(rows):
        row = np.int64(n)
        for m in range(new_NM.shape[1]):
            draw = scramble(scramble(seed, m), row)
            value = numbers_NM[source_row(draw, row, rows, share), m]
            new_NM[n, m] = with_noise(value, draw, noise_share, deviation_M[m], whole_M[m])
        for q in range(new_NQ.shape[1]):
            draw = scramble(scramble(seed, CODES + q), row)
            new_NQ[n, q] = codes_NQ[source_row(draw, row, rows, share), q]


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _nearest_rows(
    scaled_NM: NDArray[np.float32],
    codes_NQ: NDArray[np.int32],
    candidates_C: NDArray[np.int64],
    near_CM: NDArray[np.float32],
    near_CQ: NDArray[np.int32],
    nearest_N: NDArray[np.int64],
) -> None:
    for n in prange(len(scaled_NM)):
        row = np.int64(n)
        least, chosen = np.inf, row
        for c in range(len(candidates_C)):
            if candidates_C[c] == row:
                continue
            apart = 0.0
            for q in range(codes_NQ.shape[1]):
                apart += codes_NQ[row, q] != near_CQ[c, q]
            for m in range(scaled_NM.shape[1]):
                if apart >= least:
                    break  # most candidates are left after a few columns
                own, other = scaled_NM[row, m], near_CM[c, m]
                if math.isnan(own) or math.isnan(other):
                    apart += math.isnan(own) != math.isnan(other)
                else:
                    apart += (own - other) ** 2
            if apart < least:
                least, chosen = apart, candidates_C[c]
        nearest_N[n] = chosen


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _munge_rows(
    numbers_NM: NDArray[np.float32],
    codes_NQ: NDArray[np.int32],
    nearest_N: NDArray[np.int64],
    graded_M: NDArray[np.bool_],
    whole_M: NDArray[np.bool_],
    seed: int,
    share: float,
    narrowing: float,
    new_NM: NDArray[np.float32],
    new_NQ: NDArray[np.int32],
) -> None:
    for n in prange(len(new_NM)):
        row, near = np.int64(n), nearest_N[n]
        for m in range(new_NM.shape[1]):
            draw = scramble(scramble(seed, m), row)
            new_NM[n, m] = numbers_NM[row, m]
            if near != row and low_share(draw) < share:
                new_NM[n, m] = _swapped(
                    numbers_NM[row, m], numbers_NM[near, m], draw, narrowing, graded_M[m], whole_M[m]
                )
        for q in range(new_NQ.shape[1]):
            swaps = low_share(scramble(scramble(seed, CODES + q), row)) < share
            new_NQ[n, q] = codes_NQ[near if swaps else row, q]


def check_table(numbers_NM: NDArray[np.float32], codes_NQ: NDArray[np.int32], facts: ColumnFacts) -> None:
    """Stop where the parts are of no one table.

    Raises:
        ValueError: another type or shape, rows that differ in number, or facts of other columns.
    """
    for name, part, dtype in (("float32 [N, M]", numbers_NM, np.float32), ("int32 [N, Q]", codes_NQ, np.int32)):
        if part.ndim != 2 or part.dtype != dtype:
            raise ValueError(f"{name} is needed, not {part.dtype} {part.shape}.")
    if len(numbers_NM) != len(codes_NQ):
        raise ValueError(f"as many rows of numbers as of codes are needed, not {len(numbers_NM)} and {len(codes_NQ)}.")
    if len(facts.count) != numbers_NM.shape[1]:
        raise ValueError(f"facts of {numbers_NM.shape[1]} columns are needed, not of {len(facts.count)}.")


def check_share(name: str, share: float) -> None:
    """Stop where a probability is none.

    Raises:
        ValueError: *share* is outside of 0 … 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a {name} in 0 … 1 is needed, not {share}.")


def noise_of(facts: ColumnFacts, noise: float) -> NDArray[np.float64]:
    """Return the deviation of each column's noise, [M]: *noise* of its own, 0 for a column of fewer than 3 values."""
    return np.where(facts.graded, noise * facts.deviation, 0.0)


def spunge(
    numbers_NM: NDArray[np.float32],
    codes_NQ: NDArray[np.int32],
    facts: ColumnFacts,
    *,
    seed: int,
    share: float = 0.1,
    noise: float = 0.1,
    noise_share: float = 0.1,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Take some cells from other rows, each column by itself, then add noise to some numbers.

    A cell's draws depend on the seed, its row and its column; what it may become depends on the column's values.
    A missing value is a value like any other where cells are taken, and has no noise. Noise is rounded in columns of
    whole numbers, and left out in columns of one or two values.

    Args:
        numbers_NM: float32 [N, M], NaN where missing.
        codes_NQ: int32 [N, Q], any numbers that stand for words.
        facts: of the M columns, of `describe_columns`.
        share: probability that a cell takes the value of any other row.
        noise: deviation of the noise, in standard deviations of the column.
        noise_share: probability that a number has noise.

    Returns:
        Two new arrays of the same shapes.

    Raises:
        ValueError: the parts are of no one table, a probability is outside of 0 … 1, or *noise* is negative.
    """
    check_table(numbers_NM, codes_NQ, facts)
    check_share("share", share)
    check_share("share of noise", noise_share)
    if not noise >= 0:
        raise ValueError(f"noise of at least 0 deviations is needed, not {noise}.")
    new_NM, new_NQ = np.empty(numbers_NM.shape, np.float32), np.empty(codes_NQ.shape, np.int32)
    rows = np.ascontiguousarray(numbers_NM), np.ascontiguousarray(codes_NQ)
    _spunge_rows(*rows, noise_of(facts, noise), facts.whole, seed, share, noise_share, new_NM, new_NQ)
    return new_NM, new_NQ


def nearest_rows(
    numbers_NM: NDArray[np.float32], codes_NQ: NDArray[np.int32], facts: ColumnFacts, *, seed: int
) -> NDArray[np.int64]:
    """Return for each row the nearest other one: int64 [N], the first of several; a single row is its own.

    The distance is the sum of the squared differences of standardized numbers and of 1 for each pair of words that
    differ, and for each number that one of the two is missing. Up to 8,192 rows all others are compared; of more, only
    4,096 drawn by *seed*, so that a row's neighbor is near and no longer the nearest.

    Raises:
        ValueError: the parts are of no one table.
    """
    check_table(numbers_NM, codes_NQ, facts)
    rows = len(numbers_NM)
    candidates_C = np.arange(rows)
    if rows > EXACT_ROWS:
        generator = np.random.default_rng((seed, CANDIDATE_SEED))
        candidates_C = np.sort(generator.choice(rows, CANDIDATES, replace=False))
    deviation_M = np.where(facts.variance > 0, facts.deviation, 1.0)
    scaled_NM = ((numbers_NM - np.nan_to_num(facts.mean)) / deviation_M).astype(np.float32)
    whole_NQ, nearest_N = np.ascontiguousarray(codes_NQ), np.empty(rows, np.int64)
    _nearest_rows(scaled_NM, whole_NQ, candidates_C, scaled_NM[candidates_C], whole_NQ[candidates_C], nearest_N)
    return nearest_N


def munge(
    numbers_NM: NDArray[np.float32],
    codes_NQ: NDArray[np.int32],
    facts: ColumnFacts,
    *,
    seed: int,
    share: float = 0.2,
    narrowing: float = 2.0,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Move each row toward its nearest other one (Bucila, Caruana & Niculescu-Mizil 2006, "Model compression").

    With probability *share* a cell takes its neighbor's value: of words, and of columns of one or two values, that
    itself; of other numbers a normal draw around it. Unlike there, the neighbor does not take the row's value in
    return: rows then follow from the seed alone, in whatever order they are made.

    Args:
        numbers_NM, codes_NQ, facts: as for `spunge`; the neighbors are those of `nearest_rows`.
        share: the paper's p.
        narrowing: the paper's s: the draw's deviation is the difference of the two values, over s.

    Returns:
        Two new arrays of the same shapes. A missing value is taken as it is, and so is the value for a missing one.

    Raises:
        ValueError: the parts are of no one table, *share* is outside of 0 … 1, or *narrowing* is not positive.
    """
    check_share("share", share)
    if not narrowing > 0:
        raise ValueError(f"a narrowing above 0 is needed, not {narrowing}.")
    nearest_N = nearest_rows(numbers_NM, codes_NQ, facts, seed=seed)
    new_NM, new_NQ = np.empty(numbers_NM.shape, np.float32), np.empty(codes_NQ.shape, np.int32)
    rows = np.ascontiguousarray(numbers_NM), np.ascontiguousarray(codes_NQ)
    _munge_rows(*rows, nearest_N, facts.graded, facts.whole, seed, share, narrowing, new_NM, new_NQ)
    return new_NM, new_NQ
