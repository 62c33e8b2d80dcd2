"""Layers of a perceptron: how they lie in memory, forward, backward, and a step of AdamW."""

# Shape suffix: P = parameters.

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hpmkd_edge.kernels.loss_blocks import BLOCK
from hpmkd_edge.kernels.products import UNIT, add_product, affine, affine_relu, gated_product

BETAS: Final = (0.9, 0.999)  # AdamW's, as torch.optim has them
EPSILON: Final = 1e-8

Flat = NDArray[np.float32]
Whole = NDArray[np.int64]


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def padded(count: int) -> int:
    """Return the next multiple of 8."""
    return (count + UNIT - 1) // UNIT * UNIT


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def places(widths: Whole) -> tuple[Whole, Whole]:
    """Return where each layer's weights begin as they lie in an epoch, and its inputs in a block; then the ends."""
    layers = len(widths) - 1
    weights_at, inputs_at = np.zeros(layers + 1, np.int64), np.zeros(layers + 2, np.int64)
    for layer in range(layers):
        weights_at[layer + 1] = weights_at[layer] + (padded(widths[layer]) + 1) * padded(widths[layer + 1])
    for layer in range(layers + 1):
        inputs_at[layer + 1] = inputs_at[layer] + BLOCK * padded(widths[layer])
    return weights_at, inputs_at


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def arrange(widths: Whole, weights_at: Whole, flat_P: Flat, laid: Flat, back: bool) -> None:
    """Lay a flat vector out as an epoch wants it; or, *back*, write it from there."""
    p = 0
    for layer in range(len(widths) - 1):
        inputs, outputs, stride = widths[layer], widths[layer + 1], padded(widths[layer + 1])
        for j in range(outputs):
            for i in range(inputs):
                at = weights_at[layer] + i * stride + j
                if back:
                    flat_P[p] = laid[at]
                else:
                    laid[at] = flat_P[p]
                p += 1
        bias_at = weights_at[layer] + padded(inputs) * stride
        for j in range(outputs):
            if back:
                flat_P[p] = laid[bias_at + j]
            else:
                laid[bias_at + j] = flat_P[p]
            p += 1


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def turn(widths: Whole, weights_at: Whole, laid: Flat, turned: Flat) -> None:
    """Transpose all layers but the first, for the gradient of their inputs."""
    for layer in range(1, len(widths) - 1):
        at, stride, across = weights_at[layer], padded(widths[layer + 1]), padded(widths[layer])
        for j in range(widths[layer + 1]):
            for i in range(widths[layer]):
                turned[at + j * across + i] = laid[at + i * stride + j]


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def forward(widths: Whole, weights_at: Whole, inputs_at: Whole, weights: Flat, block: Flat, rows: int) -> None:
    """Fill each layer's outputs for *rows* rows, a multiple of 8, of the inputs in *block*."""
    last = len(widths) - 2
    for layer in range(last + 1):
        stride, across = padded(widths[layer + 1]), padded(widths[layer])
        at = weights_at[layer]
        arguments = (block, inputs_at[layer + 1], stride, rows, stride, block, inputs_at[layer], across, 1, weights, at,
                     stride, at + across * stride, widths[layer])  # fmt: skip
        if layer < last:
            affine_relu(*arguments)
        else:
            affine(*arguments)


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def backward(
    widths: Whole,
    weights_at: Whole,
    inputs_at: Whole,
    turned: Flat,
    block: Flat,
    rows: int,
    gradient: Flat,
) -> None:
    """Add the weights' gradient; the outputs in *block* hold theirs, and each layer's inputs are replaced by it."""
    for layer in range(len(widths) - 2, -1, -1):
        stride, across = padded(widths[layer + 1]), padded(widths[layer])
        at, slope_at, input_at = weights_at[layer], inputs_at[layer + 1], inputs_at[layer]
        add_product(gradient, at, stride, across, stride, block, input_at, 1, across, block, slope_at, stride, 0, rows)
        bias = gradient[at + across * stride : at + (across + 1) * stride]
        for b in range(rows):
            slope = block[slope_at + b * stride : slope_at + (b + 1) * stride]
            for j in range(stride):
                bias[j] += slope[j]
        if layer > 0:
            gated_product(block, input_at, across, rows, across, block, slope_at, stride, 1, turned, at, across, 0,
                          widths[layer + 1])  # fmt: skip


# A sum in any order, so that it is vectorized; NaN stays NaN.
@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def length(gradient_P: Flat) -> float:
    """Return the Euclidean norm."""
    total = np.float32(0)
    for p in range(len(gradient_P)):
        total += gradient_P[p] * gradient_P[p]
    return math.sqrt(total)


@njit(nogil=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def descend(
    weights_P: Flat,
    first_P: Flat,
    second_P: Flat,
    gradient_P: Flat,
    taken: int,
    rate: float,
    decay: float,
    scale: float,
) -> None:
    """Take step *taken* (from 1) on all parameters (Loshchilov & Hutter 2019, arXiv 1711.05101).

    Args:
        decay: decoupled, and multiplied by *rate*.
        scale: of the gradient, from `clipping`.
    """
    keep_1, keep_2 = np.float32(BETAS[0]), np.float32(BETAS[1])
    new_1, new_2 = np.float32(1 - BETAS[0]), np.float32(1 - BETAS[1])
    root = np.float32(1 / math.sqrt(1 - BETAS[1] ** taken))
    step, kept = np.float32(rate / (1 - BETAS[0] ** taken)), np.float32(1 - rate * decay)
    short, epsilon = np.float32(scale), np.float32(EPSILON)
    for p in range(len(weights_P)):
        slope = gradient_P[p] * short
        first = keep_1 * first_P[p] + new_1 * slope
        second = keep_2 * second_P[p] + new_2 * slope * slope
        first_P[p] = first
        second_P[p] = second
        weights_P[p] = weights_P[p] * kept - step * first / (np.sqrt(second) * root + epsilon)


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def clipping(norm: float, longest: float) -> float:
    """Return what a gradient of this *norm* is multiplied by, as torch's clip_grad_norm_ does it."""
    scale = longest / (norm + 1e-6)
    return 1.0 if scale > 1.0 else scale  # NaN passes


# Sums in any order, so that the products of a row are vectorized.
@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def answer_row(weights_P: Flat, widths: Whole, row: Flat, spare_2W: NDArray[np.float32], out: Flat) -> None:
    """Put a single row's outputs into *out*, from weights as they lie outside of an epoch."""
    at, last = 0, len(widths) - 2
    entering = row
    for layer in range(last + 1):
        inputs, outputs = widths[layer], widths[layer + 1]
        leaving = out if layer == last else spare_2W[layer % 2]
        bias_at = at + inputs * outputs
        for j in range(outputs):
            own = weights_P[at + j * inputs : at + (j + 1) * inputs]
            total = np.float32(0)
            for i in range(inputs):
                total += own[i] * entering[i]
            total += weights_P[bias_at + j]
            leaving[j] = np.float32(0) if layer < last and total < 0 else total
        at, entering = bias_at + outputs, leaving
