"""The race: every way to train the student competes with labels alone and with plain KD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hpmkd_edge.bench.comparison import Gain, paired_gain
from hpmkd_edge.bench.grading import row_scores
from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.plan.chain import Chain
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.students.family import Size
from hpmkd_edge.students.inherit import Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """One way to train the student: a name for reports, the lesson, and what differs from the others.

    Attributes:
        settings: None for those that all share.
        start: weights to begin from, or None for random ones.
        method: the losses, where they are more than the settings' one.
    """

    name: str
    lesson: Lesson
    settings: Settings | None = None
    start: Start | None = None
    method: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """A rival at the end of the race.

    Attributes:
        eligible: whether it may ship: a chain that has not gained enough over what is simpler may not.
    """

    rival: Rival
    trained: Trained
    eligible: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """A paired comparison of two finishers on the validation rows."""

    of: str
    over: str
    gain: Gain


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a component did in a race, and what it was worth over what was best before it, where that was raced."""

    component: str
    sentence: str
    duel: Duel | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intermediate:
    """A size between teacher and student that was trained for a chain.

    Attributes:
        taught: whether it was good enough to teach those after it.
        rival: the name of the way to train that its chain led to; None where the chain was cut before there was one.
    """

    size: Size
    trained: Trained
    taught: bool
    rival: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """All finishers in the order of their start; the winner ships.

    Attributes:
        settings: what all rivals shared.
        chains: the sizes of each chain that was trained.
        intermediates: of all chains, also of one that was cut short, in the order of their training.
    """

    finishes: tuple[Finish, ...]
    duels: tuple[Duel, ...]
    findings: tuple[Finding, ...]
    settings: Settings
    chains: tuple[Chain, ...] = ()
    intermediates: tuple[Intermediate, ...] = ()

    @property
    def winner(self) -> Finish:
        """The most accurate on validation rows that may ship; of equals that with the smaller loss, then the first."""
        return max((finish for finish in self.finishes if finish.eligible), key=merit)


def merit(finish: Finish) -> tuple[float, float]:
    """Order finishers: the more accurate on validation rows, then the one with the smaller loss."""
    return (finish.trained.accuracy, -finish.trained.loss)


def duel(of: Finish, over: Finish, labels: NDArray[Any], *, seed: int) -> Duel:
    """Compare two finishers on the validation rows, whose *labels* these are, in the units that students learn.

    *seed* is the bootstrap's.
    """
    right, before = (row_scores(finish.trained.logits, labels) for finish in (of, over))
    return Duel(of=of.rival.name, over=over.rival.name, gain=paired_gain(right, before, seed=seed))


def race_of(
    finishes: Sequence[Finish],
    labels: NDArray[Any],
    *,
    seed: int,
    findings: Sequence[Finding],
    settings: Settings,
    chains: Sequence[Chain] = (),
    intermediates: Sequence[Intermediate] = (),
) -> Race:
    """Compare each finisher with labels alone and with plain KD, the first two.

    Args:
        finishes: direct training, plain KD, then all others.
        labels: of the validation rows.
        seed: of the bootstrap.
    """
    duels = tuple(
        duel(finishes[later], finishes[earlier], labels, seed=seed)
        for later in range(1, len(finishes))
        for earlier in range(min(later, 2))
    )
    return Race(
        finishes=tuple(finishes),
        duels=duels,
        findings=tuple(findings),
        settings=settings,
        chains=tuple(chains),
        intermediates=tuple(intermediates),
    )
