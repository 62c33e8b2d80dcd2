"""A training's curves as epochs, for whoever follows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpmkd_edge.distill.training import learning_rate
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.tracking.journal import Epoch


def epochs_of(
    losses: Sequence[float],
    accuracies: Sequence[float],
    temperatures: Sequence[float],
    *,
    settings: Settings,
    rows: int,
    since: int = 0,
) -> Iterator[Epoch]:
    """Yield the epochs of a training on so many *rows* from its curves, without the first *since*."""
    steps = max(1, rows // settings.batch)
    for number in range(since + 1, len(losses) + 1):
        yield Epoch(
            number=number,
            of=settings.epochs,
            loss=losses[number - 1],
            accuracy=accuracies[number - 1],
            learning_rate=learning_rate(number * steps - 1, settings.epochs * steps, settings.learning_rate),
            temperature=temperatures[number - 1] if temperatures else None,
        )
