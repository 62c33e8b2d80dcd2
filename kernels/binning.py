"""Quantile bins of a column of numbers, and the share of its distribution that lies below a value."""

# Shape suffixes: N = rows, E = edges.

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

# Edges stay within it, so that the difference of two is a float32; no two are closer than the least normal one, which
# some runtimes flush to 0.
LARGEST_EDGE: Final = float(np.finfo(np.float32).max) / 4
LEAST_GAP: Final = float(np.finfo(np.float32).tiny)


@njit(inline="always")  # type: ignore[untyped-decorator]
def _bin_of(value: float, edges_E: NDArray[np.float32]) -> int:
    """Return the bin that holds *value*, by bisection: 0 below the first edge, E − 2 from the last but one on."""
    low, high = 0, len(edges_E) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if value >= edges_E[middle]:
            low = middle
        else:
            high = middle
    return low


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _bin_rows(values_N: NDArray[np.float32], edges_E: NDArray[np.float32], codes_N: NDArray[np.int32]) -> None:
    for n in prange(len(values_N)):
        value = values_N[n]
        codes_N[n] = len(edges_E) - 1 if math.isnan(value) else _bin_of(value, edges_E)


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _rank_rows(values_N: NDArray[np.float32], edges_E: NDArray[np.float32], ranks_N: NDArray[np.float32]) -> None:
    bins = np.float32(len(edges_E) - 1)
    for n in prange(len(values_N)):
        value = values_N[n]
        if math.isnan(value):
            ranks_N[n] = value
            continue
        b = _bin_of(value, edges_E)
        share = (value - edges_E[b]) / (edges_E[b + 1] - edges_E[b])
        # The bins below it are 1 each and those above are 0: their sum without a walk over them.
        ranks_N[n] = (np.float32(b) + min(max(share, np.float32(0)), np.float32(1))) / bins


def _check(values_N: NDArray[np.float32], edges_E: NDArray[np.float32]) -> None:
    for name, part in (("values", values_N), ("edges", edges_E)):
        if part.dtype != np.float32 or part.ndim != 1:
            raise ValueError(f"float32 {name} in one dimension are needed, not {part.dtype} {part.shape}.")
    if len(edges_E) < 2 or not (np.diff(edges_E) > 0).all():
        raise ValueError(f"two or more edges that increase are needed, not {edges_E.tolist()[:8]}.")


def quantile_edges(values_N: NDArray[np.float32], bins: int) -> NDArray[np.float32]:
    """Return edges between which equal shares of the values lie: the quantiles 0, 1/bins, 2/bins … 1, interpolated.

    Args:
        values_N: float32 [N]; NaN, a missing value, is passed over.
        bins: at least 1.

    Returns:
        float32 [E], strictly increasing, E ≤ bins + 1: a value that fills whole bins gives one edge, a constant column
        one in all, and one without values none. Edges lie within ±8.5e37.

    Raises:
        ValueError: *values_N* is not float32 [N], or *bins* is less than 1.
    """
    if values_N.dtype != np.float32 or values_N.ndim != 1:
        raise ValueError(f"float32 values in one dimension are needed, not {values_N.dtype} {values_N.shape}.")
    if bins < 1:
        raise ValueError(f"at least 1 bin is needed, not {bins}.")
    known_V = values_N[~np.isnan(values_N)].astype(np.float64)
    if not len(known_V):
        return np.empty(0, np.float32)
    quantiles = np.quantile(known_V.clip(-LARGEST_EDGE, LARGEST_EDGE), np.linspace(0, 1, bins + 1)).astype(np.float32)
    edges = [quantiles[0]]
    for edge in quantiles[1:]:
        if edge - edges[-1] >= LEAST_GAP:
            edges.append(edge)
    return np.array(edges, np.float32)


def bin_rows(values_N: NDArray[np.float32], edges_E: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the bin of each value, int32 [N]: b where edge b ≤ value < edge b + 1.

    A value below all edges is in bin 0, one at or above the last in bin E − 2; E − 1 stands for a missing value.

    Args:
        values_N: float32 [N], NaN where missing.
        edges_E: of `quantile_edges`, two or more.

    Raises:
        ValueError: another type or shape, or edges that do not increase.
    """
    _check(values_N, edges_E)
    codes_N = np.empty(len(values_N), np.int32)
    _bin_rows(np.ascontiguousarray(values_N), np.ascontiguousarray(edges_E), codes_N)
    return codes_N


def ranks(values_N: NDArray[np.float32], edges_E: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return where each value lies in the distribution: 0 at the first edge, 1 at the last, linear between any two.

    `Σ_b clip((x − e_b) / (e_{b+1} − e_b), 0, 1) / (E − 1)`, each step in float32, so that a graph of those operators
    gives the same up to the order of the sum.

    Args:
        values_N: float32 [N].
        edges_E: of `quantile_edges`, two or more.

    Returns:
        float32 [N] in 0 … 1; NaN for NaN.

    Raises:
        ValueError: another type or shape, or edges that do not increase.
    """
    _check(values_N, edges_E)
    ranks_N = np.empty(len(values_N), np.float32)
    _rank_rows(np.ascontiguousarray(values_N), np.ascontiguousarray(edges_E), ranks_N)
    return ranks_N
