"""Stages of one training: each by its own loss, each held near what the one before left (SMSKD, arXiv 2601.15657)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from hpmkd_edge.errors import BadConfiguration, unknown

WEIGHTINGS: Final = ("inverse", "tcp", "uniform")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One part of a training.

    Attributes:
        method: name in the loss table.
        weighting: of the rows in the reference loss, one of WEIGHTINGS.
        reference_weight: λ_r of the reference loss; 0 in the first stage, which has no reference.
    """

    method: str
    epochs: int
    weighting: str
    reference_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """Stages in order; the student goes on from its own weights."""

    stages: tuple[Stage, ...]

    @property
    def epochs(self) -> int:
        """Of all stages: what a rival of one stage gets."""
        return sum(stage.epochs for stage in self.stages)


def parse_stages(text: str) -> tuple[str, ...]:
    """Return the names in a *text* such as "fitnet,kd".

    Raises:
        BadConfiguration: a name is blank.
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise BadConfiguration(
            f"the stages {text!r} have a blank name; names of losses, as in 'fitnet,kd', are needed."
        )
    return names


def plan_stages(
    names: Sequence[str],
    epochs: int,
    *,
    known: Collection[str],
    weighting: str = "inverse",
    reference_weight: float = 1.0,
) -> StagePlan:
    """Divide *epochs* over a stage for each of *names*, as evenly as possible.

    What is left over goes to the earliest stages, an epoch each: the first has the most to learn.

    Args:
        names: of losses, in order; one alone is a training of one stage, and a name may come again.
        epochs: of the whole training.
        known: the loss table's names.
        reference_weight: λ_r from the second stage on.

    Raises:
        BadConfiguration: a name or the *weighting* is unknown, there are no names, there are fewer epochs than stages,
            or *reference_weight* is negative or not finite.
    """
    if not names:
        raise BadConfiguration("no stage was found; at least one name of a loss is needed.")
    for name in names:
        if name not in known:
            raise unknown("loss", name, known)
    if weighting not in WEIGHTINGS:
        raise unknown("weighting", weighting, WEIGHTINGS)
    if not 0 <= reference_weight < float("inf"):
        raise BadConfiguration(f"a reference weight of {reference_weight:g} was found; at least 0 is needed.")
    if epochs < len(names):
        raise BadConfiguration(f"{epochs} epochs were found for {len(names)} stages; at least {len(names)} are needed.")
    each, left = divmod(epochs, len(names))
    return StagePlan(
        stages=tuple(
            Stage(
                method=name,
                epochs=each + (place < left),
                weighting=weighting,
                reference_weight=reference_weight if place else 0.0,
            )
            for place, name in enumerate(names)
        )
    )
