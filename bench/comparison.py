"""Whether one model is right more often than another, by the rows on which they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

NEGLIGIBLE_POINTS: Final = 0.25
# With fewer, even if all fell on one side, a fair coin would do so with 2·(1/2)^5 > 5 %.
LEAST_DIFFERING: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """A difference of accuracies, in points (hundredths), with its 95 % interval."""

    points: float
    low: float
    high: float
    verdict: Literal["gain", "no gain", "inconclusive"]


def paired_gain(
    of_correct: NDArray[np.bool_], over_correct: NDArray[np.bool_], *, seed: int, draws: int = 10_000
) -> Gain:
    """Return the gain in accuracy of one model over another on the same rows, by a paired bootstrap.

    The verdict is "gain" if the whole interval lies above 0 and the models differ on at least six rows;
    else "no gain" if the interval ends below a quarter of a point (so, too, if it lies below 0);
    else "inconclusive".

    Args:
        of_correct: [N], whether the model in question is right on each row.
        over_correct: [N], the same for the one it is compared with.
        seed: of the resampling.
        draws: resamples.

    Raises:
        ValueError: the two have no rows, or not the same number.
    """
    rows = len(of_correct)
    if rows == 0 or of_correct.shape != over_correct.shape:
        raise ValueError(f"the answers have shapes {of_correct.shape} and {over_correct.shape}; [N] is needed.")
    won = int(np.count_nonzero(of_correct & ~over_correct))
    lost = int(np.count_nonzero(over_correct & ~of_correct))
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


def _verdict(low: float, high: float, differing: int) -> Literal["gain", "no gain", "inconclusive"]:
    if low > 0 and differing >= LEAST_DIFFERING:
        return "gain"
    return "no gain" if high < NEGLIGIBLE_POINTS else "inconclusive"
