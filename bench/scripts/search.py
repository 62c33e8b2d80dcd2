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
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from hpmkd_edge.arms import Stand, stand_for
from hpmkd_edge.bench.scripts.make_portfolio import SCHEMA, Trials, choose
from hpmkd_edge.bench.scripts.named_sets import NamedSet, find_sets
from hpmkd_edge.bench.scripts.provenance import RESULTS, Result, open_result
from hpmkd_edge.bench.scripts.retention import interval
from hpmkd_edge.distill.configuration import settle
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.distill.workshop import Assignment, Workshop
from hpmkd_edge.errors import BadConfiguration, EdgeError, RuntimeUnavailable, TrainingFailed
from hpmkd_edge.json_file import read_json
from hpmkd_edge.plan.memory import Memory
from hpmkd_edge.plan.portfolio import Portfolio, read_portfolio
from hpmkd_edge.plan.recipe import NEUTRAL, SPACE, Recipe, recipe_at
from hpmkd_edge.record import LIBRARIES
from hpmkd_edge.request import Request
from hpmkd_edge.run_folder import RunFolder
from hpmkd_edge.store.database import open_database

MARGIN_POINTS: Final = 0.5
MOST_COST: Final = 1 / 5
LEAST_SETS: Final = 6
ALONE: Final = ("own", "search", "empty")  # what needs no other set
WAYS: Final = (*ALONE, "others")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one way chose for a set with one seed.

    Attributes:
        validation_accuracy: of the torch module; *test_accuracy* of the exported file.
        trainings: paid for, in full trainings; *seconds* of training.
        remembered: trainings on other sets of this kind that the memory held.
        reason: what the manager says; empty for the other ways.
    """

    set: str
    seed: int
    way: str
    recipe: str
    validation_accuracy: float
    test_accuracy: float
    trainings: float
    seconds: float
    remembered: int
    student: str
    epochs: int
    teacher_accuracy: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A recipe, and what finding it cost in full trainings."""

    recipe: Recipe
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

    def search(self, trials: int) -> Found:
        """Let Optuna propose *trials* recipes, one after the other; what diverges is worth nothing."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self.stand.request.seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        best, most = NEUTRAL, -1.0
        for _ in tqdm(range(trials), desc="search", unit="trial", disable=None, leave=False):
            trial = study.ask()
            recipe = recipe_at([trial.suggest_float(name, 0.0, 1.0) for name in SPACE])
            trained = self.train(recipe)
            accuracy = trained.accuracy if trained else 0.0
            study.tell(trial, accuracy)
            if accuracy > most:
                best, most = recipe, accuracy
        return Found(recipe=best, trainings=trials)

    def manage(self, memory: Memory) -> Found:
        """Let the configuration manager choose; *memory* grows with its trials."""
        experience = replace(self.stand.experience, memory=memory)
        past = len(experience.trials())
        lesson = self.stand.preparation.curriculum.teacher[1]
        settled = settle(self.stand.end, lesson, self.workshop, experience=experience, portfolio=self.portfolio.recipes)
        return Found(recipe=settled.recipe, trainings=settled.cost, remembered=past, reason=settled.sentence)


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
    stand = stand_for(request, folder, lambda: False, size=asked.size, refuse_weak=False)
    workshop = stand.preparation.workshop
    with closing(workshop.executor):
        digest = stand.preparation.task.digest
        yield Seat(stand=stand, workshop=workshop, portfolio=portfolio_without(digest, asked.matrix))


def try_way(way: str, seat: Seat, named: NamedSet, asked: argparse.Namespace) -> Choice:
    """Find a recipe in one *way*, and score the student that it gives.

    Raises:
        TrainingFailed: not even what was chosen can be trained.
    """
    seed = seat.stand.request.seed
    seat = replace(seat, workshop=replace(seat.workshop, spent={}))
    if way == "own":
        found = Found(recipe=NEUTRAL, trainings=1)
    elif way == "search":
        found = seat.search(asked.trials)
    elif way == "empty":
        memory = memory_at(_kept(named.name, seed, asked.work))
        memory.forget(seat.stand.preparation.task.digest)
        found = seat.manage(memory)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = seat.manage(_memory_of_others(named.name, seed, asked, Path(folder)))
    # Trained by every way already, but by "own".
    trained = seat.train(found.recipe)
    if trained is None:
        raise TrainingFailed(
            f"{named.name}, seed {seed}: the recipe of {way} ({found.recipe.phrase}) cannot be trained."
        )
    return Choice(
        set=named.name,
        seed=seed,
        way=way,
        recipe=found.recipe.phrase,
        validation_accuracy=trained.accuracy,
        test_accuracy=seat.stand.score(trained.module)[1],
        trainings=found.trainings,
        seconds=sum(seat.workshop.spent.values()),
        remembered=found.remembered,
        student=seat.stand.end.label,
        epochs=trained.epochs,
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


def means_of(choices: Sequence[Choice], field: str) -> dict[str, dict[str, float]]:
    """Return the mean of a *field* over seeds, by way and set."""
    return {
        way: {
            name: statistics.fmean(getattr(one, field) for one in choices if (one.set, one.way) == (name, way))
            for name in dict.fromkeys(one.set for one in choices if one.way == way)
        }
        for way in WAYS
    }


def _points(of: Mapping[str, float], over: Mapping[str, float], names: Sequence[str]) -> dict[str, Any]:
    """Return the mean difference over sets in points, its interval, and how many are within the margin."""
    points = {name: 100 * (of[name] - over[name]) for name in names}
    bounds = interval(list(points.values()))
    return {
        "mean": statistics.fmean(points.values()) if points else None,
        "low": bounds and bounds["low"],
        "high": bounds and bounds["high"],
        "sets": len(points),
        "sets_within": sum(one >= -MARGIN_POINTS for one in points.values()),
        "least": min(points.values()) if points else None,
    }


def _cost(of: Mapping[str, float], over: Mapping[str, float], names: Sequence[str]) -> dict[str, Any]:
    """Return the share of a cost, over all sets and on the worst of them."""
    if not names:
        return {"mean": None, "most": None}
    shares = [of[name] / over[name] for name in names]
    return {"mean": statistics.fmean(shares), "most": max(shares)}


def summarize(choices: Sequence[Choice]) -> dict[str, Any]:
    """Return the means of each set, how the ways differ, and whether the claims hold.

    A difference counts as within the margin where the lower end of its interval over sets is: what few sets leave open
    does not hold. None where there are no two sets to compare.
    """
    fields = ("test_accuracy", "validation_accuracy", "trainings", "seconds")
    means = {field: means_of(choices, field) for field in fields}
    names = list(means["test_accuracy"]["search"])
    # A memory that holds nothing of a set's kind is an empty one.
    told = [name for name in names if any(one.remembered for one in choices if (one.set, one.way) == (name, "others"))]
    pairs = {
        "empty over search": names,
        "others over search": told,
        "others over empty": told,
        "own over search": names,
    }
    differences, costs = {}, {}
    for pair, compared in pairs.items():
        of, _, over = pair.split()
        differences[pair] = {
            field: _points(means[field][of], means[field][over], compared)
            for field in ("test_accuracy", "validation_accuracy")
        }
        costs[pair] = {
            field: _cost(means[field][of], means[field][over], compared) for field in ("trainings", "seconds")
        }
    points = {pair: one["test_accuracy"] for pair, one in differences.items()}
    cheap, cheaper = costs["empty over search"], costs["others over empty"]
    claims = {
        f"with an empty memory within {MARGIN_POINTS} points of the search, on {LEAST_SETS} sets or more": (
            _within(points["empty over search"]) and len(names) >= LEAST_SETS
        ),
        f"at most {MOST_COST:g} of its cost, on each set": all(one["most"] <= MOST_COST for one in cheap.values()),
        "with a memory of other sets no worse than without": _within(points["others over empty"]),
        "and cheaper": bool(told) and all(one["mean"] < 1 for one in cheaper.values()),
    }
    return {
        "claims": claims,
        "differences_points": differences,
        "costs": costs,
        "means": {name: {way: {field: means[field][way][name] for field in fields} for way in WAYS} for name in names},
    }


def _within(points: Mapping[str, Any]) -> bool:
    return points["low"] is not None and points["low"] >= -MARGIN_POINTS


def table_of(summary: dict[str, Any]) -> str:
    """Return the figures as lines for a terminal."""
    lines = [f"{'test accuracy':16}" + "".join(f"{way:>9}" for way in WAYS) + "   trainings (seconds)"]
    for name, one in summary["means"].items():
        costs = ", ".join(f"{one[way]['trainings']:.1f} ({one[way]['seconds']:.0f})" for way in WAYS)
        lines.append(f"{name:16}" + "".join(f"{one[way]['test_accuracy']:9.2%}" for way in WAYS) + f"   {costs}")
    for pair, fields in summary["differences_points"].items():
        one, cost = fields["test_accuracy"], summary["costs"][pair]
        if one["mean"] is None:
            continue
        bounds = "" if one["low"] is None else f" [{one['low']:+.2f}, {one['high']:+.2f}]"
        lines.append(
            f"{pair}: {one['mean']:+.2f} points{bounds} over {one['sets']} sets, {one['sets_within']} within"
            f" {MARGIN_POINTS}; {cost['trainings']['mean']:.2f} of the trainings, {cost['seconds']['mean']:.2f} of the"
            " seconds"
        )
    lines += [f"{claim}: {str(holds).lower()}" for claim, holds in summary["claims"].items()]
    return "\n".join(lines)


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
