"""Losses on labels and on teachers' answers, and teachers' answers as a student needs them.

The formulas are those of `distill/methods/response.py`, with two things done beforehand, once an epoch. What depends on
teachers alone is a row of numbers. And several teachers become one: with weights w_m of a row, W their sum, and
p̄ = Σ w_m p_m / W,

    Σ_m w_m KL(p_m ‖ q)    = W · (−Σ_k p̄_k log q_k) + Σ_m w_m Σ_k p_mk log p_mk
    Σ_m w_m Σ_k (q_k − p_mk)² = W · Σ_k (q_k − p̄_k)² + Σ_m w_m |p_m|² − W |p̄|²

where q is the student's answer and the last terms are constants. The first line holds for every loss that is a
cross-entropy with softened answers (KD, its standardized form, WTTM, and the distance from an earlier student at the
same temperature, which is one more teacher), the second one for squares of probabilities and of logits.
"""

# Shape suffixes: N = rows, B = rows of a block, K = classes, C = K + 2: a target, then its weight and its constant.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hpmkd_edge.kernels.loss_blocks import (
    BLOCK,
    BRIER,
    CENTERED,
    LABELS_ALONE,
    SOFT,
    SQUARES,
    STANDARD,
    block_scratch,
    centered,
    exponential,
    guide_block,
    label_block,
    soften,
)

# Which form a method has; "squares" is for one number a row, all others are for classes.
METHODS: Final = {
    "kd": SOFT, "wttm": SOFT, "lskd": STANDARD, "logit_mse": CENTERED, "brier": BRIER, "squares": SQUARES
}  # fmt: skip
ON_LOGITS: Final = frozenset({"kd", "lskd", "wttm"})  # those that a temperature changes

Flat = NDArray[np.float32]
Matrix = NDArray[np.float32]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _hear(form: int, heat: float, weigh: bool, logits_NK: Matrix, weights_N: Flat, out_NC: Matrix) -> None:
    """Add one teacher's weighted targets, weights and constants."""
    rows, classes = logits_NK.shape
    z_KB, p_KB, _, _, scratch, _, _ = block_scratch(classes)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        for k in range(classes):
            for b in range(count):
                z_KB[k, b] = logits_NK[start + b, k]
        weight_B, constant_B, logs_B = scratch[2], scratch[3], scratch[0]
        for b in range(count):
            weight_B[b] = weights_N[start + b]
        for b in range(BLOCK):
            constant_B[b] = 0
        if form <= STANDARD:
            if form == STANDARD:
                centered(z_KB, classes, True, z_KB, scratch)
            if weigh:  # WTTM: Σ_k p_k^(1/T), from the two divisors of the softmax
                soften(z_KB, classes, 1.0, p_KB, scratch)
                for b in range(BLOCK):
                    scratch[4, b] = logs_B[b] / np.float32(heat)
            soften(z_KB, classes, heat, p_KB, scratch)
            if weigh:
                for b in range(BLOCK):
                    weight_B[b] *= exponential(logs_B[b] - scratch[4, b])
            for k in range(classes):
                for b in range(BLOCK):
                    constant_B[b] += p_KB[k, b] * (z_KB[k, b] / np.float32(heat) - logs_B[b])
        else:
            if form == BRIER:
                soften(z_KB, classes, 1.0, p_KB, scratch)
            elif form == CENTERED:
                centered(z_KB, classes, False, p_KB, scratch)
            else:
                for k in range(classes):
                    for b in range(BLOCK):
                        p_KB[k, b] = z_KB[k, b]
            for k in range(classes):
                for b in range(BLOCK):
                    constant_B[b] += p_KB[k, b] * p_KB[k, b]
        for b in range(count):
            for k in range(classes):
                out_NC[start + b, k] += weight_B[b] * p_KB[k, b]
            out_NC[start + b, classes] += weight_B[b]
            out_NC[start + b, classes + 1] += weight_B[b] * constant_B[b]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _settle(form: int, scale: float, alone: bool, out_NC: Matrix) -> None:
    """Divide the sums by the weights, and finish the constants."""
    rows, columns = out_NC.shape
    classes = columns - 2
    for n in range(rows):
        weight, squares = out_NC[n, classes], 0.0
        for k in range(classes):
            if weight > 0:
                out_NC[n, k] /= weight
            squares += np.float64(out_NC[n, k]) ** 2
        if form <= STANDARD:
            out_NC[n, classes + 1] *= np.float32(scale)
        elif alone:  # exactly, and not what rounding leaves of it
            out_NC[n, classes + 1] = 0
        else:
            apart = out_NC[n, classes + 1] - weight * squares
            out_NC[n, classes + 1] = apart if form == BRIER else apart / classes


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _compare(
    logits_NK: Matrix,
    labels_N: NDArray[np.int64],
    values_N: Flat,
    guide_NC: Matrix,
    form: int,
    heat: float,
    scale: float,
    ce_weight: float,
    smoothing: float,
    gradient_NK: Matrix,
) -> float:
    """Fill in the gradient of the mean loss; return that loss."""
    rows, classes = logits_NK.shape
    z_KB, g_KB, q_KB, wanted_CB, scratch, labels_B, values_B = block_scratch(classes)
    loss, regress, share = 0.0, len(values_N) > 0, np.float32(1 / rows)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        for k in range(classes):
            for b in range(count):
                z_KB[k, b] = logits_NK[start + b, k]
        for b in range(count):
            if regress:
                values_B[b] = values_N[start + b]
            else:
                labels_B[b] = labels_N[start + b]
        label_block(z_KB, labels_B, values_B, classes, regress, smoothing, ce_weight, g_KB, scratch, scratch[5])
        if form != LABELS_ALONE:
            for k in range(classes + 2):
                for b in range(count):
                    wanted_CB[k, b] = guide_NC[start + b, k]
            guide_block(form, heat, scale, z_KB, wanted_CB, classes, g_KB, q_KB, scratch, scratch[6])
        for b in range(count):
            loss += ce_weight * scratch[5, b] + scratch[6, b]
            for k in range(classes):
                gradient_NK[start + b, k] = g_KB[k, b] * share
    return loss / rows  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """What one student is to learn from teachers, row by row; `soft_targets` makes it.

    Attributes:
        method: a key of METHODS.
        rows: float32 [N, K + 2]: the one target that stands for all teachers, its weight, and the constant that
            makes the loss exact.
    """

    method: str
    temperature: float
    rows: NDArray[np.float32]

    @property
    def form(self) -> tuple[int, float, float]:
        """The form of the loss, the temperature of the student's side, and what the sum over classes is times."""
        if self.method in ("kd", "lskd"):
            return METHODS[self.method], self.temperature, self.temperature**2
        return METHODS[self.method], 1.0, 1.0


def check(
    what: str, array: NDArray[np.generic], kind: type[np.generic], shape: tuple[int | None, ...]
) -> tuple[int, ...]:
    """Return the shape of *array*; None stands for any length but 0.

    Raises:
        ValueError: another number type or shape.
    """
    fits = array.ndim == len(shape) and all(
        one == wanted if wanted is not None else one > 0 for one, wanted in zip(array.shape, shape, strict=True)
    )
    if array.dtype != kind or not fits:
        needed = ", ".join("any" if one is None else str(one) for one in shape)
        raise ValueError(f"{what}: {array.dtype} {array.shape} is given; {np.dtype(kind)} [{needed}] is needed.")
    return array.shape


def check_lesson(
    labels_N: NDArray[np.int64] | NDArray[np.float32], guidance: Guidance | None, rows: int, outputs: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], tuple[int, float, float]]:
    """Return classes, values (one of both is empty), guidance (empty without) and its form, as the kernels take them.

    Raises:
        ValueError: they do not fit each other.
    """
    classes_N, values_N = np.empty(0, np.int64), np.empty(0, np.float32)
    if labels_N.dtype == np.float32:
        if outputs != 1:
            raise ValueError(f"labels are float32 values and there are {outputs} outputs; 1 is needed.")
        check("labels", labels_N, np.float32, (rows,))
        values_N = np.ascontiguousarray(labels_N, np.float32)
    else:
        check("labels", labels_N, np.int64, (rows,))
        classes_N = np.ascontiguousarray(labels_N, np.int64)
        low, high = int(classes_N.min()), int(classes_N.max())
        if outputs < 2 or low < 0 or high >= outputs:
            raise ValueError(
                f"labels are classes {low} … {high} and there are {outputs} outputs; 0 … {high} is needed."
            )
    if guidance is None:
        return classes_N, values_N, np.empty((0, outputs + 2), np.float32), (LABELS_ALONE, 1.0, 1.0)
    check("guidance", guidance.rows, np.float32, (rows, outputs + 2))
    return classes_N, values_N, np.ascontiguousarray(guidance.rows), guidance.form


def soft_targets(
    logits: Sequence[NDArray[np.float32]],
    weights: Sequence[NDArray[np.float32]],
    *,
    method: str,
    temperature: float = 1.0,
) -> Guidance:
    """Fold teachers into one target, weight and constant a row; see the module's derivation.

    An earlier student, held on to by KD at the same temperature, is one more entry of both lists. A guide that a step
    leaves out is one whose rows of that step weigh nothing.

    Args:
        logits: float32 [N, K] of each teacher; [N, 1] for "squares", where they are values.
        weights: float32 [N] of each teacher, at least 0: what its row's loss is multiplied by.
        method: a key of METHODS.
        temperature: of "kd", "lskd" and "wttm"; the others do not read it.

    Raises:
        ValueError: an unknown method, a temperature that is not positive, or arrays that do not fit.
    """
    if method not in METHODS:
        raise ValueError(f"there is no method {method!r} here; one of {', '.join(METHODS)} is needed.")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"a temperature above 0 is needed, not {temperature}.")
    if not logits or len(logits) != len(weights):
        raise ValueError(
            f"{len(logits)} teachers have {len(weights)} weights; one of each, and at least one is needed."
        )
    rows, classes = check("logits", logits[0], np.float32, (None, None))
    if (method == "squares") != (classes == 1):
        raise ValueError(
            f"method {method!r} cannot be had of {classes} columns; 'squares' is for one, the rest for more."
        )
    form, out_NC = METHODS[method], np.zeros((rows, classes + 2), np.float32)
    for logits_NK, weights_N in zip(logits, weights, strict=True):
        check("logits", logits_NK, np.float32, (rows, classes))
        check("weights", weights_N, np.float32, (rows,))
        if not bool((weights_N >= 0).all()):
            raise ValueError("a teacher has weights below 0 or not a number; 0 or more is needed.")
        _hear(
            form,
            temperature,
            method == "wttm",
            np.ascontiguousarray(logits_NK),
            np.ascontiguousarray(weights_N),
            out_NC,
        )
    guidance = Guidance(method=method, temperature=temperature, rows=out_NC)
    _settle(form, guidance.form[2], len(logits) == 1, out_NC)
    return guidance


def loss_gradient(
    logits_NK: NDArray[np.float32],
    labels_N: NDArray[np.int64] | NDArray[np.float32],
    guidance: Guidance | None,
    *,
    ce_weight: float = 1.0,
    label_smoothing: float = 0.0,
) -> tuple[float, NDArray[np.float32]]:
    """Return the mean over rows of `ce_weight · loss on labels + weighted guidance`, and its gradient [N, K].

    Args:
        logits_NK: float32.
        labels_N: classes as int64: cross-entropy; or values as float32 with K = 1: squared distance.
        label_smoothing: as torch's cross_entropy has it; not read for values.

    Raises:
        ValueError: arrays that do not fit each other.
    """
    rows, classes = check("logits", logits_NK, np.float32, (None, None))
    classes_N, values_N, guide_NC, form = check_lesson(labels_N, guidance, rows, classes)
    gradient_NK = np.empty((rows, classes), np.float32)
    logits_NK = np.ascontiguousarray(logits_NK)
    loss = _compare(logits_NK, classes_N, values_N, guide_NC, *form, ce_weight, label_smoothing, gradient_NK)
    return float(loss), gradient_NK
