"""Counter-based draws: each follows from a seed and a place alone, whatever the order or the number of threads."""

from __future__ import annotations

import math
from typing import Final

from numba import njit, uint64

UNIT: Final = 2.0**-32


@njit(inline="always")  # type: ignore[untyped-decorator]
def scramble(seed: int, row: int) -> int:
    """SplitMix64's finalizer: 64 bits for a seed and a row."""
    z = uint64(seed) * uint64(0x9E3779B97F4A7C15) + (uint64(row) + uint64(1)) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return z ^ (z >> uint64(31))  # type: ignore[no-any-return]


@njit(inline="always")  # type: ignore[untyped-decorator]
def low_share(draw: int) -> float:
    """Return the lower half of a draw's bits as a number from 0 to below 1."""
    return float(uint64(draw) & uint64(0xFFFFFFFF)) * UNIT


@njit(inline="always")  # type: ignore[untyped-decorator]
def high_share(draw: int) -> float:
    """Return the upper half of a draw's bits as a number from 0 to below 1."""
    return float(uint64(draw) >> uint64(32)) * UNIT


@njit(inline="always")  # type: ignore[untyped-decorator]
def normal(draw: int) -> float:
    """Return a standard normal number (Box and Muller 1958) of a draw; its size is below 6.7."""
    # Half a unit more, so that the logarithm is of no zero.
    return math.sqrt(-2 * math.log(low_share(draw) + UNIT / 2)) * math.cos(2 * math.pi * high_share(draw))
