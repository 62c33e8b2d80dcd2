"""A recipe: how a training departs from the task's own settings; what the portfolio holds and the forest predicts."""

# Shape suffixes: D = dimensions of the space.

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Final

import numpy as np

from hpmkd_edge.plan.settings import Settings

# Loss temperatures: 1 is the student's own, above 8 the classes of a teacher are as good as equal.
COLDEST: Final = 1.0
HOTTEST: Final = 8.0


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Where a number may lie, both ends included; *even* says that equal steps, not equal factors, count."""

    low: float
    high: float
    even: bool = False

    def share(self, value: float) -> float:
        """Return how far *value* lies between the ends, from 0 to 1."""
        if self.even:
            return (value - self.low) / (self.high - self.low)
        return math.log(value / self.low) / math.log(self.high / self.low)

    def at(self, share: float) -> float:
        """Return the value that lies at *share* between the ends, to three digits."""
        share = min(max(share, 0.0), 1.0)
        if self.even:
            return _three_digits(self.low + share * (self.high - self.low))
        return _three_digits(self.low * (self.high / self.low) ** share)


# The space of HPM-KD (arXiv 2512.09886), T in 2 … 8 and ε in 0.005 … 0.05, is that of the task's own 4 and 0.02 under
# these factors. Its learning rates and decays are AdamW's; factors of the task's own hold for any optimizer. Ends have
# at most three digits, as `Range.at` does, so that no rounding leaves the space.
SPACE: Final[dict[str, Range]] = {
    "temperature_factor": Range(low=0.5, high=2.0),
    "alpha": Range(low=0.0, high=1.0, even=True),
    "learning_rate_factor": Range(low=0.125, high=4.0),
    "weight_decay_factor": Range(low=0.03, high=30.0),
    "label_smoothing_factor": Range(low=0.25, high=2.5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Factors of the settings that a task's own rules give, and the share of the teacher in the loss.

    Attributes:
        alpha: the teacher's share; 0 learns from labels alone, 0.5 from both alike, 1 from the teacher alone.

    Raises:
        ValueError: a number is outside SPACE.
    """

    temperature_factor: float = 1.0
    alpha: float = 0.5
    learning_rate_factor: float = 1.0
    weight_decay_factor: float = 1.0
    label_smoothing_factor: float = 1.0

    def __post_init__(self) -> None:
        for name, span in SPACE.items():
            value = getattr(self, name)
            if not span.low <= value <= span.high:
                raise ValueError(f"{name} is {value:g}; a number from {span.low:g} to {span.high:g} is needed")

    def applied(self, settings: Settings) -> Settings:
        """Return *settings* as this recipe changes them; NEUTRAL changes nothing.

        A temperature that the factor moves stays in 1 … 8, or at its own if that lies outside.
        """
        own = settings.temperature
        temperature = min(max(own * self.temperature_factor, min(COLDEST, own)), max(HOTTEST, own))
        return replace(
            settings,
            ce_weight=settings.ce_weight * 2 * (1 - self.alpha),
            kd_weight=settings.kd_weight * 2 * self.alpha,
            temperature=temperature,
            learning_rate=settings.learning_rate * self.learning_rate_factor,
            weight_decay=settings.weight_decay * self.weight_decay_factor,
            label_smoothing=settings.label_smoothing * self.label_smoothing_factor,
        )

    @property
    def for_labels_alone(self) -> Recipe:
        """The same for a training without a teacher, whose loss must not be scaled by the share of another."""
        return replace(self, alpha=NEUTRAL.alpha, temperature_factor=NEUTRAL.temperature_factor)

    def vector(self) -> tuple[float, ...]:
        """Return the place in SPACE, [D], each number from 0 to 1."""
        return tuple(span.share(getattr(self, name)) for name, span in SPACE.items())

    def as_dict(self) -> dict[str, float]:
        """Return each number by name; `Recipe(**numbers)` is the way back."""
        return asdict(self)

    @property
    def phrase(self) -> str:
        """What departs from the task's own settings, for reports."""
        parts = [
            f"alpha {self.alpha:g}"
            if field.name == "alpha"
            else f"{field.name.removesuffix('_factor').replace('_', ' ')} ×{getattr(self, field.name):g}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return ", ".join(parts) or "the task's own settings"


NEUTRAL: Final = Recipe()


def recipe_at(vector_D: Sequence[float]) -> Recipe:
    """Return the recipe at a place in SPACE, each number to three digits; places outside are moved to the edge."""
    places = zip(SPACE.items(), vector_D, strict=True)
    return Recipe(**{name: span.at(share) for (name, span), share in places})


def sample_recipes(count: int, *, seed: int) -> tuple[Recipe, ...]:
    """Draw recipes that spread over SPACE: along each axis, every *count*-th part of it holds one (a Latin square)."""
    generator = np.random.default_rng(seed)
    parts = generator.permuted(np.tile(np.arange(count), (len(SPACE), 1)), axis=1)
    places = ((parts + generator.random(parts.shape)) / count).T
    return tuple(recipe_at(place) for place in places.tolist())
