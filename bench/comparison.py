"""Whether one model is right more often than another, or nearer to values, by the rows on which they differ."""

# Shape suffixes: N = rows, D = resamples.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

NEGLIGIBLE_POINTS: Final = 0.25
# With fewer, even if all fell on one side, a fair coin would do so with 2·(1/2)^5 > 5 %.
LEAST_DIFFERING: Final = 6
# Beyond so many rows of values, the mean of a resample is normal for all that its interval tells.
MOST_RESAMPLED: Final = 4096
DRAWN_AT_ONCE: Final = 1 << 22
NORMAL_95: Final = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """A difference of accuracies, or of R², in points (hundredths), with its 95 % interval."""

    points: float
    low: float
    high: float
    verdict: Literal["gain", "no gain", "inconclusive"]


def paired_gain(of_correct: NDArray[Any], over_correct: NDArray[Any], *, seed: int, draws: int = 10_000) -> Gain:
    """Return the gain in accuracy, or in R², of one model over another on the same rows, by a paired bootstrap.

    The verdict is "gain" if the whole interval lies above 0 and the models differ on at least six rows;
    else "no gain" if the interval ends below a quarter of a point (so, too, if it lies below 0);
    else "inconclusive".

    Args:
        of_correct: [N], whether the model in question is right on each row; or, as floats that are neither 0 nor 1, the
            row's score, whose mean is what is compared.
        over_correct: [N], the same for the one it is compared with.
        seed: of the resampling.
        draws: resamples.

    Raises:
        ValueError: the two have no rows, or not the same number.
    """
    rows = len(of_correct)
    if rows == 0 or of_correct.shape != over_correct.shape:
        raise ValueError(f"the answers have shapes {of_correct.shape} and {over_correct.shape}; [N] is needed.")
    away_N = of_correct.astype(np.float64) - over_correct
    won, lost = int(np.count_nonzero(away_N > 0)), int(np.count_nonzero(away_N < 0))
    if not np.isin(away_N, (-1, 0, 1)).all():
        low, high = _interval(100 * away_N, seed, draws)
        points = 100 * float(away_N.mean())
        return Gain(points=points, low=low, high=high, verdict=_verdict(low, high, won + lost))
    # Resampling rows only ever changes how many of them are won, lost or tied: one multinomial a draw.
    shares = np.array([won, lost, rows - won - lost]) / rows
    drawn = np.random.default_rng(seed).multinomial(rows, shares, size=draws)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) * (100 / rows), [2.5, 97.5])
    return Gain(
        points=(won - lost) * (100 / rows),
        low=float(low),
        high=float(high),
        verdict=_verdict(float(low), float(high), won + lost),
    )


def _interval(points_N: NDArray[np.float64], seed: int, draws: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean, by resampling rows."""
    rows = len(points_N)
    if rows > MOST_RESAMPLED:
        mean, half = float(points_N.mean()), NORMAL_95 * float(points_N.std()) / rows**0.5
        return mean - half, mean + half
    generator, means_D = np.random.default_rng(seed), np.empty(draws)
    step = max(1, DRAWN_AT_ONCE // rows)
    for start in range(0, draws, step):
        part_D = means_D[start : start + step]
        part_D[:] = points_N[generator.integers(0, rows, (len(part_D), rows))].mean(1)
    low, high = np.percentile(means_D, [2.5, 97.5])
    return float(low), float(high)


def _verdict(low: float, high: float, differing: int) -> Literal["gain", "no gain", "inconclusive"]:
    if low > 0 and differing >= LEAST_DIFFERING:
        return "gain"
    return "no gain" if high < NEGLIGIBLE_POINTS else "inconclusive"
