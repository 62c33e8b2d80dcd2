"""Which recipes to race, from what is remembered: fewer, the more that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from hpmkd_edge.plan.forecast import Past, forecast, most_similar, of_kind
from hpmkd_edge.plan.recipe import NEUTRAL, SPACE, Recipe, recipe_at, sample_recipes
from hpmkd_edge.plan.traits import Traits

# For a forest. HPM-KD speaks of runs, each with one configuration; a run here tries several, so what counts is recipes
# tried, and tasks: trainings on one or two tasks alone would teach a forest those tasks.
ENOUGH: Final = 20
ENOUGH_TASKS: Final = 3
SIMILAR_RUNS: Final = 5
# Recipes raced where something is remembered. The paper's forest reorders the portfolio; that only the first are raced,
# for 1.3 full trainings by successive halving where a portfolio of 8 costs 2.9, is our own cut. It leaves room for the
# neighbors of one that disappoints: with them a memory costs no more than none.
MOST: Final = 3
SAMPLED: Final = 300
TOLERANCE: Final = 0.01  # of retention: the upper end of the paper's ε
STEP: Final = 0.15  # of each range of SPACE: a factor of 1.7 for the learning rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Recipes to race.

    Attributes:
        recipes: the most promising first; the task's own settings are always among them.
        predicted: the retention of each, or None where nothing is known of it.
        source: what the order comes from.
        reason: a sentence for the report.
    """

    recipes: tuple[Recipe, ...]
    predicted: tuple[float | None, ...]
    source: Literal["portfolio", "similar", "forest"]
    reason: str

    def prediction(self, recipe: Recipe) -> float | None:
        """Return the predicted retention of one of the recipes."""
        return self.predicted[self.recipes.index(recipe)]


def propose(traits: Traits, past: Sequence[Past], portfolio: Sequence[Recipe], *, seed: int) -> Proposal:
    """Choose the recipes to race for a task with *traits*.

    With nothing remembered of the task's kind, the whole portfolio; with a few trainings, what did best on the most
    similar runs, then the rest of the portfolio; from 20 trainings on, on 3 tasks or more, the best by a forest's
    prediction, with its argmax over the space. Of these three are raced, the task's own settings among them.

    Args:
        past: of all kinds.
        portfolio: the task's own settings first.
        seed: of the forest, and of the recipes that it is asked about.
    """
    past = of_kind(past, traits.kind)
    tasks = "tables" if traits.kind == "table" else traits.kind
    if not past:
        return Proposal(
            recipes=tuple(portfolio),
            predicted=(None,) * len(portfolio),
            source="portfolio",
            reason=f"Nothing is remembered of {tasks}: the portfolio's {len(portfolio)} recipes are raced.",
        )
    count = len({one.task for one in past})
    if len(past) < ENOUGH or count < ENOUGH_TASKS:
        runs = most_similar(past, traits, SIMILAR_RUNS)
        recipes, predicted = _cut(_by_similar(runs, portfolio))
        how = f"{len(recipes)} recipes are raced, what did best on the {len(runs)} most similar runs first"
        source: Literal["similar", "forest"] = "similar"
    else:
        recipes, predicted = _cut(_by_forest(past, traits, portfolio, seed))
        how = f"the best {len(recipes)} recipes by a forest's prediction are raced"
        source = "forest"
    reason = f"{len(past)} trainings on {tasks}, of {count} task{'s' * (count > 1)}, are remembered: {how}."
    return Proposal(recipes=recipes, predicted=predicted, source=source, reason=reason)


def _by_similar(runs: Sequence[Sequence[Past]], portfolio: Sequence[Recipe]) -> dict[Recipe, float | None]:
    """Order recipes: those that won or all but won, those never tried, those that lost.

    A recipe is judged by how far it fell behind the best of its run, since runs differ more in what their teacher
    allows than recipes do.
    """
    tried: dict[Recipe, list[tuple[float, float, float]]] = {}
    for run in runs:
        best = max(one.retention for one in run)
        for one in run:
            tried.setdefault(one.recipe, []).append((one.retention, best - one.retention, one.weight))
    retained, lag = dict[Recipe, float](), dict[Recipe, float]()
    for recipe, outcomes in tried.items():
        retentions, lags, weights = zip(*outcomes, strict=True)
        retained[recipe] = float(np.average(retentions, weights=weights))
        lag[recipe] = float(np.average(lags, weights=weights))
    # What was not tried is taken to fall behind by the tolerance. Sorting is stable: the nearest runs' come first.
    order = sorted(dict.fromkeys([*lag, *portfolio]), key=lambda recipe: lag.get(recipe, TOLERANCE))
    return {recipe: retained.get(recipe) for recipe in order}


def _by_forest(
    past: Sequence[Past], traits: Traits, portfolio: Sequence[Recipe], seed: int
) -> dict[Recipe, float | None]:
    """Order the portfolio by prediction, the argmax over it, past recipes and SPACE in its place."""
    tried = [one.recipe for one in past]
    asked = tuple(dict.fromkeys([*portfolio, *tried, *sample_recipes(SAMPLED, seed=seed)]))
    answers = dict(zip(asked, forecast(past, traits, asked, seed=seed), strict=True))
    # Of equals the first: a forest is constant in pieces, and the portfolio is better known than its surroundings.
    best = max(asked, key=answers.__getitem__)
    order = sorted(dict.fromkeys([*portfolio, best]), key=lambda recipe: -answers[recipe])
    return {recipe: answers[recipe] for recipe in order}


def _cut(ranked: Mapping[Recipe, float | None]) -> tuple[tuple[Recipe, ...], tuple[float | None, ...]]:
    """Return the first recipes and their predictions, the task's own settings in the last place if not among."""
    kept = list(ranked)[:MOST]
    if NEUTRAL in ranked and NEUTRAL not in kept:
        kept[-1] = NEUTRAL
    return tuple(kept), tuple(ranked[recipe] for recipe in kept)


def disappoints(predicted: float | None, reached: float, *, tolerance: float = TOLERANCE) -> bool:
    """Tell whether a training ended so far below its prediction that the recipe's neighbors are worth a try.

    Args:
        predicted: retention, or None where there was no prediction, which nothing can disappoint.
        tolerance: what a prediction is usually wrong by.
    """
    return predicted is not None and reached < predicted - tolerance


def refine(recipe: Recipe, *, seed: int) -> tuple[Recipe, ...]:
    """Return two or three recipes near *recipe*: a slower, a faster, and one drawn around it in all directions.

    The learning rate on its own, since it moves a training most; at an end of its range one of the two is left out.
    """
    place_D = np.array(recipe.vector())
    along_D = STEP * np.eye(len(SPACE))[tuple(SPACE).index("learning_rate_factor")]
    drawn_D = np.random.default_rng(seed).normal(0.0, STEP, len(SPACE))
    found = [recipe_at((place_D + move_D).tolist()) for move_D in (-along_D, along_D, drawn_D)]
    return tuple(dict.fromkeys(other for other in found if other != recipe))
