"""How well a file answers: by labels where there are any, else by the file that it was made from."""

# Shape suffixes: N = rows, K = classes, M = numbers a row.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.scoring import LEAST_PROBABILITY
from hpmkd_edge.errors import BadData, MeasurementFailed

Measure = Literal["accuracy", "agreement", "R²"]
Loss = Literal["cross-entropy", "KL divergence", "mean squared error"]
# How far probabilities may be off 0, 1 and a sum of 1 by rounding; what is further off is made to them by a softmax.
ROUNDING: Final = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """What a file is graded by.

    Attributes:
        origin: answers of the file that it was made from: probabilities [N, K], or values [N, M].
        shape: of one row's answer, as the file gives it.
        classes: whether they are probabilities.
        softened: whether a softmax makes the file's answers probabilities.
        labels: [N], classes as int64 or values as float32; None to grade by *origin*.
    """

    origin: NDArray[np.float32]
    shape: tuple[int, ...]
    classes: bool
    softened: bool
    labels: NDArray[Any] | None

    @property
    def measure(self) -> Measure:
        """What the score is."""
        if not self.classes:
            return "R²"
        return "agreement" if self.labels is None else "accuracy"

    @property
    def loss(self) -> Loss:
        """What the loss is."""
        if not self.classes:
            return "mean squared error"
        return "KL divergence" if self.labels is None else "cross-entropy"

    def read(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a file's outputs, [N, …], as probabilities [N, K] or values [N, M].

        Raises:
            MeasurementFailed: they are of another shape than the origin's.
        """
        if outputs.shape[1:] != self.shape:
            raise MeasurementFailed(f"a row is answered with shape {outputs.shape[1:]}; {self.shape} is needed.")
        flat = outputs.reshape(len(outputs), -1)
        return _softmax(flat) if self.softened else flat

    def grade(self, answers: NDArray[np.float32]) -> tuple[float, float]:
        """Return score and loss of what `read` gives; NaN where an answer is no number."""
        if not np.isfinite(answers).all():
            return float("nan"), float("nan")
        given = answers.astype(np.float64)
        if not self.classes:
            wanted = (self.origin if self.labels is None else self.labels[:, None]).astype(np.float64)
            loss = float(np.square(given - wanted).mean())
            return 1 - loss / float(np.square(wanted - wanted.mean(0)).mean()), loss
        logs_NK = np.log(np.maximum(given, LEAST_PROBABILITY))
        if self.labels is not None:
            right_N = given.argmax(1) == self.labels
            return float(right_N.mean()), float(-logs_NK[np.arange(len(given)), self.labels].mean())
        wanted_NK = np.maximum(self.origin.astype(np.float64), 0)
        own_NK = np.log(np.maximum(wanted_NK, LEAST_PROBABILITY))
        same_N = given.argmax(1) == wanted_NK.argmax(1)
        return float(same_N.mean()), float((wanted_NK * (own_NK - logs_NK)).sum(1).mean())


def standard_of(outputs: NDArray[np.float32], labels: NDArray[Any] | None, *, graded: bool = True) -> Standard:
    """Return what files are graded by that are made from one with these *outputs*.

    Rows of several numbers, [N, K], are classes; of one number, or of more axes, values.

    Args:
        outputs: the first output of that file, [N, …].
        labels: [N], numbers; None to grade by the outputs.
        graded: whether anything will be; else nothing is asked of the outputs but to be finite.

    Raises:
        BadData: the labels do not fit, or the values that files are to be graded by are all the same.
        MeasurementFailed: an output is not a number.
    """
    flat = outputs.reshape(len(outputs), -1)
    if not np.isfinite(flat).all():
        bad = int(np.count_nonzero(~np.isfinite(flat).all(1)))
        raise MeasurementFailed(f"the model answers {bad} rows with NaN or infinity; finite numbers are needed.")
    classes = outputs.ndim == 2 and outputs.shape[1] > 1
    softened = classes and not _is_distribution(flat)
    fitting = None if labels is None else _fitting(labels, len(flat), outputs.shape[1:], classes=classes)
    values = flat if fitting is None else fitting
    if graded and not classes and (values == values[0]).all():
        whose = "the answers of the model" if fitting is None else "the labels"
        raise BadData(f"{whose} are the same in all {len(flat)} rows that grade; values that differ are needed.")
    return Standard(
        origin=_softmax(flat) if softened else flat,
        shape=outputs.shape[1:],
        classes=classes,
        softened=softened,
        labels=fitting,
    )


def _fitting(labels: NDArray[Any], rows: int, shape: tuple[int, ...], *, classes: bool) -> NDArray[Any]:
    """Return labels as classes or as values, whichever the model answers with."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    found = f"the labels are {labels.dtype} of shape {labels.shape}"
    if labels.shape != (rows,) or labels.dtype.kind not in "fiub":
        raise BadData(f"{found}; one number for each of {rows} rows is needed.")
    if not np.isfinite(labels).all():
        raise BadData("some labels are no finite numbers; a finite one for each row is needed.")
    if not classes:
        if int(np.prod(shape)) != 1:
            raise BadData(f"the model answers a row with shape {shape}; labels go with classes, or with one value.")
        return labels.astype(np.float32)
    if (labels != np.floor(labels)).any() or labels.min() < 0 or labels.max() >= shape[0]:
        raise BadData(
            f"the labels lie in {labels.min():g} … {labels.max():g}; whole numbers in 0 … {shape[0] - 1} are needed,"
            " by the columns of the model's first output."
        )
    return labels.astype(np.int64)


def _is_distribution(rows_NK: NDArray[np.float32]) -> bool:
    off = np.abs(rows_NK.sum(1) - 1).max()
    return bool(off <= ROUNDING and rows_NK.min() >= -ROUNDING and rows_NK.max() <= 1 + ROUNDING)


def _softmax(rows_NK: NDArray[np.float32]) -> NDArray[np.float32]:
    weights_NK = np.exp(rows_NK - rows_NK.max(1, keepdims=True))
    return np.asarray(weights_NK / weights_NK.sum(1, keepdims=True), np.float32)
