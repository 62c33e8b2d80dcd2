"""The race: every way to train the student competes with labels alone and with plain KD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.comparison import Gain, paired_gain
from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.links import Workshop
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.students.family import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """One way to train the student: a name for reports, and the lesson."""

    name: str
    lesson: Lesson


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """A rival at the end of the race."""

    rival: Rival
    trained: Trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """A paired comparison of two finishers on the validation rows."""

    of: str
    over: str
    gain: Gain


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """All finishers in the order of their start; the winner ships."""

    finishes: tuple[Finish, ...]
    duels: tuple[Duel, ...]

    @property
    def winner(self) -> Finish:
        """The most accurate on validation rows; of equals the one with the smaller loss, then the earlier one."""
        return max(self.finishes, key=lambda finish: (finish.trained.accuracy, -finish.trained.loss))


def run_race(size: Size, rivals: Sequence[Rival], workshop: Workshop, labels: NDArray[np.int64]) -> Race:
    """Train a student of *size* by each of the *rivals*, at equal epochs, and compare each with all before it.

    Args:
        rivals: the simplest first.
        labels: of the validation rows.
    """
    finishes = tuple(
        Finish(rival=rival, trained=workshop.train(size, rival.lesson, f"{size.label}: {rival.name}"))
        for rival in rivals
    )
    right = [finish.trained.logits.argmax(1) == labels for finish in finishes]
    duels = tuple(
        Duel(
            of=finishes[later].rival.name,
            over=finishes[earlier].rival.name,
            gain=paired_gain(right[later], right[earlier], seed=workshop.seed),
        )
        for later in range(1, len(finishes))
        for earlier in range(later)
    )
    return Race(finishes=finishes, duels=duels)
