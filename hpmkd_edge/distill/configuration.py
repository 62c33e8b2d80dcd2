"""The Adaptive Configuration Manager at work: race recipes for short trainings, and remember what came of each.

HPM-KD (arXiv 2512.09886), with a portfolio and successive halving in the place of an untrained predictor.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from hpmkd_edge import __version__
from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.distill.workshop import Assignment, Workshop
from hpmkd_edge.errors import TrainingFailed
from hpmkd_edge.json_file import read_json, write_json
from hpmkd_edge.plan.forecast import Past, most_similar
from hpmkd_edge.plan.halving import SHARES, successive_halving
from hpmkd_edge.plan.memory import Memory, Trial
from hpmkd_edge.plan.propose import disappoints, propose, refine
from hpmkd_edge.plan.recipe import NEUTRAL, Recipe
from hpmkd_edge.plan.settings import AUTO, Settings
from hpmkd_edge.plan.traits import Traits
from hpmkd_edge.students.family import Size

MOST_SIMILAR: Final = 5
NEIGHBOR_SHARES: Final = (1 / 9, 1.0)
LEAST_RUNS: Final = 3  # that a schedule must have won on before it is tried without asking the first epochs
CONFIGURATION: Final = "configuration"
TEMPERATURE: Final = "temperature"
SCHEMA: Final = "hpmkd-edge/remembered/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Settings that short races found.

    Attributes:
        settings: for trainings with a teacher; *alone* for those on labels alone.
        trained: the winner's last training: plain KD of all epochs.
        cost: of the races, in full trainings, that one among them; none is counted twice.
    """

    recipe: Recipe
    settings: Settings
    alone: Settings
    trained: Trained
    cost: float
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What a run has read of other runs, as its file holds it."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What earlier runs on other tasks say, and where this one's is kept.

    Attributes:
        memory: None where nothing is remembered.
        task, name: digest and name of the task.
        traits: of task and teacher; a student's size is added.
        teacher_accuracy: on validation rows.
        kept: a file for what is read the first time, which stands from then on: a run that is taken up must not be told
            otherwise than before. None for one that is not taken up.
    """

    memory: Memory | None
    task: str
    name: str
    traits: Traits
    teacher_accuracy: float
    seed: int
    kept: Path | None = None

    def at(self, size: Size) -> Traits:
        """Return the traits with those of the student."""
        return replace(self.traits, family=size.family, student_parameters=size.parameters)

    def past(self) -> tuple[Past, ...]:
        """Return what recipes were worth on other tasks: this one's own would make a prediction of itself."""
        return past_of(self.trials())

    def trials(self) -> tuple[Trial, ...]:
        """Return the trials on other tasks of this kind, those whose recipes this version knows.

        Raises:
            BadReport: the file of what was read before is damaged.
            BadOutput: the memory cannot be read, or the file not be written.
        """
        if self.memory is None:
            return ()
        if self.kept is not None and self.kept.exists():
            found: Remembered = read_json(Remembered, SCHEMA, self.kept)
            return found.trials
        known = set(NEUTRAL.as_dict())
        trials = self.memory.trials(self.traits.kind, excluding=(self.task,))
        # The same data under another split is no other task: its validation rows may be test rows here.
        trials = tuple(trial for trial in trials if set(trial.settings) == known and trial.task_name != self.name)
        if self.kept is not None:
            write_json(asdict(Remembered(schema=SCHEMA, trials=trials)), self.kept)
        return trials

    def trial(
        self,
        size: Size,
        recipe: Recipe,
        settings: Settings,
        *,
        base: Settings,
        component: str,
        accuracy: float,
        seconds: float,
        predicted: float | None = None,
    ) -> Trial:
        """Return what a training by *settings* has given, where a full one has those of *base* but for the recipe.

        An R² below 0 is worth as little as a training that diverged: 0.
        """
        # Accuracies can be compared where all else is equal.
        run = f"{self.task} {size} {self.seed} {self.teacher_accuracy} {base}"
        return Trial(
            component=component,
            run=f"{self.name}, {size.label}, seed {self.seed}, {hashlib.sha256(run.encode()).hexdigest()[:16]}",
            task=self.task,
            task_name=self.name,
            kind=self.traits.kind,
            family=size.family,
            traits=self.at(size).numbers(),
            settings=recipe.as_dict(),
            schedule=settings.schedule,
            loss=settings.method,
            accuracy=max(accuracy, 0.0),
            teacher_accuracy=self.teacher_accuracy,
            epochs=settings.epochs,
            full_epochs=base.epochs,
            seconds=seconds,
            predicted=predicted,
            seed=self.seed,
            created=time.time(),
            version=__version__,
        )

    def remember(
        self,
        size: Size,
        recipe: Recipe,
        settings: Settings,
        *,
        accuracy: float,
        seconds: float,
        predicted: float | None = None,
    ) -> None:
        """Keep which schedule of the temperature has won: that of *settings*."""
        if self.memory is not None:
            won = self.trial(
                size,
                recipe,
                settings,
                base=settings,
                component=TEMPERATURE,
                accuracy=accuracy,
                seconds=seconds,
                predicted=predicted,
            )
            self.memory.remember(won)


def past_of(trials: Sequence[Trial]) -> tuple[Past, ...]:
    """Return what each recipe was worth in each run that compared settings, with all epochs, as far as its rungs tell.

    What ended on a shorter rung is taken to fall as far behind the best of the run at the end as it did behind the best
    of its rung; it weighs by its share of the epochs. What diverged is worth 0, and that is certain.
    """
    runs: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.component == CONFIGURATION:
            runs.setdefault(trial.run, []).append(trial)
    return tuple(past for run in runs.values() for past in _worth(run))


def _worth(run: Sequence[Trial]) -> Iterator[Past]:
    """Yield what each recipe of one run was worth; nothing where the full trainings are no longer remembered."""
    best: dict[int, float] = {}
    longest: dict[Recipe, Trial] = {}
    for trial in sorted(run, key=lambda trial: trial.epochs):
        best[trial.epochs] = max(best.get(trial.epochs, 0.0), trial.accuracy)
        longest[Recipe(**trial.settings)] = trial
    for recipe, trial in longest.items() if run[0].full_epochs in best else ():
        certain = trial.epochs == trial.full_epochs or trial.accuracy == 0
        behind = best[trial.epochs] - trial.accuracy
        accuracy = trial.accuracy if certain else max(best[trial.full_epochs] - behind, 0.0)
        weight = 1.0 if certain else trial.epochs / trial.full_epochs
        yield _past(trial, recipe, accuracy / trial.teacher_accuracy, weight)


def _past(trial: Trial, recipe: Recipe, retention: float, weight: float) -> Past:
    return Past(
        task=trial.task,
        traits=trial.traits,
        kind=trial.kind,
        family=trial.family,
        recipe=recipe,
        retention=retention,
        weight=weight,
    )


def settle(
    size: Size, lesson: Lesson, workshop: Workshop, *, experience: Experience, portfolio: Sequence[Recipe]
) -> Settled:
    """Race recipes on plain KD by successive halving, and return the settings of the winner.

    Each rung's trainings are independent and run side by side. Where a prediction was disappointed, the winner's
    neighbors race it once more: as many as leave the whole no dearer than an empty memory's race of the portfolio.

    Args:
        lesson: of the best teacher.
        workshop: its settings are the task's own, which recipes depart from.
    """
    base, full = workshop.settings, dict[Recipe, Trained]()
    reached, seconds = dict[tuple[Recipe, int], float](), dict[tuple[Recipe, int], float]()

    def evaluate(recipes: Sequence[Recipe], epochs: int) -> list[float]:
        missing = [recipe for recipe in recipes if (recipe, epochs) not in reached]
        trained = workshop.attempt_all(
            [
                Assignment(
                    size=size,
                    lesson=lesson,
                    label=f"{size.label}: {recipe.phrase}",
                    settings=replace(recipe.applied(base), epochs=epochs),
                    may_fail=True,
                )
                for recipe in missing
            ]
        )
        for recipe, one in zip(missing, trained, strict=True):
            reached[recipe, epochs] = one.accuracy if one else math.nan
            seconds[recipe, epochs] = one.seconds if one else 0.0
            if one is not None and epochs == base.epochs:
                full[recipe] = one
        return [reached[recipe, epochs] for recipe in recipes]

    proposal = propose(experience.at(size), experience.past(), portfolio, seed=workshop.seed)
    halving = successive_halving(proposal.recipes, evaluate, base.epochs)
    best, sentence = halving.winner, proposal.reason
    predicted = proposal.prediction(best.candidate)
    if disappoints(predicted, best.score / experience.teacher_accuracy):
        sentence += f" The prediction of {predicted:.1%} retention was missed"
        near = refine(best.candidate, seed=workshop.seed)
        near = near[: _affordable(len(near), len(portfolio), halving.cost, base.epochs)]
        if near:
            sentence += f", so {len(near)} of its neighbors {'were' if len(near) > 1 else 'was'} raced"
            with suppress(TrainingFailed):  # of the one neighbor that was left; it is remembered as diverged
                rivals = (best.candidate, *near) if len(near) > 1 else near
                around = successive_halving(rivals, evaluate, base.epochs, shares=NEIGHBOR_SHARES)
                best = max(best, around.winner, key=lambda entry: entry.score)
        sentence += "."
    if experience.memory is not None:
        experience.memory.remember(
            *(
                experience.trial(
                    size,
                    recipe,
                    replace(recipe.applied(base), epochs=epochs),
                    base=base,
                    component=CONFIGURATION,
                    accuracy=0.0 if math.isnan(accuracy) else accuracy,
                    seconds=seconds[recipe, epochs],
                    predicted=(
                        proposal.prediction(recipe) if epochs == base.epochs and recipe in proposal.recipes else None
                    ),
                )
                for (recipe, epochs), accuracy in reached.items()
            )
        )
    recipe, cost = best.candidate, sum(epochs for _, epochs in reached) / base.epochs
    return Settled(
        recipe=recipe,
        settings=recipe.applied(base),
        alone=recipe.for_labels_alone.applied(base),
        trained=full[recipe],
        cost=cost,
        sentence=f"{sentence} Chosen: {recipe.phrase}, after {cost:.1f} full trainings.",
    )


def _affordable(neighbors: int, portfolio: int, spent: float, epochs: int) -> int:
    """Return how many of the *neighbors* can race, if *spent* and they may cost what a *portfolio* of so many does.

    Two or more race the winner, which has been trained for the first rung already, and another may win that rung. A
    single one is trained in full at once.
    """

    def cost(count: int, shares: Sequence[float]) -> float:
        return successive_halving(range(count), lambda some, _: [0.0] * len(some), epochs, shares=shares).cost

    known = max(1, round(NEIGHBOR_SHARES[0] * epochs)) / epochs
    left = cost(portfolio, SHARES) - spent + 1e-9
    several = [count for count in range(2, neighbors + 1) if cost(1 + count, NEIGHBOR_SHARES) - known <= left]
    return max(several, default=int(left >= 1))


def choose_schedule(trials: Sequence[Trial], traits: Traits) -> str:
    """Return the temperature's schedule to race with: what won on most of the similar runs, else "auto".

    "auto" lets the first tenth of the training choose, but never "gap", the one that follows the teacher: that is raced
    where a constant temperature won on most.
    """
    latest = {(trial.task, trial.family): trial for trial in trials if trial.component == TEMPERATURE}
    pairs = [
        (_past(trial, Recipe(**trial.settings), trial.retention, 1.0), trial.schedule) for trial in latest.values()
    ]
    runs = most_similar([past for past, _ in pairs], traits, MOST_SIMILAR)
    near = [schedule for run in runs for past, schedule in pairs if any(past is one for one in run)]
    if len(near) >= LEAST_RUNS:
        winner, count = Counter(near).most_common(1)[0]
        if 2 * count > len(near):
            return "gap" if winner == "constant" else winner
    return AUTO


Settle = Callable[[Size, Lesson, Workshop], Settled]
