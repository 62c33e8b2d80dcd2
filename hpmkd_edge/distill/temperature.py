"""The temperature of each epoch: a state that is passed in, and handed back with one more epoch (HPM-KD, 2512.09886).

`T = T_low + (T_high − T_low) · s`, where s, from 0 to 1, follows from the horizon or from what was measured so far.
What is measured should be a cross-entropy on labels: a loss of distillation itself moves with the temperature, and a
schedule that follows it would follow its own steps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from statistics import fmean, linear_regression
from typing import Any, ClassVar, Final

from hpmkd_edge.errors import BadConfiguration, TrainingFailed, unknown
from hpmkd_edge.plan.settings import AUTO, SCHEDULES

LOW: Final = 2.0
HIGH: Final = 6.0
TRIAL_PARTS: Final = 10  # auto watches one of so many parts of the training

FEWEST_BLOCKS: Final = 4  # two for a slope in each half
# A line through each half of 8 blocks finds the fall with a standard error of 2.5 noises: twice that.
CLEAR_FALL: Final = 5.0
FLATTENED: Final = 0.25  # slope of the second half over that of the first
SLOW_FALL: Final = 0.2  # of the first block's loss
# s is 0.9 in the epoch of the largest change.
LARGEST_CHANGE: Final = math.log(10)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureState:
    """What was measured in the epochs that are over.

    Attributes:
        schedule: what was asked for: one of SCHEDULES, or AUTO.
        start: the temperature until there is something to follow; for "constant" always.
        low, high: what every schedule stays between.
        horizon: epochs of the whole training.
        losses: mean of each epoch.
        blocks: mean losses of the blocks of the first tenth, in whole epochs.
        gaps: of each epoch, the student's cross-entropy less its teacher's, in nats.
        skipped: epochs that are over and of which nothing was measured; see `skip`.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}

    schedule: str
    start: float
    low: float
    high: float
    horizon: int
    losses: tuple[float, ...]
    blocks: tuple[float, ...]
    gaps: tuple[float, ...]
    skipped: int

    def __post_init__(self) -> None:
        if self.schedule not in (*SCHEDULES, AUTO):
            raise unknown("temperature schedule", self.schedule, (*SCHEDULES, AUTO))
        if not (math.isfinite(self.start) and self.start >= 1):
            raise BadConfiguration(f"a temperature of {self.start:g} was found; at least 1 is needed.")
        if not 1 <= self.low <= self.start <= self.high < math.inf:
            raise BadConfiguration(
                f"the temperature {self.start:g} was found for a range from {self.low:g} to {self.high:g}; a range from"
                " at least 1 upwards that holds it is needed."
            )
        if not (self.epoch <= self.horizon and self.horizon >= 1):
            raise BadConfiguration(
                f"{self.epoch} epochs of {self.horizon} are over; a training of at least 1 epoch, and at most all of"
                " them over, is needed."
            )
        if len(self.gaps) != len(self.losses) or bool(self.blocks) != bool(self.losses):
            raise BadConfiguration(
                f"{len(self.losses)} losses, {len(self.gaps)} gaps and {len(self.blocks)} blocks of a training were"
                " found; a gap for each loss, and blocks as soon as there is a loss, are needed."
            )
        if self.skipped < 0:
            raise BadConfiguration(f"{self.skipped} epochs without a measurement were found; at least 0 are needed.")
        if min((*self.losses, *self.blocks), default=0.0) < 0:
            raise BadConfiguration("a loss below 0 was found; a cross-entropy of at least 0 is needed.")

    @property
    def epoch(self) -> int:
        """How many epochs are over; the temperature is that of the next."""
        return len(self.losses) + self.skipped

    @property
    def trial(self) -> int:
        """Epochs that auto watches at its start: a tenth of them, rounded up."""
        return -(-self.horizon // TRIAL_PARTS)

    @property
    def strategy(self) -> str | None:
        """The schedule in force: what was asked for, or what auto has chosen, or None before it has."""
        if self.schedule != AUTO:
            return self.schedule
        return choose_strategy(self.blocks) if self.epoch >= self.trial else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint: texts, numbers and lists of numbers."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> TemperatureState:
        """Return the state that `as_dict` wrote; all further temperatures are the same.

        Raises:
            BadConfiguration: a key is missing or unknown, a value is of another type, or they contradict each other.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            # Through JSON, where a list may strictly stand for a tuple.
            return TypeAdapter(cls).validate_json(json.dumps(dict(found), allow_nan=False))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise BadConfiguration(f"the saved temperature's {place} cannot be used: {first['msg']}.") from error
        except (TypeError, ValueError) as error:  # of json
            raise BadConfiguration(f"the saved temperature is not of texts and finite numbers: {error}.") from error


def first_state(schedule: str, start: float, epochs: int, *, low: float = LOW, high: float = HIGH) -> TemperatureState:
    """Return the state before the first of so many *epochs*.

    The range from *low* to *high* is widened to hold *start*: who asks for more than usual gets it.

    Raises:
        BadConfiguration: there is no such *schedule*, *epochs* is below 1, or a temperature is below 1 or not finite.
    """
    return TemperatureState(
        schedule=schedule,
        start=start,
        low=min(low, start),
        high=max(high, start),
        horizon=epochs,
        losses=(),
        blocks=(),
        gaps=(),
        skipped=0,
    )


def advance(state: TemperatureState, blocks: Sequence[float], gap: float) -> TemperatureState:
    """Return *state* with one more epoch over.

    Args:
        blocks: mean training losses of about 8 equally long, consecutive runs of steps of the epoch, in nats.
        gap: the student's cross-entropy on labels less its teacher's, on the same rows, in nats; negative for a student
            that is better than its teacher.

    Raises:
        TrainingFailed: there is no block, a number is not finite, or a loss is negative.
        BadConfiguration: all epochs were over before.
    """
    if not blocks or not all(math.isfinite(block) and block >= 0 for block in blocks) or not math.isfinite(gap):
        raise TrainingFailed(
            f"epoch {state.epoch + 1} has the losses [{', '.join(f'{block:g}' for block in blocks)}] and a gap of"
            f" {gap:g} to its teacher; to set the temperature, finite losses of at least 0 and a finite gap are needed."
        )
    plain = tuple(map(float, blocks))
    return replace(
        state,
        losses=(*state.losses, fmean(plain)),
        blocks=(*state.blocks, *plain) if state.epoch < state.trial else state.blocks,
        gaps=(*state.gaps, float(gap)),
    )


def skip(state: TemperatureState) -> TemperatureState:
    """Return *state* with one more epoch over, of rows whose labels do not hold, so that nothing was measured.

    What follows losses and gaps stays where it is; the calendar goes on.

    Raises:
        BadConfiguration: all epochs were over before.
    """
    return replace(state, skipped=state.skipped + 1)


def temperature(state: TemperatureState) -> float:
    """Return the temperature of the next epoch."""
    share = None if state.strategy is None else _SHARES[state.strategy](state)
    if share is None:
        return state.start
    # Rounding must not leave the range.
    return min(max(state.low + (state.high - state.low) * share, state.low), state.high)


def _cosine_share(state: TemperatureState) -> float:
    # The paper divides by T_max; only the horizon makes it end where the training ends.
    return (1 + math.cos(math.pi * state.epoch / state.horizon)) / 2


def _loss_share(state: TemperatureState) -> float | None:
    # The paper's L_min cannot be the smallest loss so far: while a loss falls it is its own minimum, and s would be 0
    # from the second epoch on. What no cross-entropy goes below is 0.
    if not state.losses:
        return None
    largest = max(*state.blocks, *state.losses)
    return state.losses[-1] / largest if largest else 0.0


def _convergence_share(state: TemperatureState) -> float | None:
    # `1 − exp(−λ|dL/dt|)`, a step of t being an epoch with a loss. In units of the largest change, λ has no scale.
    changes = [abs(later - earlier) for earlier, later in pairwise(state.losses)]
    if not changes:
        return None
    largest = max(changes)
    return -math.expm1(-LARGEST_CHANGE * changes[-1] / largest) if largest else 0.0


def _gap_share(state: TemperatureState) -> float | None:
    # A student as good as its teacher has no use for a softer one.
    if not state.gaps:
        return None
    largest = max(state.gaps)
    return max(state.gaps[-1], 0.0) / largest if largest > 0 else 0.0


# Each gives s, or None while it has nothing to follow.
_SHARES: Final[dict[str, Callable[[TemperatureState], float | None]]] = {
    "constant": lambda _: None,
    "cosine": _cosine_share,
    "loss": _loss_share,
    "convergence": _convergence_share,
    "gap": _gap_share,
}


def choose_strategy(blocks: Sequence[float]) -> str:
    """Return the schedule for a training whose first tenth had these mean losses of *blocks*, in order.

    The rules, of which the first that holds decides, see shape and not scale:

    - constant: the fall is not clear of the noise (or there are too few blocks to tell), and a temperature that follows
      noise is noise. The noise is what second differences show, since a smooth descent, bent or not, has small ones
      (Gasser, Sroka and Jennen-Steinmetz 1986).
    - convergence: the second half falls much less steeply than the first. Most is learned long before the horizon,
      which then says nothing about the training; its own pace does.
    - loss: the fall is steady, but a small part of the loss. A calendar would sharpen before anything is learned.
    - cosine: the fall is fast, smooth and goes on: it will last for about the horizon.
    """
    if len(blocks) < FEWEST_BLOCKS:
        return "constant"
    half = len(blocks) // 2
    early, late = _descent(blocks[:half]), _descent(blocks[half:])
    fall = early * half + late * (len(blocks) - half)
    bends = [before - 2 * here + after for before, here, after in zip(blocks, blocks[1:], blocks[2:], strict=False)]
    noise = math.sqrt(fmean(bend * bend for bend in bends) / 6)
    if fall <= CLEAR_FALL * noise:
        return "constant"
    if late < FLATTENED * early:
        return "convergence"
    return "loss" if fall < SLOW_FALL * blocks[0] else "cosine"


def _descent(blocks: Sequence[float]) -> float:
    """Return how much a line through *blocks* falls from one to the next."""
    # Less the first, equal blocks have a slope of exactly 0.
    return -linear_regression(range(len(blocks)), [block - blocks[0] for block in blocks]).slope
