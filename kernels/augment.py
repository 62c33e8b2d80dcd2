"""Augmentation as a pure function of a seed, so that a cached teacher can be asked about the same views."""

# Shape suffixes: N = rows, H = height, W = width, C = channels.

from __future__ import annotations

import numpy as np
from numba import njit, prange, uint64
from numpy.typing import NDArray


@njit(inline="always")  # type: ignore[untyped-decorator]
def _scramble(seed: int, row: int) -> int:
    """SplitMix64's finalizer: a counter-based draw, the same whatever the order or number of threads."""
    z = uint64(seed) * uint64(0x9E3779B97F4A7C15) + (uint64(row) + uint64(1)) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return z ^ (z >> uint64(31))  # type: ignore[no-any-return]


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _shift_rows(pixels: NDArray[np.uint8], seed: int, reach: int, flip: bool, out: NDArray[np.uint8]) -> None:
    rows, height, width, channels = pixels.shape
    span = uint64(2 * reach + 1)
    for n in prange(rows):
        draw = _scramble(seed, n)
        down = np.int64(draw % span) - reach
        right = np.int64((draw >> uint64(20)) % span) - reach
        mirrored = flip and ((draw >> uint64(40)) & uint64(1)) == uint64(1)
        for h in range(height):
            # Clamped: the edge is repeated, so that a shift brings in no color that the image hasn't.
            source_h = min(max(h + down, 0), height - 1)
            for w in range(width):
                source_w = min(max(w + right, 0), width - 1)
                if mirrored:
                    source_w = width - 1 - source_w
                for c in range(channels):
                    out[n, h, w, c] = pixels[n, source_h, source_w, c]


def shift_images(pixels: NDArray[np.uint8], *, seed: int, reach: int, flip: bool = False) -> NDArray[np.uint8]:
    """Shift each image by up to *reach* pixels down and right, edges repeated; mirror half of them if *flip*.

    Args:
        pixels: uint8 [N, H, W, C].
        seed: the draws depend on it and on the row's index alone.
        reach: the largest shift in pixels, at least 0.
        flip: mirror left and right with probability one half.

    Returns:
        uint8 [N, H, W, C], a new array.

    Raises:
        ValueError: *pixels* is not uint8 [N, H, W, C], or *reach* is negative.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 4:
        raise ValueError(f"uint8 [N, H, W, C] is needed, not {pixels.dtype} {pixels.shape}.")
    if reach < 0:
        raise ValueError(f"a shift of at least 0 pixels is needed, not {reach}.")
    out = np.empty_like(pixels, order="C")
    _shift_rows(np.ascontiguousarray(pixels), seed, reach, flip, out)
    return out
