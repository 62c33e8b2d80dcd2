"""Perceptrons trained an epoch a call: products, loss, gradient and AdamW in one compiled loop that holds no lock.

A batch is done in blocks of 64 rows, so that what a block's forward pass leaves is still in the cache for its backward
pass. Within an epoch each layer lies as [inputs, outputs], both padded to multiples of 8, and its bias as one row more:
then every product runs along rows of both factors. Outside, and in whatever is saved, a network is one flat vector in
torch's order.
"""

# Shape suffixes: N = rows, F = features, K = outputs, P = parameters, S = steps.

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hpmkd_edge.kernels.layers import (
    answer_row,
    arrange,
    backward,
    clipping,
    descend,
    forward,
    length,
    padded,
    places,
    turn,
)
from hpmkd_edge.kernels.loss_blocks import BLOCK, LABELS_ALONE, block_scratch, guide_block, label_block
from hpmkd_edge.kernels.losses import Guidance, check, check_lesson, loss_gradient, soft_targets
from hpmkd_edge.kernels.products import prefetch

FEW: Final = 8  # rows below which the weights are not worth rearranging
LINE: Final = 16  # numbers in a cache line

Flat = NDArray[np.float32]
Whole = NDArray[np.int64]
Matrix = NDArray[np.float32]
Made = TypeVar("Made")


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _run_epoch(
    widths: Whole,
    weights_P: Flat,
    first_P: Flat,
    second_P: Flat,
    taken: int,
    features_NF: Matrix,
    labels_N: Whole,
    values_N: Flat,
    guide_NC: Matrix,
    form: int,
    heat: float,
    scale: float,
    order_N: Whole,
    rates_S: Flat,
    batch: int,
    ce_weight: float,
    smoothing: float,
    decay: float,
    longest: float,
    losses_2S: NDArray[np.float64],
) -> None:
    weights_at, inputs_at = places(widths)
    layers, features, classes = len(widths) - 1, widths[0], widths[-1]
    size, across, stride = weights_at[-1], padded(widths[0]), padded(widths[-1])
    weights, first, second = np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.float32)
    gradient, turned = np.zeros(size, np.float32), np.zeros(size, np.float32)
    arrange(widths, weights_at, weights_P, weights, False)
    arrange(widths, weights_at, first_P, first, False)
    arrange(widths, weights_at, second_P, second, False)
    turn(widths, weights_at, weights, turned)
    block, logits_at = np.zeros(inputs_at[-1], np.float32), inputs_at[-2]
    z_KB, g_KB, q_KB, wanted_CB, scratch, labels_B, values_B = block_scratch(classes)
    regress, guided, share = len(values_N) > 0, form != LABELS_ALONE, np.float32(1 / batch)
    every, every_guide = features_NF.reshape(-1), guide_NC.reshape(-1)
    for step in range(len(rates_S)):
        gradient[:] = 0
        on_labels, total = 0.0, 0.0
        for start in range(step * batch, (step + 1) * batch, BLOCK):
            count = min(BLOCK, (step + 1) * batch - start)
            rows = padded(count)
            for b in range(count):
                n = order_N[start + b]
                own = features_NF[n]
                for i in range(features):
                    block[b * across + i] = own[i]
                if regress:
                    values_B[b] = values_N[n]
                else:
                    labels_B[b] = labels_N[n]
                if guided:
                    for k in range(classes + 2):
                        wanted_CB[k, b] = guide_NC[n, k]
            # The next block's rows lie anywhere, and are asked for while this one is computed.
            for b in range(start + count, min(start + count + BLOCK, len(order_N))):
                n = order_N[b]
                for i in range(0, features, LINE):
                    prefetch(every, n * features + i)
                prefetch(every, n * features + features - 1)
                if guided:
                    prefetch(every_guide, n * (classes + 2))
                    prefetch(every_guide, n * (classes + 2) + classes + 1)
                if regress:
                    prefetch(values_N, n)
                else:
                    prefetch(labels_N, n)
            forward(widths, weights_at, inputs_at, weights, block, rows)
            for b in range(count):
                for k in range(classes):
                    z_KB[k, b] = block[logits_at + b * stride + k]
            label_block(z_KB, labels_B, values_B, classes, regress, smoothing, ce_weight, g_KB, scratch, scratch[5])
            if guided:
                guide_block(form, heat, scale, z_KB, wanted_CB, classes, g_KB, q_KB, scratch, scratch[6])
            for b in range(count):
                on_labels += scratch[5, b]
                total += scratch[6, b]
                for k in range(classes):
                    block[logits_at + b * stride + k] = g_KB[k, b] * share
            block[logits_at + count * stride : logits_at + rows * stride] = 0
            backward(widths, weights_at, inputs_at, turned, block, rows, gradient)
        losses_2S[0, step] = (ce_weight * on_labels + total) / batch
        losses_2S[1, step] = on_labels / batch
        shorter = clipping(length(gradient), longest)
        for layer in range(layers):
            bias_at = weights_at[layer + 1] - padded(widths[layer + 1])
            now, rate = taken + step + 1, rates_S[step]
            for begin, end, decayed in (
                (weights_at[layer], bias_at, decay),
                (bias_at, weights_at[layer + 1], 0.0),
            ):
                descend(weights[begin:end], first[begin:end], second[begin:end], gradient[begin:end], now, rate,
                        decayed, shorter)  # fmt: skip
        turn(widths, weights_at, weights, turned)
    arrange(widths, weights_at, weights_P, weights, True)
    arrange(widths, weights_at, first_P, first, True)
    arrange(widths, weights_at, second_P, second, True)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _answer(weights_P: Flat, widths: Whole, features_NF: Matrix) -> Matrix:
    rows, features = features_NF.shape
    out_NK = np.empty((rows, widths[-1]), np.float32)
    if rows < FEW:
        widest = 0
        for width in widths:
            widest = max(widest, width)
        spare_2W = np.empty((2, widest), np.float32)
        for n in range(rows):
            answer_row(weights_P, widths, features_NF[n], spare_2W, out_NK[n])
        return out_NK
    weights_at, inputs_at = places(widths)
    weights, block = np.zeros(weights_at[-1], np.float32), np.zeros(inputs_at[-1], np.float32)
    arrange(widths, weights_at, weights_P, weights, False)
    across, stride = padded(features), padded(widths[-1])
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        for b in range(count):
            for i in range(features):
                block[b * across + i] = features_NF[start + b, i]
        forward(widths, weights_at, inputs_at, weights, block, padded(count))
        for b in range(count):
            for k in range(widths[-1]):
                out_NK[start + b, k] = block[inputs_at[-2] + b * stride + k]
    return out_NK


def parameters(widths: Sequence[int]) -> int:
    """Return the number of weights and biases of layers *widths*: inputs, hidden ones, outputs."""
    return sum((entering + 1) * leaving for entering, leaving in pairwise(widths))


@dataclass(slots=True, kw_only=True)
class Perceptron:
    """A network with ReLU between its layers, and how far AdamW is with it; `train_epoch` moves both on.

    Attributes:
        widths: int64: inputs, hidden layers if any, outputs.
        weights: float32 [P], layer by layer the weights [outputs, inputs] and then the biases, as torch lists those of
            `Sequential(Linear, ReLU, …, Linear)`.
        first, second: Adam's moments.
        taken: steps so far.

    Raises:
        ValueError: widths below 1, or vectors of another length.
    """

    widths: NDArray[np.int64]
    weights: NDArray[np.float32]
    first: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    second: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    taken: int = 0

    def __post_init__(self) -> None:
        count = _check_widths(self.widths)
        if len(self.first) == len(self.second) == self.taken == 0:
            self.first, self.second = np.zeros(count, np.float32), np.zeros(count, np.float32)
        self.check()

    def check(self) -> None:
        """Raise ValueError where a vector has another type or length than the widths ask for, or is not contiguous."""
        count = _check_widths(self.widths)
        for name in ("weights", "first", "second"):
            vector = getattr(self, name)
            check(name, vector, np.float32, (count,))
            if not (vector.flags.c_contiguous and vector.flags.writeable):
                raise ValueError(f"{name} is not contiguous, or read-only; training writes it, so neither may be.")


def _check_widths(widths: NDArray[np.int64]) -> int:
    if widths.dtype != np.int64 or widths.ndim != 1 or len(widths) < 2 or bool((widths < 1).any()):
        raise ValueError(f"widths are {widths.dtype} {widths.tolist()}; int64, 2 or more, each at least 1, are needed.")
    return parameters(widths.tolist())


def untrained(widths: Sequence[int], *, seed: int) -> Perceptron:
    """Return a network whose weights and biases are uniform within ±1/√inputs, as torch's Linear begins.

    Raises:
        ValueError: fewer than two widths, or one below 1.
    """
    given = np.asarray(widths, np.int64)
    _check_widths(given)
    generator, parts = np.random.default_rng(seed), []
    for entering, leaving in pairwise(widths):
        reach = entering**-0.5
        parts.append(generator.uniform(-reach, reach, (entering + 1) * leaving).astype(np.float32))
    return Perceptron(widths=given, weights=np.concatenate(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochLoss:
    """What an epoch's steps cost.

    Attributes:
        losses: float64 [S], each step's mean loss before the step.
        on_labels: float64 [S], its part on labels, unweighted.
    """

    losses: NDArray[np.float64]
    on_labels: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """The mean of all steps' losses."""
        return float(self.losses.mean())

    def blocks(self, most: int) -> tuple[float, ...]:
        """The mean loss on labels of up to *most* consecutive blocks of steps, split as torch.tensor_split does."""
        return tuple(float(part.mean()) for part in np.array_split(self.on_labels, min(most, len(self.on_labels))))


def train_epoch(
    network: Perceptron,
    features_NF: NDArray[np.float32],
    labels_N: NDArray[np.int64] | NDArray[np.float32],
    guidance: Guidance | None,
    order_N: NDArray[np.int64],
    rates_S: NDArray[np.float32],
    *,
    batch: int,
    ce_weight: float = 1.0,
    label_smoothing: float = 0.0,
    weight_decay: float = 0.0,
    longest_gradient: float = np.inf,
) -> EpochLoss:
    """Go once over the rows in *order_N*, and change *network* by a step of AdamW a batch; without the GIL.

    The loss is that of `losses.loss_gradient`. A batch is min(*batch*, N) rows; the last incomplete one is left out.
    The same arguments leave the same bytes, whatever runs beside.

    Args:
        features_NF: float32, C-contiguous.
        labels_N: classes, int64; or values, float32, for one output: squared distance.
        guidance: of `losses.soft_targets` for the same rows, or None for labels alone.
        order_N: int64, each below N; as many rows as there are.
        rates_S: float32, the learning rate of each of max(1, N // batch) steps.
        weight_decay: of matrices alone; biases are not decayed.
        longest_gradient: the norm that a batch's gradient is clipped to.

    Raises:
        ValueError: arrays that do not fit each other.
    """
    network.check()
    rows, _ = check("features", features_NF, np.float32, (None, int(network.widths[0])))
    if not features_NF.flags.c_contiguous:
        raise ValueError("features are not C-contiguous; np.ascontiguousarray, once before all epochs, is needed.")
    check("order", order_N, np.int64, (rows,))
    if batch < 1 or int(order_N.min()) < 0 or int(order_N.max()) >= rows:
        raise ValueError(
            f"a batch of {batch} in an order of {order_N.min()} … {order_N.max()} is asked for; at least 1, and rows"
            f" 0 … {rows - 1} are needed."
        )
    steps = max(1, rows // batch)
    check("rates", rates_S, np.float32, (steps,))
    classes_N, values_N, guide_NC, form = check_lesson(labels_N, guidance, rows, int(network.widths[-1]))
    losses_2S = np.empty((2, steps), np.float64)
    _run_epoch(
        network.widths,
        network.weights,
        network.first,
        network.second,
        network.taken,
        features_NF,
        classes_N,
        values_N,
        guide_NC,
        *form,
        np.ascontiguousarray(order_N),
        np.ascontiguousarray(rates_S),
        min(batch, rows),
        ce_weight,
        label_smoothing,
        weight_decay,
        longest_gradient,
        losses_2S,
    )
    network.taken += steps
    return EpochLoss(losses=losses_2S[0], on_labels=losses_2S[1])


def logits(
    weights_P: NDArray[np.float32], widths: NDArray[np.int64], features_NF: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return float32 [N, K]; up to 7 rows are done as they are, without rearranging the weights.

    Raises:
        ValueError: another number type or shape.
    """
    # A single row takes 1.5 µs, and `check` as much again: it is asked only to say what is wrong.
    if not (
        features_NF.dtype == weights_P.dtype == np.float32
        and features_NF.ndim == 2
        and features_NF.shape[1] == widths[0]
        and weights_P.shape == (parameters(widths.tolist()),)
        and features_NF.flags.c_contiguous
        and weights_P.flags.c_contiguous
    ):
        check("weights", weights_P, np.float32, (_check_widths(widths),))
        check("features", features_NF, np.float32, (None, int(widths[0])))
        features_NF, weights_P = np.ascontiguousarray(features_NF), np.ascontiguousarray(weights_P)
    return _answer(weights_P, widths, features_NF)  # type: ignore[no-any-return]


def side_by_side(jobs: Sequence[Callable[[], Made]], threads: int) -> list[Made]:
    """Call *jobs*, such as whole trainings of students, on so many threads; return what they made, in their order.

    Numba compiles under a lock, so `compile_now` first. A job's error is raised when the jobs before it are done.

    Raises:
        ValueError: fewer than 1 thread.
    """
    if threads < 1:
        raise ValueError(f"{threads} threads are asked for; at least 1 is needed.")
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda job: job(), jobs))


def compile_now() -> None:
    """Compile all that this module and `losses` call, or load it from Numba's cache on disk.

    Some 20 s the first time. Call it before processes are started that train: the cache is not safe against several
    that write it at once.
    """
    features_NF, row_N = np.zeros((8, 2), np.float32), np.ones(8, np.float32)
    labels_N, order_N = np.zeros(8, np.int64), np.arange(8)
    guidance = soft_targets([features_NF], [row_N], method="kd")
    loss_gradient(features_NF, labels_N, guidance)
    network = untrained((2, 2), seed=0)
    train_epoch(network, features_NF, labels_N, guidance, order_N, row_N[:1], batch=8)
    logits(network.weights, network.widths, features_NF)
