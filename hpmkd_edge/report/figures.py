"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Final

from hpmkd_edge.verdict import Goal

NONE: Final = "–"

# What a score is called.
SCORES: Final[dict[Goal, str]] = {"classes": "accuracy", "value": "R²"}


def share(number: float) -> str:
    """Return a share from 0 to 1 in percent."""
    return f"{100 * number:.2f} %"


def score(number: float, goal: Goal) -> str:
    """Return an accuracy in percent, or an R² to four digits."""
    return share(number) if goal == "classes" else f"{number:.4f}".replace("-", "−")


def signed(points: float) -> str:
    """Return points with a sign, the true minus."""
    return f"{points:+.2f}".replace("-", "−")


def megabytes(size: int | None) -> float | None:
    """Return bytes in MB, 10⁶ bytes."""
    return None if size is None else size / 1e6


def quantity(number: float | None, unit: str) -> str:
    """Return three significant digits, or all digits of a count, and the unit."""
    if number is None:
        return NONE
    return f"{number:,}{unit}" if isinstance(number, int) else f"{_rounded(number, 3)}{unit}"


def ratio(before: float | None, after: float | None, words: tuple[str, str]) -> str:
    """Return how many times *after* is less (the first of *words*) or more than *before*."""
    if not before or not after:
        return NONE
    times, word = (before / after, words[0]) if before >= after else (after / before, words[1])
    return "the same" if times < 1.005 else f"{quantity(float(times), '×')} {word}"


def in_unit(number: float | None, unit: str, digits: int) -> str:
    """Return up to *digits* significant digits, and the unit of a judgement."""
    if number is None:
        return NONE
    text = _rounded(number, digits)
    # Limits are written as short as people write them: 8, not 8.000.
    short = text.rstrip("0").rstrip(".") if "." in text else text
    return short if unit in ("", "share") else f"{short} {unit}"


def _rounded(number: float, digits: int) -> str:
    if number == 0:
        return "0"
    return f"{number:,.{max(0, digits - 1 - math.floor(math.log10(abs(number))))}f}"
