"""Successive halving: many candidates for a few epochs, the best of them for more, one for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from hpmkd_edge.errors import TrainingFailed

Candidate = TypeVar("Candidate")

SHARES: Final = (1 / 9, 1 / 3, 1.0)
KEPT: Final = 3  # one in so many goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Generic[Candidate]):
    """A candidate on a rung; *score* is NaN where its training failed."""

    candidate: Candidate
    epochs: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Halving(Generic[Candidate]):
    """All that was tried.

    Attributes:
        rungs: the entries of each rung, in the order of the candidates; fewest epochs first.
        epochs: of a full training.
    """

    rungs: tuple[tuple[Entry[Candidate], ...], ...]
    epochs: int

    @property
    def winner(self) -> Entry[Candidate]:
        """The best of the last rung."""
        return self.rungs[-1][_ranking(self.rungs[-1])[0]]

    @property
    def cost(self) -> float:
        """What was trained, in full trainings."""
        return sum(entry.epochs for rung in self.rungs for entry in rung) / self.epochs


def successive_halving(
    candidates: Sequence[Candidate],
    evaluate: Callable[[Sequence[Candidate], int], Sequence[float]],
    epochs: int,
    *,
    shares: Sequence[float] = SHARES,
) -> Halving[Candidate]:
    """Train all *candidates* for a share of the epochs, keep the best third, and go on with a larger share.

    Eight candidates cost 2.9 full trainings at 1/9, 1/3 and all of the epochs. Where two rungs would have equal
    epochs, the second would only repeat the scores of the first: its cut is made on those. A single candidate is
    trained on the last rung alone.

    Args:
        candidates: at least one; of equal scores, the earlier goes on.
        evaluate: gives the candidates' scores after so many epochs, higher better, NaN for one that failed. A
            training's learning rate falls to its end, so it starts anew on each rung.
        epochs: of a full training.
        shares: of the epochs, rising, the last 1.

    Raises:
        ValueError: no candidates, or as many scores are not given.
        TrainingFailed: all candidates of a rung failed.

    Source: Jamieson and Talwalkar, arXiv 1502.07943, with a third kept as in Hyperband, arXiv 1603.06560.
    """
    if not candidates:
        raise ValueError("no candidates are given; at least one is needed")
    budgets = [max(1, round(share * epochs)) for share in shares]
    going, keep = list(candidates), len(candidates)
    rungs: list[tuple[Entry[Candidate], ...]] = []
    for number, budget in enumerate(budgets, start=1):
        if len(going) == 1 and number < len(budgets):
            continue
        if not rungs or rungs[-1][0].epochs != budget:
            rungs.append(_rung(going, evaluate, budget))
        keep = math.ceil(keep / KEPT)
        through = sorted(place for place in _ranking(rungs[-1])[:keep] if not math.isnan(rungs[-1][place].score))
        going = [rungs[-1][place].candidate for place in through]
    return Halving(rungs=tuple(rungs), epochs=epochs)


def _rung(
    candidates: Sequence[Candidate],
    evaluate: Callable[[Sequence[Candidate], int], Sequence[float]],
    epochs: int,
) -> tuple[Entry[Candidate], ...]:
    scores = evaluate(candidates, epochs)
    if len(scores) != len(candidates):
        raise ValueError(f"{len(scores)} scores were given for {len(candidates)} candidates; one each is needed")
    if all(math.isnan(score) for score in scores):
        raise TrainingFailed(
            f"each of the {len(scores)} configurations failed within {epochs} epochs; check the inputs' scale and the"
            " teacher's logits."
        )
    return tuple(
        Entry(candidate=candidate, epochs=epochs, score=float(score))
        for candidate, score in zip(candidates, scores, strict=True)
    )


def _ranking(rung: Sequence[Entry[Candidate]]) -> list[int]:
    """Return the places in *rung*, the best first, the earlier of equals first, what failed last."""
    keys = [math.inf if math.isnan(entry.score) else -entry.score for entry in rung]
    return sorted(range(len(rung)), key=keys.__getitem__)
