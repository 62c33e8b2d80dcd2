"""Slow twins of the compiled kernels: the same laws in plain Python."""

import numpy as np

MASK = (1 << 64) - 1


def scramble(seed, row):
    z = (seed * 0x9E3779B97F4A7C15 + (row + 1) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def shift_images(pixels, *, seed, reach, flip=False):
    out = np.empty_like(pixels)
    for n, image in enumerate(pixels):
        draw = scramble(seed, n)
        down = draw % (2 * reach + 1) - reach
        right = (draw >> 20) % (2 * reach + 1) - reach
        height, width, _ = image.shape
        rows = np.clip(np.arange(height) + down, 0, height - 1)
        columns = np.clip(np.arange(width) + right, 0, width - 1)
        if flip and (draw >> 40) & 1:
            columns = width - 1 - columns
        out[n] = image[rows][:, columns]
    return out


def mix_images(pixels, *, seed, strength=1.0):
    count, full = len(pixels), 1 << 16
    out, partner, share = np.empty_like(pixels), np.empty(count, np.int64), np.empty(count, np.float32)
    for n in range(count):
        draw = scramble(seed, (1 << 48) + n)
        partner[n] = (n + 1 + (draw >> 32) % (count - 1)) % count if count > 1 else n
        own = full - (draw & 0xFFFFFFFF) % (round(strength * full / 2) + 1)
        share[n] = own / full
        both = own * pixels[n].astype(np.int64) + (full - own) * pixels[partner[n]].astype(np.int64)
        out[n] = (both + full // 2) // full
    return out, partner, share
