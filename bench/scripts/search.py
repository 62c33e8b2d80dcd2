r"""Compare the configuration manager with a search by Optuna over the same space, on several data sets.

    python bench/scripts/search.py digits adult car segment phoneme wine_quality --index data/INDEX.tsv
    python bench/scripts/search.py digits car segment --index data/INDEX.tsv --trials 10 --seeds 1 --epochs 9

On each set and with each seed, of weights, order and sampler, a student of one size is trained by plain KD from the
same teacher, with settings found in four ways:

    own     the task's own settings, as they are
    search  Optuna's TPE, 30 trials of one full training each; the best on validation rows
    empty   the configuration manager, with an empty memory
    others  the same, with a memory of the trials that the manager made on all other sets with this seed

Accuracies are of the exported file on test rows, and of the torch module on the validation rows that chose it. Costs
are full trainings (epochs trained over epochs) and seconds of training, the chosen student's own included. The claims
are judged on the means of sets, with 95 % intervals over sets. The rows go to bench/results/search.json one by one;
trainings are kept in --work, which commands that differ in their sets or seeds alone may share, also side by side.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tqdm import tqdm

from hpmkd_edge.arms import Stand, stand_for
from hpmkd_edge.bench.scripts.choices import WAYS, Choice, summarize, table_of
from hpmkd_edge.bench.scripts.make_portfolio import SCHEMA, Trials, choose
from hpmkd_edge.bench.scripts.named_sets import NamedSet, find_sets
from hpmkd_edge.bench.scripts.provenance import RESULTS, Result, open_result
from hpmkd_edge.distill.configuration import settle
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.distill.workshop import Assignment, Workshop
from hpmkd_edge.errors import BadConfiguration, EdgeError, RuntimeUnavailable, TrainingFailed
from hpmkd_edge.json_file import read_json
from hpmkd_edge.manifest import LIBRARIES
from hpmkd_edge.plan.memory import Memory
from hpmkd_edge.plan.portfolio import Portfolio, read_portfolio
from hpmkd_edge.plan.recipe import NEUTRAL, SPACE, Recipe, recipe_at
from hpmkd_edge.request import Request
from hpmkd_edge.run_folder import RunFolder
from hpmkd_edge.store.database import open_database

ALONE: Final = WAYS[:3]  # what needs no other set


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A recipe, its full training, and what finding it cost in full trainings, that one among them."""

    recipe: Recipe
    trained: Trained
    trainings: float
    remembered: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where the ways are tried for one set and seed; the workshop's `spent` grows with what one way trains."""

    stand: Stand
    workshop: Workshop
    portfolio: Portfolio

    def train(self, recipe: Recipe) -> Trained | None:
        """Train the student in full by plain KD, or read that back; None where the loss is no longer finite."""
        asked = Assignment(
            size=self.stand.end,
            lesson=self.stand.preparation.curriculum.teacher[1],
            label=recipe.phrase,
            settings=recipe.applied(self.workshop.settings),
            may_fail=True,
        )
        return self.workshop.attempt_all([asked])[0]

    def own(self) -> Found:
        """Train with the task's own settings."""
        trained = self.train(NEUTRAL)
        if trained is None:
            raise TrainingFailed("the task's own settings cannot be trained; check the inputs' scale.")
        return Found(recipe=NEUTRAL, trained=trained, trainings=1)

    def search(self, trials: int) -> Found:
        """Let Optuna propose *trials* recipes, one after the other; what diverges is worth nothing."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self.stand.request.seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        best: tuple[Recipe, Trained] | None = None
        for _ in tqdm(range(trials), desc="search", unit="trial", disable=None, leave=False):
            trial = study.ask()
            recipe = recipe_at([trial.suggest_float(name, 0.0, 1.0) for name in SPACE])
            trained = self.train(recipe)
            study.tell(trial, trained.accuracy if trained else 0.0)
            if trained and (best is None or trained.accuracy > best[1].accuracy):
                best = recipe, trained
        if best is None:
            raise TrainingFailed(f"none of {trials} recipes can be trained; check the inputs' scale.")
        return Found(recipe=best[0], trained=best[1], trainings=trials)

    def manage(self, memory: Memory) -> Found:
        """Let the configuration manager choose; *memory* grows with its trials."""
        experience = replace(self.stand.preparation.curriculum.experience, memory=memory, kept=None)
        past = len(experience.past())
        lesson = self.stand.preparation.curriculum.teacher[1]
        settled = settle(self.stand.end, lesson, self.workshop, experience=experience, portfolio=self.portfolio.recipes)
        return Found(
            recipe=settled.recipe,
            trained=settled.trained,
            trainings=settled.cost,
            remembered=past,
            reason=settled.sentence,
        )


def memory_at(path: Path) -> Memory:
    """Open the memory at *path*, or begin one."""
    return Memory(open_database(str(path)))


def portfolio_without(digest: str, matrix: Path | None) -> Portfolio:
    """Return the shipped portfolio, or the one that a *matrix* of make_portfolio.py gives without a task's own row.

    Raises:
        BadConfiguration: no other task is in the matrix.
    """
    if matrix is None:
        return read_portfolio()
    trials: Trials = read_json(Trials, SCHEMA, matrix)
    others = tuple(row for row in trials.tasks if row.digest != digest)
    if not others:
        raise BadConfiguration(f"{matrix} holds no task but the one that it is to help with; others are needed.")
    return choose(replace(trials, tasks=others), f"without {digest[:12]}")


@contextmanager
def seat_for(named: NamedSet, seed: int, asked: argparse.Namespace) -> Iterator[Seat]:
    """Prepare a set: its teacher, the student's size, and where trainings are kept."""
    request = Request(
        data=named.data,
        label=named.label,
        split=named.split,
        student=asked.student,
        size=asked.size,
        targets=("host",),
        seed=seed,
        epochs=asked.epochs,
        compression=asked.compression,
        # The memory of each way is given to it; one worker, so that seconds can be compared.
        without=("memory", "parallel"),
        device="cpu",
    )
    final = asked.work / f"{named.name}-{seed}"
    folder = RunFolder(final=final, partial=final.with_name(f"{final.name}.partial"))
    stand = stand_for(request, folder, lambda: False, refuse_weak=False)
    workshop = stand.preparation.workshop
    with closing(workshop.executor):
        digest = stand.preparation.task.digest
        yield Seat(stand=stand, workshop=workshop, portfolio=portfolio_without(digest, asked.matrix))


def try_way(way: str, seat: Seat, named: NamedSet, asked: argparse.Namespace) -> Choice:
    """Find a recipe in one *way*, and score the student that it gives.

    Raises:
        TrainingFailed: no recipe can be trained.
    """
    seed = seat.stand.request.seed
    seat = replace(seat, workshop=replace(seat.workshop, spent={}))
    if way == "own":
        found = seat.own()
    elif way == "search":
        found = seat.search(asked.trials)
    elif way == "empty":
        memory = memory_at(_kept(named.name, seed, asked.work))
        memory.forget(seat.stand.preparation.task.digest)
        found = seat.manage(memory)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = seat.manage(_memory_of_others(named.name, seed, asked, Path(folder)))
    return Choice(
        set=named.name,
        seed=seed,
        way=way,
        recipe=found.recipe.phrase,
        validation_accuracy=found.trained.accuracy,
        test_accuracy=seat.stand.score(found.trained.module)[1],
        trainings=found.trainings,
        seconds=sum(seat.workshop.spent.values()),
        remembered=found.remembered,
        student=seat.stand.end.label,
        epochs=found.trained.epochs,
        teacher_accuracy=seat.stand.teachers()[0].test_accuracy,
        reason=found.reason,
    )


def _kept(name: str, seed: int, work: Path) -> Path:
    return work / f"{name}-{seed}.sqlite"


def _memory_of_others(name: str, seed: int, asked: argparse.Namespace, folder: Path) -> Memory:
    memory = memory_at(folder / "others.sqlite")
    for other in asked.sets:
        path = _kept(other, seed, asked.work)
        if other == name:
            continue
        if not path.exists():
            raise BadConfiguration(f"{path} is gone, the trials of {other}; remove {asked.output} to make them again.")
        for trial in memory_at(path).trials():
            memory.remember(trial)
    return memory


def run_all(asked: argparse.Namespace, result: Result) -> None:
    """Add a row for each set, seed and way that *result* has not; what needs no other set comes first."""
    sets = find_sets(asked.sets, asked.index)
    asked.work.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(sets) * asked.seeds * len(WAYS), desc="ways", unit="way", disable=None) as bar:
        for ways in (ALONE, ("others",)):
            for named in sets:
                for seed in range(asked.seeds):
                    done = {row["way"] for row in result.rows if (row["set"], row["seed"]) == (named.name, seed)}
                    left = [way for way in ways if way not in done]
                    bar.update(len(ways) - len(left))
                    if not left:
                        continue
                    with seat_for(named, seed, asked) as seat:
                        for way in left:
                            bar.set_postfix_str(f"{named.name}, seed {seed}, {way}")
                            result.add(asdict(try_way(way, seat, named, asked)))
                            bar.update()


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all ways, write the result, and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SET", help="'digits', or a table of the index without its .csv.gz")
    parser.add_argument("--index", type=Path, help="a list of tables, file and target between tabs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=30, help="of the search")
    parser.add_argument("--student", default="mlp", help="as `hpmkd-edge compress` takes it")
    parser.add_argument("--size", help="the same; the largest that --compression allows otherwise")
    parser.add_argument("--compression", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, help="of a full training; by the rows otherwise")
    parser.add_argument(
        "--matrix", type=Path, help="of make_portfolio.py: choose a portfolio without the set's own row"
    )
    parser.add_argument("--work", type=Path, default=Path("runs") / "search", help="for trainings and memories")
    parser.add_argument("--output", type=Path, default=RESULTS / "search.json")
    asked = parser.parse_args(given)
    if asked.seeds < 1 or asked.trials < 1:
        parser.error("--seeds and --trials take 1 or more")
    try:
        if find_spec("optuna") is None:
            raise RuntimeUnavailable("optuna is not installed; pip install 'hpmkd-edge[evidence]'.")
        result = open_result(asked.output, Path(__file__), given, libraries=(*LIBRARIES, "scikit-learn", "optuna"))
        run_all(asked, result)
        made_by = read_portfolio().made_by if asked.matrix is None else f"leaving each set out of {asked.matrix}"
        summary = summarize([Choice(**row) for row in result.rows])
        result.finish({"portfolio": made_by, **summary})
    except EdgeError as error:
        print(f"search: {error}", file=sys.stderr)
        return error.exit_code
    print(table_of(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
