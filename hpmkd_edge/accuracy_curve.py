"""The least accuracy that a model of a size must have: a curve through points, linear in the logarithm of the size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

# A byte, and more than any disk has: between them no ratio of sizes overflows.
LEAST_MB: Final = 1e-6
MOST_MB: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The least accuracy, or R², a share, of a model of a size; MB is 10⁶ bytes."""

    model_size_mb: float
    min: float

    def __post_init__(self) -> None:
        if not LEAST_MB <= self.model_size_mb <= MOST_MB:
            raise ValueError(
                f"model_size_mb is {self.model_size_mb:g}; a size from {LEAST_MB:g} (a byte) to {MOST_MB:g} is needed"
            )
        if not 0 <= self.min <= 1:
            raise ValueError(f"min is {self.min:g}; a share from 0 to 1 is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why points make no curve; *place* is the position and the key of what is wrong, empty for all of them."""

    place: tuple[int, str] | tuple[()]
    reason: str


def fault_of(points: Sequence[CurvePoint]) -> Fault | None:
    """Return why *points* make no curve, or None: there must be one, sizes must grow, and accuracies not fall."""
    if not points:
        return Fault(place=(), reason="no point was found; at least one is needed")
    for position, (before, after) in enumerate(pairwise(points), start=1):
        if after.model_size_mb <= before.model_size_mb:
            reason = f"{after.model_size_mb:g} follows {before.model_size_mb:g}; sizes in growing order are needed"
            return Fault(place=(position, "model_size_mb"), reason=reason)
        if after.min < before.min:
            reason = f"{after.min:g} follows {before.min:g}; of a larger model no less is needed than of a smaller one"
            return Fault(place=(position, "min"), reason=reason)
    return None


def least_at(points: Sequence[CurvePoint], size_mb: float) -> float:
    """Return the least accuracy at *size_mb*: that of the first point below it, of the last above it.

    Args:
        points: of which `fault_of` finds no fault.
        size_mb: above 0.
    """
    if size_mb <= points[0].model_size_mb:
        return points[0].min
    for before, after in pairwise(points):
        if size_mb <= after.model_size_mb:
            way = math.log(size_mb / before.model_size_mb) / math.log(after.model_size_mb / before.model_size_mb)
            return before.min + way * (after.min - before.min)
    return points[-1].min
