"""Losses and their gradients for a block of rows that holds one class after another, so that loops run along rows.

NumPy's and libm's exp and log are calls, one number at a time; those below are vectorized with the loop they stand in.
The formulas of the losses are derived in `losses`.
"""

# Shape suffixes: B = rows of a block, K = classes, C = K + 2: a target, then its weight and its constant.

from __future__ import annotations

from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import float32, int32, njit
from numba.extending import intrinsic
from numpy.typing import NDArray

BLOCK: Final = 64  # rows at once: vectors are full, and all of a block's matrices stay in the second cache
TINY: Final = 1e-8  # as in distill/methods/response.py
SOFT, STANDARD, CENTERED, BRIER, SQUARES = range(5)  # forms of guidance; the first two are cross-entropies
LABELS_ALONE: Final = -1

LEAST: Final = np.float32(-87)  # exp of it is the smallest power of e that is a normal float32
LOG2_E: Final = np.float32(1.4426950408889634)
SHIFT: Final = np.float32(12582912)  # 1.5 · 2²³: adding it rounds to a whole number, held in the lowest bits
LN2_HIGH: Final = np.float32(0.693359375)
LN2_LOW: Final = np.float32(-2.12194440e-4)
LN2: Final = np.float32(0.6931471805599453)
ROOT_2: Final = np.float32(1.4142135)

Flat = NDArray[np.float32]
Matrix = NDArray[np.float32]


@intrinsic  # type: ignore[untyped-decorator]
def _bits(_: Any, number: Any) -> Any:  # noqa: ARG001
    return int32(float32), lambda context, builder, signature, given: builder.bitcast(given[0], ir.IntType(32))  # noqa: ARG005


@intrinsic  # type: ignore[untyped-decorator]
def _number(_: Any, bits: Any) -> Any:  # noqa: ARG001
    return float32(int32), lambda context, builder, signature, given: builder.bitcast(given[0], ir.FloatType())  # noqa: ARG005


# Sums must not be reordered in either: LN2 and SHIFT are split and added for what rounding makes of them.
@njit(nogil=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def exponential(x: Any) -> Any:
    """Return e^x for float32 x up to 88, within 2 units in the last place; e⁻⁸⁷ for all below −87.

    Cephes' expf: x = n · ln 2 + r, a polynomial in r, and n into the exponent's bits.
    """
    x = LEAST if x < LEAST else x  # NaN passes
    shifted = x * LOG2_E + SHIFT
    n = shifted - SHIFT
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1)
    power = np.int32(np.int32(_bits(np.float32(shifted)) << np.int32(23)) + np.int32(127 << 23))
    return p * _number(power)


@njit(nogil=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def logarithm(x: Any) -> Any:
    """Return log x for normal float32 x above 0, within 2e-7 of the larger of 1 and |log x|; NaN for NaN.

    x = 2^e · m with m around 1, and log m = 2 artanh((m − 1) / (m + 1)) as a series.
    """
    bits = _bits(x)
    exponent = np.float32(np.int32(bits >> np.int32(23)) - np.int32(127))
    m = _number(np.int32(np.int32(bits & np.int32(0x7FFFFF)) | np.int32(127 << 23)))
    large = m > ROOT_2
    m = m * np.float32(0.5) if large else m
    exponent = exponent + np.float32(1) if large else exponent
    t = (m - np.float32(1)) / (m + np.float32(1))
    s = t * t
    series = np.float32(2 / 3) + s * (np.float32(2 / 5) + s * (np.float32(2 / 7) + s * np.float32(2 / 9)))
    return exponent * LN2 + t * (np.float32(2) + s * series) + (x - x)  # the last is NaN where x is


@njit(nogil=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def soften(z_KB: Matrix, classes: int, heat: float, q_KB: Matrix, scratch_2B: Matrix) -> None:
    """Put softmax(z / heat) into *q_KB*, and the logarithm of its divisor into the first row of the scratch."""
    cold = np.float32(1 / heat)
    logs_B, total_B = scratch_2B[0], scratch_2B[1]
    for b in range(BLOCK):
        logs_B[b] = z_KB[0, b]
        total_B[b] = 0
    for k in range(1, classes):
        for b in range(BLOCK):
            logs_B[b] = z_KB[k, b] if z_KB[k, b] > logs_B[b] else logs_B[b]
    for k in range(classes):
        for b in range(BLOCK):
            power = exponential((z_KB[k, b] - logs_B[b]) * cold)
            q_KB[k, b] = power
            total_B[b] += power
    for b in range(BLOCK):
        logs_B[b] = logs_B[b] * cold + logarithm(total_B[b])
        total_B[b] = np.float32(1) / total_B[b]
    for k in range(classes):
        for b in range(BLOCK):
            q_KB[k, b] *= total_B[b]


@njit(nogil=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def centered(z_KB: Matrix, classes: int, standard: bool, out_KB: Matrix, scratch_2B: Matrix) -> None:
    """Put each row less its mean into *out_KB*, and over its deviation if *standard*: 1 / deviation is then in row 0.

    *z_KB* and *out_KB* may be one array.
    """
    inverse_B, mean_B, share = scratch_2B[0], scratch_2B[1], np.float32(1 / classes)
    for b in range(BLOCK):
        mean_B[b] = 0
        inverse_B[b] = np.float32(TINY)
    for k in range(classes):
        for b in range(BLOCK):
            mean_B[b] += z_KB[k, b] * share
    for k in range(classes):
        for b in range(BLOCK):
            less = z_KB[k, b] - mean_B[b]
            out_KB[k, b] = less
            inverse_B[b] += less * less * share
    if standard:
        for b in range(BLOCK):
            inverse_B[b] = np.float32(1) / np.float32(np.sqrt(inverse_B[b]))
        for k in range(classes):
            for b in range(BLOCK):
                out_KB[k, b] *= inverse_B[b]


@njit(nogil=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def label_block(
    z_KB: Matrix,
    labels_B: NDArray[np.int32],
    values_B: Flat,
    classes: int,
    regress: bool,
    smoothing: float,
    weight: float,
    gradient_KB: Matrix,
    scratch_2B: Matrix,
    loss_B: Flat,
) -> None:
    """Put the rows' cross-entropy, or squared distance, into *loss_B*, and *weight* times its gradient beside."""
    heavy = np.float32(weight)
    if regress:
        for b in range(BLOCK):
            away = z_KB[0, b] - values_B[b]
            loss_B[b] = away * away
            gradient_KB[0, b] = np.float32(2) * heavy * away
        return
    soften(z_KB, classes, 1.0, gradient_KB, scratch_2B)
    sure, rest = np.float32(1 - smoothing), np.float32(smoothing / classes)
    for b in range(BLOCK):
        loss_B[b] = scratch_2B[0, b]
    for k in range(classes):
        for b in range(BLOCK):
            wanted = rest + (sure if labels_B[b] == k else np.float32(0))
            loss_B[b] -= wanted * z_KB[k, b]
            gradient_KB[k, b] = heavy * (gradient_KB[k, b] - wanted)


@njit(nogil=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def guide_block(
    form: int,
    heat: float,
    scale: float,
    z_KB: Matrix,
    wanted_CB: Matrix,
    classes: int,
    gradient_KB: Matrix,
    q_KB: Matrix,
    scratch_2B: Matrix,
    loss_B: Flat,
) -> None:
    """Put the rows' weighted guidance into *loss_B*, and add its gradient; *z_KB* may be overwritten."""
    weight_B, constant_B = wanted_CB[classes], wanted_CB[classes + 1]
    total, inner, share = np.float32(scale), np.float32(scale / heat), np.float32(1 / classes)
    for b in range(BLOCK):
        loss_B[b] = 0
    if form == SOFT:
        cold = np.float32(1 / heat)
        soften(z_KB, classes, heat, q_KB, scratch_2B)
        for k in range(classes):
            for b in range(BLOCK):
                loss_B[b] += wanted_CB[k, b] * (scratch_2B[0, b] - z_KB[k, b] * cold)
                gradient_KB[k, b] += inner * weight_B[b] * (q_KB[k, b] - wanted_CB[k, b])
        for b in range(BLOCK):
            loss_B[b] = total * weight_B[b] * loss_B[b] + constant_B[b]
    elif form == STANDARD:
        cold = np.float32(1 / heat)
        inverse_B, mean_B, slope_B = scratch_2B[2], scratch_2B[3], scratch_2B[4]
        centered(z_KB, classes, True, z_KB, scratch_2B)
        for b in range(BLOCK):
            inverse_B[b] = scratch_2B[0, b]
            mean_B[b] = 0
            slope_B[b] = 0
        soften(z_KB, classes, heat, q_KB, scratch_2B)
        for k in range(classes):
            for b in range(BLOCK):
                loss_B[b] += wanted_CB[k, b] * (scratch_2B[0, b] - z_KB[k, b] * cold)
                q_KB[k, b] = inner * weight_B[b] * (q_KB[k, b] - wanted_CB[k, b])
                mean_B[b] += q_KB[k, b] * share
                slope_B[b] += q_KB[k, b] * z_KB[k, b] * share
        for k in range(classes):
            for b in range(BLOCK):
                gradient_KB[k, b] += (q_KB[k, b] - mean_B[b] - z_KB[k, b] * slope_B[b]) * inverse_B[b]
        for b in range(BLOCK):
            loss_B[b] = total * weight_B[b] * loss_B[b] + constant_B[b]
    elif form == BRIER:
        slope_B = scratch_2B[2]
        soften(z_KB, classes, 1.0, q_KB, scratch_2B)
        for b in range(BLOCK):
            slope_B[b] = 0
        for k in range(classes):
            for b in range(BLOCK):
                away = q_KB[k, b] - wanted_CB[k, b]
                loss_B[b] += away * away
                slope_B[b] += away * q_KB[k, b]
        for k in range(classes):
            for b in range(BLOCK):
                away = q_KB[k, b] - wanted_CB[k, b] - slope_B[b]
                gradient_KB[k, b] += np.float32(2) * weight_B[b] * q_KB[k, b] * away
        for b in range(BLOCK):
            loss_B[b] = weight_B[b] * loss_B[b] + constant_B[b]
    else:
        if form == CENTERED:
            centered(z_KB, classes, False, z_KB, scratch_2B)
        for k in range(classes):
            for b in range(BLOCK):
                away = z_KB[k, b] - wanted_CB[k, b]
                loss_B[b] += away * away * share
                gradient_KB[k, b] += np.float32(2) * share * weight_B[b] * away
        for b in range(BLOCK):
            loss_B[b] = weight_B[b] * loss_B[b] + constant_B[b]


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def block_scratch(classes: int) -> tuple[Matrix, Matrix, Matrix, Matrix, Matrix, NDArray[np.int32], Flat]:
    """Return zeroed logits, gradient, softmax, targets and rows of a block, its labels and its values."""
    return (
        np.zeros((classes, BLOCK), np.float32),
        np.zeros((classes, BLOCK), np.float32),
        np.zeros((classes, BLOCK), np.float32),
        np.zeros((classes + 2, BLOCK), np.float32),
        np.zeros((7, BLOCK), np.float32),
        np.zeros(BLOCK, np.int32),
        np.zeros(BLOCK, np.float32),
    )
