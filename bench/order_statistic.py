"""Bounds of a percentile that hold with a stated confidence, whatever the distribution.

Source: "early stopping" of MLPerf Inference (LoadGen, `early_stopping.cc` and `results.cc`): of n runs the
t-th highest bounds the p-th percentile, t being the largest count for which t or fewer runs beyond the
true percentile would be seen with a probability of at most 1 − confidence.
"""

from __future__ import annotations

import math

import numpy as np

CONFIDENCE = 0.99


def runs_to_discard(n: int, share: float, confidence: float = CONFIDENCE) -> int:
    """Return the largest t with P(Binomial(n, share) ≤ t) ≤ 1 − confidence; 0 if not even t = 1 has it.

    Args:
        n: independent runs.
        share: of the runs that lie beyond the percentile: 0.1 for the upper side of p90, 0 < share < 1.
        confidence: between 0 and 1.
    """
    # Counts above n·share have a cumulative probability near a half or more: never asked for.
    k = np.arange(1, math.floor(n * share) + 1)
    ratios = np.log((n - k + 1) / k * (share / (1 - share)))
    log_mass = n * math.log1p(-share) + np.concatenate([[0.0], np.cumsum(ratios)])
    within = np.cumsum(np.exp(log_mass)) <= 1 - confidence
    return max(int(np.count_nonzero(within)) - 1, 0)


def rank_above(n: int, p: float) -> int | None:
    """Return the index in n sorted runs of the p-th percentile's upper bound; None if n is too small."""
    t = runs_to_discard(n, 1 - p / 100)
    return n - t if t else None


def rank_below(n: int, p: float) -> int | None:
    """Return the index in n sorted runs of the p-th percentile's lower bound; None if n is too small."""
    t = runs_to_discard(n, p / 100)
    return t - 1 if t else None


def least_runs(p: float) -> int:
    """Return the fewest runs that support an upper bound: 11, 64, 130, 662 for p50, p90, p95, p99."""
    n = 1
    while rank_above(n, p) is None:
        n += 1
    return n
