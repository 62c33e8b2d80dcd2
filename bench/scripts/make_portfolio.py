"""Train many recipes on several tasks, and choose the portfolio that runs start from where nothing is remembered.

    python bench/scripts/make_portfolio.py --table adult.csv.gz income split --table wine.csv quality --write

The embedded digits come first. Each task gets a teacher and a student as `hpmkd-edge compress` would give it, and the
student is trained by plain KD with each recipe, for a share of the task's epochs. The validation accuracies go to
bench/results/portfolio.json after each task; what is there is not trained again, and an interrupted task takes up
its finished trainings from --work. Out of the recipes, at most 8 are chosen greedily, the task's own settings first.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from tqdm import tqdm

from hpmkd_edge.bench.scripts.retention import commit_of
from hpmkd_edge.errors import BadConfiguration, EdgeError, TrainingFailed
from hpmkd_edge.json_file import read_json, write_json
from hpmkd_edge.plan.portfolio import MOST, SHIPPED, Portfolio, greedy_portfolio, portfolio_text
from hpmkd_edge.plan.recipe import NEUTRAL, Recipe, sample_recipes
from hpmkd_edge.preparation import prepare
from hpmkd_edge.request import Request
from hpmkd_edge.run_folder import RunFolder

RESULTS: Final = Path(__file__).parents[1] / "results"
SCHEMA: Final = "hpmkd-edge/portfolio/1"
TARGET: Final = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTrials:
    """One task's row of the matrix.

    Attributes:
        data: what `--data` would name.
        accuracies: of validation rows, one a recipe; 0 for a training that diverged, which is worth nothing.
    """

    data: str
    task: str
    digest: str
    student: str
    epochs: int
    teacher_accuracy: float
    accuracies: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """The matrix of tasks and recipes, and what it depends on.

    Attributes:
        share: of each task's own epochs.
        commit: that the first row was made at, or None outside of a checkout.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: str
    seed: int
    share: float
    commit: str | None
    recipes: tuple[Recipe, ...]
    tasks: tuple[TaskTrials, ...]


def try_recipes(request: Request, recipes: Sequence[Recipe], share: float, work: Path) -> TaskTrials:
    """Train a student with each of *recipes* on the request's task, by plain KD from its teacher."""
    final = work / Path(request.data).name
    folder = RunFolder(final=final, partial=final.with_name(f"{final.name}.partial"))
    preparation = prepare(request, folder, lambda: False)
    own, size = preparation.workshop.settings, preparation.allowance.sizes[-1]
    short = replace(own, epochs=max(1, round(share * own.epochs)))
    _, lesson = preparation.curriculum.teacher
    accuracies = []
    for recipe in tqdm(recipes, desc=preparation.task.name, unit="recipe", disable=None):
        workshop = replace(preparation.workshop, settings=recipe.applied(short))
        try:
            accuracies.append(workshop.train(size, lesson, recipe.phrase).accuracy)
        except TrainingFailed:
            accuracies.append(0.0)
    return TaskTrials(
        data=request.data,
        task=preparation.task.name,
        digest=preparation.task.digest,
        student=size.label,
        epochs=short.epochs,
        teacher_accuracy=preparation.best.accuracy,
        accuracies=tuple(accuracies),
    )


def open_trials(path: Path, recipes: tuple[Recipe, ...], *, seed: int, share: float) -> Trials:
    """Read the matrix at *path*, or begin one.

    Raises:
        BadConfiguration: the one that is there was made with other recipes, another seed or share.
    """
    commit = commit_of(Path(__file__).parent)
    empty = Trials(schema=SCHEMA, seed=seed, share=share, commit=commit, recipes=recipes, tasks=())
    if not path.exists():
        return empty
    found: Trials = read_json(Trials, SCHEMA, path)
    if replace(found, tasks=(), commit=commit) != empty:
        raise BadConfiguration(
            f"{path} holds {len(found.recipes)} recipes at seed {found.seed} and a share of {found.share:g}, and"
            f" {len(recipes)} at seed {seed} and {share:g} are asked for; give another --matrix, or remove it."
        )
    return found


def choose(trials: Trials, command: str) -> Portfolio:
    """Return the portfolio that *trials* speak for, with how it was made."""
    matrix = np.array([task.accuracies for task in trials.tasks])
    chosen = greedy_portfolio(matrix, MOST)
    gain = float((matrix[:, list(chosen)].max(axis=1) - matrix[:, 0]).mean())
    names = ", ".join(task.task for task in trials.tasks)
    made_by = (
        f"Chosen greedily out of {len(trials.recipes)} recipes by validation accuracy on {len(trials.tasks)} tasks"
        f" ({names}), one training each at {trials.share:g} of the epochs; the best member is {gain:.4f} above the"
        f" task's own settings in the mean, on the rows that chose it. Made by: {command}"
    )
    return Portfolio(made_by=made_by, recipes=tuple(trials.recipes[place] for place in chosen))


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the matrix, choose, and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--table",
        action="append",
        nargs="+",
        default=[],
        metavar=("FILE", "LABEL"),
        help="a table, its label column and, where it has one, its split column; may be repeated",
    )
    parser.add_argument("--no-digits", action="store_true", help="leave the embedded digits out")
    parser.add_argument("--recipes", type=int, default=40, help="how many, the task's own settings among them")
    parser.add_argument("--share", type=float, default=1 / 3, help="of each task's own epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--matrix", type=Path, default=RESULTS / "portfolio.json")
    parser.add_argument("--work", type=Path, default=Path("runs") / "portfolio", help="for unfinished trainings")
    parser.add_argument("--write", nargs="?", type=Path, const=SHIPPED, help="replace the portfolio's file")
    asked = parser.parse_args(given)
    if any(len(table) not in (2, 3) for table in asked.table):
        parser.error("--table takes a file, its label column and at most a split column")
    if asked.recipes < 1 or not 0 < asked.share <= 1:
        parser.error("--recipes takes 1 or more, --share a number above 0, up to 1")
    command = shlex.join(["python", "bench/scripts/make_portfolio.py", *given])
    # The user's memory would remember trainings that were cut short for this.
    plain = Request(targets=(TARGET,), seed=asked.seed, without=("memory",))
    requests = [] if asked.no_digits else [plain]
    for file, label, *split in asked.table:
        requests.append(replace(plain, data=file, label=label, split=split[0] if split else None))
    if not requests:
        parser.error("no task is left; give a --table, or let the digits in")
    recipes = (NEUTRAL, *sample_recipes(asked.recipes - 1, seed=asked.seed))
    try:
        trials = open_trials(asked.matrix, recipes, seed=asked.seed, share=asked.share)
        for request in tqdm(requests, desc="tasks", unit="task", disable=None):
            if request.data in [row.data for row in trials.tasks]:
                continue
            row = try_recipes(request, recipes, asked.share, asked.work)
            trials = replace(trials, tasks=(*trials.tasks, row))
            asked.matrix.parent.mkdir(parents=True, exist_ok=True)
            write_json(asdict(trials), asked.matrix)
        portfolio = choose(trials, command)
    except EdgeError as error:
        print(f"make_portfolio: {error}", file=sys.stderr)
        return error.exit_code
    text = portfolio_text(portfolio)
    print(text)
    if asked.write is not None:
        asked.write.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
