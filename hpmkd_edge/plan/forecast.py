"""What past runs say of a task at hand: those most like it, and a forest that predicts what each recipe retains."""

# Shape suffixes: P = past trainings, F = traits, D = dimensions of a recipe, R = recipes.

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.plan.recipe import Recipe
from hpmkd_edge.plan.traits import Traits

TREES: Final = 200
# Of the median distance: how near a past task must be before being nearer weighs little more.
NEAR: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What came of one recipe in a run that is over.

    Attributes:
        task: digest of the task.
        traits: as `Traits.numbers` gives them; NaN, or absence, for what was not known.
        family: the student's.
        retention: the student's accuracy over the teacher's, on validation rows, with all epochs; 0 where the training
            diverged.
        weight: of 1, how much of that was measured, and not concluded from fewer epochs.
    """

    task: str
    traits: Mapping[str, float]
    kind: str
    family: str
    recipe: Recipe
    retention: float
    weight: float = 1.0


def of_kind(past: Sequence[Past], kind: str) -> tuple[Past, ...]:
    """Return the trainings on tasks of *kind*: what images teach of a recipe does not hold for tables."""
    return tuple(one for one in past if one.kind == kind)


def standardized(past: Sequence[Past], traits: Traits) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the traits of *past*, [P, F], and those at hand, [F], each with mean 0 and deviation 1 over them all.

    Traits come as logarithms where they are counts or sizes, so a trait that is scaled everywhere changes nothing. An
    unknown one takes the mean of the known; one that is equal everywhere tells nothing and becomes 0. Whether the
    student's family is that at hand counts as a trait.
    """
    rows = [{**one.traits, "same_family": float(one.family == traits.family)} for one in past]
    rows.append({**traits.numbers(), "same_family": 1.0})
    names = sorted({name for row in rows for name in row})
    matrix = np.array([[row.get(name, np.nan) for name in names] for row in rows], np.float64)
    known = ~np.isnan(matrix)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, matrix, 0.0).sum(axis=0) / counts
    centered = np.where(known, matrix - mean, 0.0)
    deviation = np.sqrt((centered**2).sum(axis=0) / counts)
    # Equal numbers differ from their own mean by its rounding.
    told = deviation > 1e-9 * np.maximum(np.abs(mean), 1.0)
    scaled = np.where(told, centered / np.where(told, deviation, 1.0), 0.0)
    return scaled[:-1], scaled[-1]


def _distances(matrix_PF: NDArray[np.float64], now_F: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(((matrix_PF - now_F) ** 2).sum(axis=1)))


def most_similar(past: Sequence[Past], traits: Traits, count: int = 5) -> tuple[tuple[Past, ...], ...]:
    """Return the *count* runs of the task's kind that are nearest to *traits*, the nearest first.

    Trainings with equal traits and one family are one run, that tried several recipes. Distances are Euclid's over
    the standardized traits.
    """
    past = of_kind(past, traits.kind)
    if not past:
        return ()
    distances = _distances(*standardized(past, traits))
    runs: dict[tuple[object, ...], list[int]] = {}
    for place, one in enumerate(past):
        known = sorted(item for item in one.traits.items() if not math.isnan(item[1]))
        runs.setdefault((one.family, *known), []).append(place)
    nearest = sorted(runs.values(), key=lambda places: float(distances[places[0]]))
    return tuple(tuple(past[place] for place in places) for places in nearest[:count])


def forecast(past: Sequence[Past], traits: Traits, recipes: Sequence[Recipe], *, seed: int) -> tuple[float, ...]:
    """Predict the retention of each of *recipes* on a task with *traits*.

    A regression forest over standardized traits and the recipe's place in its space (HPM-KD, arXiv 2512.09886), in
    which past trainings weigh by the inverse of their distance, and by how much of them was measured. Without the
    former, trees split on whatever differs over all tasks: where the best learning rate was opposite on small and on
    large tasks, 48 trainings let the forest find a tenth of the difference, and four fifths with it.

    Args:
        past: with at least one training of the task's kind; from about 20 on the answer means something.
        seed: of the trees' draws.
    """
    from sklearn.ensemble import RandomForestRegressor

    past = of_kind(past, traits.kind)
    matrix_PF, now_F = standardized(past, traits)
    recipes_PD = np.array([one.recipe.vector() for one in past])
    retention_P = np.array([one.retention for one in past])
    forest = RandomForestRegressor(n_estimators=TREES, min_samples_leaf=2, random_state=seed, n_jobs=1)
    distances_P = _distances(matrix_PF, now_F)
    weights_P = np.array([one.weight for one in past]) / (distances_P + (NEAR * np.median(distances_P) or 1.0))
    forest.fit(np.hstack([matrix_PF, recipes_PD]), retention_P, sample_weight=weights_P)
    recipes_RD = np.array([recipe.vector() for recipe in recipes])
    questions = np.hstack([np.tile(now_F, (len(recipes), 1)), recipes_RD])
    return tuple(float(answer) for answer in forest.predict(questions))
