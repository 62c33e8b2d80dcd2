"""The Adaptive Configuration Manager at work: race recipes for short trainings, and remember what came of each.

HPM-KD (arXiv 2512.09886), with a portfolio and successive halving in the place of an untrained predictor.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hpmkd_edge import __version__
from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.distill.workshop import Assignment, Workshop
from hpmkd_edge.plan.forecast import Past, most_similar
from hpmkd_edge.plan.halving import Halving, successive_halving
from hpmkd_edge.plan.memory import Memory, Trial
from hpmkd_edge.plan.propose import disappoints, propose, refine
from hpmkd_edge.plan.recipe import NEUTRAL, Recipe
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.plan.traits import Traits
from hpmkd_edge.students.family import Size

MOST_SIMILAR: Final = 5
NEIGHBOR_SHARES: Final = (1 / 9, 1.0)  # so that a disappointed prediction costs no more than an empty memory
LEAST_RUNS: Final = 3  # that a schedule must have won on before it is tried without asking the first epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Settings that short races found.

    Attributes:
        settings: for trainings with a teacher; *alone* for those on labels alone.
        trained: the winner's last training: plain KD of all epochs.
        cost: of the races, in full trainings, that one among them.
    """

    recipe: Recipe
    settings: Settings
    alone: Settings
    trained: Trained
    cost: float
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What earlier runs on other tasks say, and where this one's is kept.

    Attributes:
        memory: None where nothing is remembered.
        task, name: digest and name of the task.
        traits: of task and teacher; a student's size is added.
        teacher_accuracy: on validation rows.
    """

    memory: Memory | None
    task: str
    name: str
    traits: Traits
    teacher_accuracy: float
    seed: int

    def at(self, size: Size) -> Traits:
        """Return the traits with those of the student."""
        return replace(self.traits, family=size.family, student_parameters=size.parameters)

    def past(self) -> tuple[Past, ...]:
        """Return what is remembered of other tasks: this one's own trials would make a prediction of itself."""
        return tuple(_past_of(trial) for trial in self.trials())

    def trials(self) -> tuple[Trial, ...]:
        """Return the trials on other tasks of this kind, those whose recipes this version knows."""
        if self.memory is None:
            return ()
        known = set(NEUTRAL.as_dict())
        trials = self.memory.trials(self.traits.kind, excluding=(self.task,))
        return tuple(trial for trial in trials if set(trial.settings) == known)

    def remember(
        self,
        size: Size,
        recipe: Recipe,
        settings: Settings,
        *,
        accuracy: float,
        predicted: float | None,
        seconds: float,
    ) -> None:
        """Keep one outcome."""
        if self.memory is None:
            return
        self.memory.remember(
            Trial(
                task=self.task,
                task_name=self.name,
                kind=self.traits.kind,
                family=size.family,
                traits=self.at(size).numbers(),
                settings=recipe.as_dict(),
                schedule=settings.schedule,
                loss=settings.method,
                accuracy=accuracy,
                teacher_accuracy=self.teacher_accuracy,
                epochs=settings.epochs,
                seconds=seconds,
                predicted=predicted,
                seed=self.seed,
                created=time.time(),
                version=__version__,
            )
        )


def _past_of(trial: Trial) -> Past:
    return Past(
        traits=trial.traits,
        kind=trial.kind,
        family=trial.family,
        recipe=Recipe(**trial.settings),
        retention=trial.retention,
    )


def settle(
    size: Size, lesson: Lesson, workshop: Workshop, *, experience: Experience, portfolio: Sequence[Recipe]
) -> Settled:
    """Race recipes on plain KD by successive halving, and return the settings of the winner.

    Each rung's trainings are independent and run side by side. Where a prediction was disappointed, the winner's
    neighbors race it once more.

    Args:
        lesson: of the best teacher.
        workshop: its settings are the task's own, which recipes depart from.
    """
    base, seconds, full = workshop.settings, dict[Recipe, float](), dict[Recipe, Trained]()

    def evaluate(recipes: Sequence[Recipe], epochs: int) -> list[float]:
        trained = workshop.attempt_all(
            [
                Assignment(
                    size=size,
                    lesson=lesson,
                    label=f"{size.label}: {recipe.phrase}",
                    settings=replace(recipe.applied(base), epochs=epochs),
                    may_fail=True,
                )
                for recipe in recipes
            ]
        )
        for recipe, one in zip(recipes, trained, strict=True):
            seconds[recipe] = seconds.get(recipe, 0.0) + (one.seconds if one else 0.0)
            if one is not None and epochs == base.epochs:
                full[recipe] = one
        return [one.accuracy if one else math.nan for one in trained]

    proposal = propose(experience.at(size), experience.past(), portfolio, seed=workshop.seed)
    halving = successive_halving(proposal.recipes, evaluate, base.epochs)
    cost, sentence, outcomes = halving.cost, proposal.reason, expected(halving)
    best, predicted = halving.winner, proposal.prediction(halving.winner.candidate)
    if disappoints(predicted, best.score / experience.teacher_accuracy):
        around = successive_halving(
            (best.candidate, *refine(best.candidate, seed=workshop.seed)),
            evaluate,
            base.epochs,
            shares=NEIGHBOR_SHARES,
        )
        cost += around.cost
        sentence += f" The prediction of {predicted:.1%} retention was missed, so its neighbors were raced."
        outcomes = {**expected(around), **outcomes}
        if around.winner.score > best.score:
            best = around.winner
    for recipe, accuracy in outcomes.items():
        experience.remember(
            size,
            recipe,
            recipe.applied(base),
            accuracy=accuracy,
            predicted=proposal.prediction(recipe) if recipe == halving.winner.candidate else None,
            seconds=seconds[recipe],
        )
    recipe = best.candidate
    return Settled(
        recipe=recipe,
        settings=recipe.applied(base),
        alone=recipe.for_labels_alone.applied(base),
        trained=full[recipe],
        cost=cost,
        sentence=f"{sentence} Chosen: {recipe.phrase}, after {cost:.1f} full trainings.",
    )


def expected(halving: Halving[Recipe]) -> Mapping[Recipe, float]:
    """Return the accuracy that each recipe would have reached with all epochs, as far as the rungs tell.

    What fell behind the best of its last rung is taken to end as far behind; a training that failed is left out.
    """
    final = halving.winner.score
    accuracies: dict[Recipe, float] = {}
    for rung in halving.rungs:
        best = max(entry.score for entry in rung if not math.isnan(entry.score))
        for entry in rung:
            if not math.isnan(entry.score):
                accuracies[entry.candidate] = max(final - (best - entry.score), 0.0)
    return accuracies


def choose_schedule(trials: Sequence[Trial], traits: Traits) -> str:
    """Return the temperature's schedule to race with: what won on most of the similar runs, else "auto".

    "auto" lets the first tenth of the training choose.
    """
    latest = {(trial.task, trial.family): trial for trial in trials}
    pairs = [(_past_of(trial), trial.schedule) for trial in latest.values()]
    runs = most_similar([past for past, _ in pairs], traits, MOST_SIMILAR)
    near = [schedule for run in runs for past, schedule in pairs if any(past is one for one in run)]
    if len(near) >= LEAST_RUNS:
        winner, count = Counter(near).most_common(1)[0]
        if 2 * count > len(near) and winner not in ("constant", "auto"):
            return winner
    return "auto"


Settle = Callable[[Size, Lesson, Workshop], Settled]
