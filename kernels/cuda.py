"""The row-parallel kernels on a GPU. To import it costs the start of Numba's CUDA target: import it where asked for.

Arrays are the host's, in and out. With NUMBA_ENABLE_CUDASIM=1 set before Numba is imported, the kernels run on the CPU.
"""

# Shape suffixes: N = rows, K = classes, H = height, W = width, C = channels, M = columns of numbers, Q = of words,
# I = inputs and O = outputs of a layer.

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numba import cuda, float32, uint64
from numpy.typing import NDArray

from hpmkd_edge.kernels.augment import check_shift
from hpmkd_edge.kernels.draws import scramble
from hpmkd_edge.kernels.metafeatures import ColumnFacts
from hpmkd_edge.kernels.table_views import (
    CODES,
    check_share,
    check_table,
    noise_of,
    source_row,
    with_noise,
)

THREADS: Final = 128  # a block, where a thread does a row
TILE: Final = 16  # rows and outputs of a block of a dense layer


def is_available() -> bool:
    """Tell whether there is a CUDA device, or the simulator."""
    return bool(cuda.is_available())


def _check_available() -> None:
    if not is_available():
        raise RuntimeError("Numba finds no CUDA device; one is needed, or NUMBA_ENABLE_CUDASIM=1.")


def _blocks(count: int, size: int) -> int:
    return max(1, -(-count // size))


@cuda.jit  # type: ignore[untyped-decorator]
def _distill_rows(
    student_NK: NDArray[np.float32],
    teacher_NK: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    temperature: float,
    ce_weight: float,
    kd_weight: float,
    smoothing: float,
    losses_N: NDArray[np.float32],
    gradient_NK: NDArray[np.float32],
) -> None:
    n = cuda.grid(1)
    if n >= len(student_NK):
        return
    classes = student_NK.shape[1]
    top, top_t = student_NK[n, 0], teacher_NK[n, 0]
    for k in range(1, classes):
        # Comparisons, here and below: Numba 0.68 cannot type min and max for CUDA.
        top = student_NK[n, k] if student_NK[n, k] > top else top
        top_t = teacher_NK[n, k] if teacher_NK[n, k] > top_t else top_t
    whole, soft, soft_t = 0.0, 0.0, 0.0
    for k in range(classes):
        whole += math.exp(student_NK[n, k] - top)
        soft += math.exp((student_NK[n, k] - top) / temperature)
        soft_t += math.exp((teacher_NK[n, k] - top_t) / temperature)
    log_whole, log_soft, log_soft_t = math.log(whole), math.log(soft), math.log(soft_t)
    entropy, divergence = 0.0, 0.0
    for k in range(classes):
        target = smoothing / classes
        if k == labels_N[n]:
            target += 1.0 - smoothing
        log_p = student_NK[n, k] - top - log_whole
        log_q = (student_NK[n, k] - top) / temperature - log_soft
        log_t = (teacher_NK[n, k] - top_t) / temperature - log_soft_t
        entropy -= target * log_p
        divergence += math.exp(log_t) * (log_t - log_q)
        by_label = ce_weight * (math.exp(log_p) - target)
        by_teacher = kd_weight * temperature * (math.exp(log_q) - math.exp(log_t))
        gradient_NK[n, k] = (by_label + by_teacher) / len(student_NK)
    losses_N[n] = ce_weight * entropy + kd_weight * temperature * temperature * divergence


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def _draw(seed: int, column: int, row: int) -> int:
    # As uint64 on the way: in the simulator a compiled function hands back an int that no longer is one.
    return uint64(scramble(uint64(scramble(seed, column)), row))  # type: ignore[no-any-return]


@cuda.jit  # type: ignore[untyped-decorator]
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
    n = cuda.grid(1)
    rows = len(new_NM)
    if n >= rows:
        return
    for m in range(new_NM.shape[1]):
        draw = _draw(seed, m, n)
        value = numbers_NM[source_row(draw, n, rows, share), m]
        new_NM[n, m] = with_noise(value, draw, noise_share, deviation_M[m], whole_M[m])
    for q in range(new_NQ.shape[1]):
        draw = _draw(seed, CODES + q, n)
        new_NQ[n, q] = codes_NQ[source_row(draw, n, rows, share), q]


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def _clamped(place: int, size: int) -> int:
    if place < 0:
        return 0
    return place if place < size else size - 1


@cuda.jit  # type: ignore[untyped-decorator]
def _shift_rows(pixels: NDArray[np.uint8], seed: int, reach: int, flip: bool, out: NDArray[np.uint8]) -> None:
    n = cuda.grid(1)
    rows, height, width, channels = pixels.shape
    if n >= rows:
        return
    draw, span = uint64(scramble(seed, n)), uint64(2 * reach + 1)
    down = int(draw % span) - reach
    right = int((draw >> uint64(20)) % span) - reach
    mirrored = flip and ((draw >> uint64(40)) & uint64(1)) == uint64(1)
    for h in range(height):
        source_h = _clamped(h + down, height)
        for w in range(width):
            source_w = _clamped(w + right, width)
            if mirrored:
                source_w = width - 1 - source_w
            for c in range(channels):
                out[n, h, w, c] = pixels[n, source_h, source_w, c]


@cuda.jit  # type: ignore[untyped-decorator]
def _dense(
    inputs_NI: NDArray[np.float32],
    weights_OI: NDArray[np.float32],
    bias_O: NDArray[np.float32],
    rectified: bool,
    outputs_NO: NDArray[np.float32],
) -> None:
    """Compute a layer tile by tile: each number is read from global memory once a tile, not once a product."""
    own_rows = cuda.shared.array((TILE, TILE), float32)
    own_weights = cuda.shared.array((TILE, TILE), float32)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    o, n = cuda.grid(2)
    rows, inputs = inputs_NI.shape
    outputs = len(bias_O)
    first_output = o - x
    total = float32(0)
    for start in range(0, inputs, TILE):
        own_rows[y, x] = inputs_NI[n, start + x] if n < rows and start + x < inputs else float32(0)
        weighed = first_output + y
        own_weights[y, x] = weights_OI[weighed, start + x] if weighed < outputs and start + x < inputs else float32(0)
        cuda.syncthreads()
        for i in range(TILE):
            total += own_rows[y, i] * own_weights[x, i]
        cuda.syncthreads()
    if n < rows and o < outputs:
        total += bias_O[o]
        outputs_NO[n, o] = float32(0) if rectified and total < float32(0) else total


def distill(
    student_NK: NDArray[np.float32],
    teacher_NK: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    *,
    temperature: float,
    ce_weight: float = 1.0,
    kd_weight: float = 1.0,
    smoothing: float = 0.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each row's `ce_weight · CE + kd_weight · T² · KL(teacher ‖ student)`, and the gradient of their mean.

    KD after Hinton, Vinyals & Dean 2015 (arXiv 1503.02531); a thread does a row.

    Args:
        student_NK, teacher_NK: logits, float32 [N, K].
        labels_N: int64 [N], each in 0 … K − 1.
        temperature: T, above 0.
        smoothing: ε of the labels, as PyTorch spreads it: over all classes.

    Returns:
        float32 [N] and [N, K].

    Raises:
        ValueError: another type or shape, a label out of range, or a temperature that is not positive.
        RuntimeError: there is no CUDA device.
    """
    for name, part in (("student", student_NK), ("teacher", teacher_NK)):
        if part.dtype != np.float32 or part.ndim != 2 or part.shape != student_NK.shape:
            raise ValueError(f"the {name} needs float32 {list(student_NK.shape)}, not {part.dtype} {part.shape}.")
    rows, classes = student_NK.shape
    if labels_N.shape != (rows,) or labels_N.dtype != np.int64:
        raise ValueError(f"int64 labels of {rows} rows are needed, not {labels_N.dtype} {labels_N.shape}.")
    if rows and not 0 <= labels_N.min() <= labels_N.max() < classes:
        raise ValueError(f"labels in 0 … {classes - 1} are needed, not {labels_N.min()} … {labels_N.max()}.")
    if not temperature > 0:
        raise ValueError(f"a temperature above 0 is needed, not {temperature}.")
    losses_N, gradient_NK = np.empty(rows, np.float32), np.empty((rows, classes), np.float32)
    weights = temperature, ce_weight, kd_weight, smoothing
    _over_rows(_distill_rows, rows, (student_NK, teacher_NK, labels_N, *weights), (losses_N, gradient_NK))
    return losses_N, gradient_NK


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
    """Return what `table_views.spunge` returns, up to the last bit of the noise; a thread does a row.

    Raises:
        ValueError: as there.
        RuntimeError: there is no CUDA device.
    """
    check_table(numbers_NM, codes_NQ, facts)
    check_share("share", share)
    check_share("share of noise", noise_share)
    rows = len(numbers_NM)
    # A device array has no memory without elements: a column of zeros stands in for none.
    numbers = numbers_NM if numbers_NM.shape[1] else np.zeros((rows, 1), np.float32)
    codes = codes_NQ if codes_NQ.shape[1] else np.zeros((rows, 1), np.int32)
    deviation_M = noise_of(facts, noise) if numbers_NM.shape[1] else np.zeros(1)
    whole_M = facts.whole if numbers_NM.shape[1] else np.zeros(1, np.bool_)
    new_NM, new_NQ = np.empty(numbers.shape, np.float32), np.empty(codes.shape, np.int32)
    _over_rows(_spunge_rows, rows, (numbers, codes, deviation_M, whole_M, seed, share, noise_share), (new_NM, new_NQ))
    return new_NM[:, : numbers_NM.shape[1]], new_NQ[:, : codes_NQ.shape[1]]


def shift_images(pixels: NDArray[np.uint8], *, seed: int, reach: int, flip: bool = False) -> NDArray[np.uint8]:
    """Return what `augment.shift_images` returns, byte for byte; a thread does an image.

    Raises:
        ValueError: as there.
        RuntimeError: there is no CUDA device.
    """
    check_shift(pixels, reach)
    out = np.empty_like(pixels, order="C")
    _over_rows(_shift_rows, len(pixels), (pixels, seed, reach, flip), (out,))
    return out


def logits(
    weights_P: NDArray[np.float32], widths: Sequence[int] | NDArray[np.int64], features_NF: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return a perceptron's outputs, float32 [N, K]; a block does 16 rows × 16 outputs of a layer.

    Args:
        weights_P: layer by layer the weights [out, in] and the biases [out], as torch's Sequential(Linear, ReLU, …)
            lists them; ReLU between any two layers.
        widths: inputs, hidden units, outputs.
        features_NF: float32 [N, F].

    Raises:
        ValueError: another type or shape, or weights of another number than the widths say.
        RuntimeError: there is no CUDA device.
    """
    sizes = [int(width) for width in widths]
    needed = sum(o * i + o for i, o in pairwise(sizes))
    if len(sizes) < 2 or weights_P.shape != (needed,) or weights_P.dtype != np.float32:
        found = f"{weights_P.dtype} {weights_P.shape}"
        raise ValueError(f"float32 weights ({needed},) are needed for the widths {sizes}, not {found}.")
    if features_NF.ndim != 2 or features_NF.shape[1] != sizes[0] or features_NF.dtype != np.float32:
        raise ValueError(f"float32 [N, {sizes[0]}] is needed, not {features_NF.dtype} {features_NF.shape}.")
    _check_available()
    rows, place = len(features_NF), 0
    if not rows:
        return np.empty((0, sizes[-1]), np.float32)
    values = cuda.to_device(np.ascontiguousarray(features_NF))
    for layer, (inputs, outputs) in enumerate(pairwise(sizes), 2):
        weights_OI = weights_P[place : place + outputs * inputs].reshape(outputs, inputs)
        place += outputs * inputs
        bias_O = weights_P[place : place + outputs]
        place += outputs
        after = cuda.device_array((rows, outputs), np.float32)
        grid = _blocks(outputs, TILE), _blocks(rows, TILE)
        parts = cuda.to_device(np.ascontiguousarray(weights_OI)), cuda.to_device(np.ascontiguousarray(bias_O))
        _dense[grid, (TILE, TILE)](values, *parts, layer < len(sizes), after)
        values = after
    return np.asarray(values.copy_to_host())


def _over_rows(kernel: Any, rows: int, inputs: Sequence[Any], outputs: Sequence[NDArray[Any]]) -> None:
    """Run *kernel* with a thread a row: arrays go to the device, and *outputs* are filled from there."""
    _check_available()
    if not rows:
        return
    given = [cuda.to_device(np.ascontiguousarray(one)) if isinstance(one, np.ndarray) else one for one in inputs]
    made = [cuda.device_array(one.shape, one.dtype) for one in outputs]
    kernel[_blocks(rows, THREADS), THREADS](*given, *made)
    for one, on_device in zip(outputs, made, strict=True):
        on_device.copy_to_host(one)
