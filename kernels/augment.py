"""Augmentation as a pure function of a seed, so that a cached teacher can be asked about the same views."""

# Shape suffixes: N = rows, H = height, W = width, C = channels.

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit, prange, uint64
from numpy.typing import NDArray

from hpmkd_edge.kernels.draws import scramble

# Rows of mixtures count from here, so that one seed may shift and mix by draws that know nothing of each other.
MIXING: Final = 1 << 48
FULL_SHARE: Final = 1 << 16  # shares in whole parts of it: exact in float32, and the same on every machine


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _shift_rows(pixels: NDArray[np.uint8], seed: int, reach: int, flip: bool, out: NDArray[np.uint8]) -> None:
    rows, height, width, channels = pixels.shape
    span = uint64(2 * reach + 1)
    for n in prange(rows):
        draw = scramble(seed, n)
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


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _mix_rows(
    pixels: NDArray[np.uint8],
    seed: int,
    span: int,
    out: NDArray[np.uint8],
    partner: NDArray[np.int64],
    share: NDArray[np.float32],
) -> None:
    rows, height, width, channels = pixels.shape
    for n in prange(rows):
        row = np.int64(n)  # the index is unsigned, and becomes a float beside signed numbers
        draw = scramble(seed, MIXING + row)
        other = row
        if rows > 1:
            other = (row + 1 + np.int64((draw >> uint64(32)) % uint64(rows - 1))) % rows
        own = FULL_SHARE - np.int64((draw & uint64(0xFFFFFFFF)) % uint64(span + 1))
        partner[n], share[n] = other, np.float32(own / FULL_SHARE)
        for h in range(height):
            for w in range(width):
                for c in range(channels):
                    both = own * np.int64(pixels[n, h, w, c]) + (FULL_SHARE - own) * np.int64(pixels[other, h, w, c])
                    out[n, h, w, c] = (both + FULL_SHARE // 2) >> 16


def _check_images(pixels: NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 4:
        raise ValueError(f"uint8 [N, H, W, C] is needed, not {pixels.dtype} {pixels.shape}.")


def check_shift(pixels: NDArray[np.uint8], reach: int) -> None:
    """Stop where nothing can be shifted.

    Raises:
        ValueError: *pixels* is not uint8 [N, H, W, C], or *reach* is negative.
    """
    _check_images(pixels)
    if reach < 0:
        raise ValueError(f"a shift of at least 0 pixels is needed, not {reach}.")


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
    check_shift(pixels, reach)
    out = np.empty_like(pixels, order="C")
    _shift_rows(np.ascontiguousarray(pixels), seed, reach, flip, out)
    return out


def mix_images(
    pixels: NDArray[np.uint8], *, seed: int, strength: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Mix each image with another one (mixup, Zhang et al. 2018, arXiv 1710.09412): λ of itself, 1 − λ of the other.

    λ is uniform in [1 − strength/2, 1], in steps of 2⁻¹⁶: with 1/2 or more of itself a row stays the main one, which
    the paper's Beta(1, 1) is up to the order of the two. The other is any other row with equal probability.

    Args:
        pixels: uint8 [N, H, W, C].
        seed: the draws depend on it, on the row's index and on N alone, and not on those of `shift_images`.
        strength: in 0 … 1; 0 mixes nothing in.

    Returns:
        The mixtures, uint8 [N, H, W, C], rounded; the other rows' indices, int64 [N]; the λ, float32 [N]. A single row
        is mixed with itself.

    Raises:
        ValueError: *pixels* is not uint8 [N, H, W, C], or *strength* is outside of 0 … 1.
    """
    _check_images(pixels)
    if not 0 <= strength <= 1:
        raise ValueError(f"a strength in 0 … 1 is needed, not {strength}.")
    out = np.empty_like(pixels, order="C")
    partner, share = np.empty(len(pixels), np.int64), np.empty(len(pixels), np.float32)
    _mix_rows(np.ascontiguousarray(pixels), seed, round(strength * FULL_SHARE / 2), out, partner, share)
    return out, partner, share
