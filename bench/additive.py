"""A latency as a sum of costs: coefficients, an interval by leaving models out, and the range that they speak for."""

# Shape suffixes: N = points, F = features, D = directions.

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_POINTS: Final = 5  # of as many models
CONFIDENCE: Final = 0.90
# From so many models on, the quantile of their own errors is taken; of fewer, Student's t of their mean square.
ENOUGH: Final = 19
# A tenth beyond the points is still theirs.
MARGIN: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The least and the largest logarithm of each feature, and of each ratio of two, among points."""

    names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def outside(self, features: Sequence[float]) -> str | None:
        """Say what of *features* lies beyond the points, most of all; None where nothing does."""
        at = _directions(np.asarray([features], np.float64))[0]
        beyond = np.maximum(np.asarray(self.lower) - at, at - np.asarray(self.upper))
        worst = int(beyond.argmax())
        if beyond[worst] <= MARGIN:
            return None
        low, high = math.exp(self.lower[worst]), math.exp(self.upper[worst])
        return f"{math.exp(at[worst]):.3g} {_direction_names(self.names)[worst]}, against {low:.3g} to {high:.3g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Coefficients in ms for one of each feature; with 90 % confidence the truth is within *factor* of the sum."""

    coefficients: tuple[float, ...]
    factor: float
    range: Range

    def ms(self, features: Sequence[float]) -> float:
        """Return the sum."""
        return float(np.dot(features, self.coefficients))


def coefficients_of(features_NF: Floats, ms_N: Floats, weights_N: Floats | None = None) -> Floats:
    """Return the non-negative coefficients with the least squares of the relative error.

    Args:
        weights_N: what each point counts; all the same if None.
    """
    from scipy.optimize import nnls

    weights_N = np.ones(len(ms_N)) if weights_N is None else np.sqrt(weights_N)
    relative_NF = features_NF / ms_N[:, None] * weights_N[:, None]
    # MACs are billions and operators tens: one scale for all, or the solver's tolerance is some feature's whole part.
    scale_F = np.linalg.norm(relative_NF, axis=0)
    scale_F[scale_F == 0] = 1
    found_F, _ = nnls(relative_NF / scale_F, weights_N)
    coefficients: Floats = found_F / scale_F
    return coefficients


def errors_left_out(features_NF: Floats, ms_N: Floats, models: Sequence[str] | None = None) -> Floats:
    """Return log(measured / predicted) of each point by the fit on the others; infinite where that predicts 0.

    Args:
        models: N names; the points of one model are left out together. None where each point is of its own.
    """
    errors = np.empty(len(ms_N))
    models_N = np.arange(len(ms_N)) if models is None else np.asarray(models)
    for left in range(len(ms_N)):
        others = models_N != models_N[left]
        predicted = features_NF[left] @ coefficients_of(features_NF[others], ms_N[others])
        errors[left] = math.log(ms_N[left] / predicted) if predicted > 0 else math.inf
    return errors


def fit(names: Sequence[str], features_NF: Floats, ms_N: Floats, models: Sequence[str] | None = None) -> Fit:
    """Fit points of one device.

    Args:
        names: of the features.
        features_NF: not negative.
        ms_N: above 0; of at least `LEAST_POINTS` models.
        models: N names, of which one may come several times, as a file in two batches; None where each point is of
            its own.
    """
    coefficients = coefficients_of(features_NF, ms_N)
    errors, count = errors_left_out(features_NF, ms_N, models), len(ms_N if models is None else set(models))
    free = max(1, count - int(np.count_nonzero(coefficients)))
    return Fit(
        coefficients=tuple(map(float, coefficients)),
        factor=math.exp(_half_width(errors, count, free)),
        range=range_of(names, features_NF),
    )


def range_of(names: Sequence[str], features_NF: Floats) -> Range:
    """Return the range that points span.

    In few points of many features a convex hull is next to nothing; this is the least body around it that has faces
    along features and ratios of two features alone, each of which can be named.
    """
    directions_ND = _directions(features_NF)
    return Range(
        names=tuple(names),
        lower=tuple(map(float, directions_ND.min(axis=0))),
        upper=tuple(map(float, directions_ND.max(axis=0))),
    )


def _half_width(errors_N: Floats, models: int, free: int) -> float:
    from scipy.stats import t

    if models >= ENOUGH:
        return float(np.sort(np.abs(errors_N))[math.ceil((len(errors_N) + 1) * CONFIDENCE) - 1])
    return float(t.ppf((1 + CONFIDENCE) / 2, free) * np.sqrt(np.mean(errors_N**2)))


def _directions(features_NF: Floats) -> Floats:
    # Counts: of 0 the logarithm is that of 1.
    logs_NF = np.log(np.maximum(features_NF, 1))
    first, second = np.triu_indices(logs_NF.shape[1], 1)
    ratios: Floats = logs_NF[:, first] - logs_NF[:, second]
    return np.concatenate([logs_NF, ratios], axis=1)


def _direction_names(names: Sequence[str]) -> list[str]:
    # In the order of triu_indices.
    return [*names, *(f"{one} per {other}" for one, other in combinations(names, 2))]
