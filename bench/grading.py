"""How good answers are, row by row: right or wrong, or how near to a value."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def row_scores(answers_NK: NDArray[Any], labels_N: NDArray[Any]) -> NDArray[np.float64]:
    """Return what each row adds to the score, [N]: its mean is the accuracy of classes, and the R² of values.

    A row of classes scores 1 where the greatest answer is its label, else 0. A row of values, whose labels are floats,
    scores `1 − (answer − label)² / var(labels)`: the mean of that is `1 − Σ(answer − label)² / Σ(label − mean)²`.
    """
    if labels_N.dtype.kind != "f":
        return np.asarray(answers_NK.argmax(1) == labels_N, np.float64)
    return np.asarray(1 - _away(answers_NK, labels_N) ** 2 / labels_N.astype(np.float64).var())


def score_of(answers_NK: NDArray[Any], labels_N: NDArray[Any]) -> float:
    """Return the accuracy of classes, or the R² of values."""
    return float(row_scores(answers_NK, labels_N).mean())


def standard_error(answers_NK: NDArray[Any], labels_N: NDArray[Any]) -> float | None:
    """Return the standard error of the accuracy, or R², as of other rows of the same kind; None of one row alone.

    It is the deviation of what each row adds, with N − 1, over √N. Of classes that is right or wrong. R² is a ratio of
    two means, both of which other rows would move: by the delta method a row adds
    `((answer − label)² − (1 − R²)·(label − mean)²) / var(labels)`. ±1.96 of it cover 94 % of the differences of two R²
    of 500 lognormal labels each at σ = 0.5; at σ = 1, of a long tail, 87 to 90 %.
    """
    if len(labels_N) < 2:
        return None
    adds_N = row_scores(answers_NK, labels_N)
    if labels_N.dtype.kind == "f":
        square_N = (labels_N.astype(np.float64) - labels_N.mean(dtype=np.float64)) ** 2
        adds_N = adds_N + (1 - adds_N.mean()) * square_N / square_N.mean()
    return float(adds_N.std(ddof=1) / len(adds_N) ** 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misses:
    """How far answers lie from values, in the label's units.

    Attributes:
        mae: mean absolute error.
        rmse: root of the mean squared error.
    """

    mae: float
    rmse: float


def misses_of(answers_NK: NDArray[Any], labels_N: NDArray[Any]) -> Misses | None:
    """Return how far answers lie from values; None for classes."""
    if labels_N.dtype.kind != "f":
        return None
    away_N = _away(answers_NK, labels_N)
    return Misses(mae=float(np.abs(away_N).mean()), rmse=float(np.sqrt((away_N**2).mean())))


def stated(score: float, *, values: bool) -> str:
    """Return a score on validation rows as what a model has."""
    return f"{brief(score, values=values)} {'on' if values else 'of the'} validation rows"


def brief(score: float, *, values: bool) -> str:
    """Return a score by itself."""
    return f"R² {score:.4f}" if values else f"{score:.2%}"


def _away(answers_N1: NDArray[Any], labels_N: NDArray[Any]) -> NDArray[np.float64]:
    assert answers_N1.shape == (len(labels_N), 1)
    return np.asarray(answers_N1[:, 0].astype(np.float64) - labels_N)
