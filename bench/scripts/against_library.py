"""Set `hpmkd-edge distill` beside the published HPM-KD library: the same rows, the same teacher, CPU time of each.

    python bench/scripts/against_library.py
    python bench/scripts/against_library.py digits --output .cache/digits.json

The library is deepbridge-distillation 2.0.0, used as its documentation says, by `library_side.py`, in an environment
that this script makes in FOLDER/environment and uses again; it needs Python 3.10 to 3.12. Two sets, each with a fifth
of the rows for testing:

    digits   scikit-learn's 1,797 digits, as 64 columns
    made     make_classification's 20,000 rows, 30 columns (12 informative), 5 classes

The teacher, HistGradientBoostingClassifier with its defaults, is fitted first, untimed, and handed to both sides as one
.joblib. Our side is the command line, with a store of its own: 40 epochs on labels alone and by plain KD, without the
search for settings, since it is CPU time that is compared; like the library's it measures no latency. No setting of the
library bounds the size of its student.

CPU time is user and system time of the side's process and those that it started, one thread in each (threads that spin
while they wait would count too). Each side's outcome is kept in FOLDER, and read back if the same command on the same
files made it, unless --again names the side. The result goes to bench/results/against_library.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hpmkd_edge.bench.scripts.parallel import THREADS
from hpmkd_edge.bench.scripts.provenance import RESULTS, Result, open_result
from hpmkd_edge.checkout import commit_of
from hpmkd_edge.distilled import read_distilled
from hpmkd_edge.errors import BadConfiguration, EdgeError
from hpmkd_edge.json_file import write_json
from hpmkd_edge.manifest import LIBRARIES
from hpmkd_edge.store.objects import digest_of_file

# As the library was published for: newer versions of scikit-learn lack what it calls. Newer torch brings CUDA.
PACKAGES: Final = ("deepbridge-distillation==2.0.0", "scikit-learn==1.5.2", "torch<2.14")
SIDES: Final = ("library", "ours")
MOST_CPU_SHARE: Final = 0.1
COMPRESSION: Final = 10.0
TEST_SHARE: Final = 0.2
# What our side leaves out: its own settings do, and without a chain one size is trained.
QUICK: Final = (
    *("--epochs", "40"),
    *("--without", "configuration", "--without", "temperature", "--without", "chain"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What our student must be on a set, beside the share of the library's CPU time; None is the library's accuracy."""

    least_accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A set on disk: a table for our side, arrays of the same numbers for the library, the teacher for both."""

    table: Path
    arrays: Path
    teacher: Path


def digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return [1797, 64] and the classes."""
    from sklearn.datasets import load_digits

    features, labels = load_digits(return_X_y=True)
    return features, labels


def made() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return [20000, 30] and the classes."""
    from sklearn.datasets import make_classification

    features, labels = make_classification(
        n_samples=20_000, n_features=30, n_informative=12, n_redundant=5, n_classes=5, random_state=0
    )
    return features, labels


SETS: Final[dict[str, Callable[[], tuple[NDArray[Any], NDArray[Any]]]]] = {"digits": digits, "made": made}
GOALS: Final = {"digits": Goal(least_accuracy=None), "made": Goal(least_accuracy=0.86)}


def write_set(
    features: NDArray[Any], labels: NDArray[Any], folder: Path, fit: Callable[[NDArray[Any], NDArray[Any]], Any]
) -> Files:
    """Split the rows, fit the teacher, and write table, arrays and teacher into *folder*, unless they are there.

    Numbers are float32 from the first, so that a table's are the same to the bit.

    Args:
        features: [N, M].
        labels: [N].
        folder: made if need be.
        fit: from training rows to a fitted classifier.
    """
    import joblib
    from sklearn.model_selection import train_test_split

    files = Files(table=folder / "rows.csv", arrays=folder / "rows.npz", teacher=folder / "teacher.joblib")
    if files.teacher.exists():
        return files
    folder.mkdir(parents=True, exist_ok=True)
    x = features.astype(np.float32)
    train, test = train_test_split(np.arange(len(x)), test_size=TEST_SHARE, random_state=42, stratify=labels)
    parts = np.full(len(x), "train", dtype="<U5")
    parts[test] = "test"
    lines = [",".join([*(f"f{i}" for i in range(x.shape[1])), "class", "split"])]
    lines += [",".join([*map(str, row), f"c{label}", part]) for row, label, part in zip(x, labels, parts, strict=True)]
    files.table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # In the order of the table, as our side reads them.
    train.sort(), test.sort()
    np.savez(files.arrays, x_train=x[train], y_train=labels[train], x_test=x[test], y_test=labels[test])
    beside = files.teacher.with_suffix(".new")
    joblib.dump(fit(x[train], labels[train]), beside)
    beside.replace(files.teacher)
    return files


def fit_teacher(features: NDArray[Any], labels: NDArray[Any]) -> Any:
    """Fit boosted trees with their defaults."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=0).fit(features, labels)


def make_environment(folder: Path) -> Path:
    """Install the library into *folder*, unless it is there; return the interpreter.

    Raises:
        BadConfiguration: this Python is too new for it.
        EdgeError: it cannot be installed.
    """
    python, done = folder / "bin" / "python", folder / "installed.txt"
    if done.exists() and done.read_text(encoding="utf-8").split() == list(PACKAGES):
        return python
    if sys.version_info >= (3, 13):
        raise BadConfiguration(f"this is Python {sys.version.split()[0]}; the library needs 3.10 to 3.12.")
    venv.create(folder, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        raise EdgeError(f"{shlex.join(command)} failed; see above.")
    done.write_text("\n".join(PACKAGES), encoding="utf-8")
    return python


def timed(command: Sequence[str], log: Path, cache: Path) -> dict[str, float]:
    """Run *command*, its output to *log*, and return the seconds of CPU and of the clock that it took.

    Raises:
        EdgeError: it ended with another code than 0.
    """
    environment = {name: value for name, value in os.environ.items() if name != "HPMKD_EDGE_MEMORY"}
    environment |= {"HPMKD_EDGE_CACHE": str(cache), "TQDM_DISABLE": "1", **dict.fromkeys(THREADS, "1")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with log.open("wb") as stream:
        ended = subprocess.run(command, env=environment, stdout=stream, stderr=stream, check=False).returncode
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    if ended != 0:
        raise EdgeError(f"{shlex.join(command)} ended with {ended}; see {log}.")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"cpu_s": cpu, "wall_s": wall}


def run_library(files: Files, folder: Path) -> dict[str, Any]:
    """Let the library distill, and return what it took and what it made."""
    outcome = folder / "library-student.json"
    times = timed(library_command(files, folder), folder / "library.log", folder / "cache")
    return {**times, **json.loads(outcome.read_text(encoding="utf-8"))}


def library_command(files: Files, folder: Path) -> list[str]:
    """Return the command of the library's side."""
    python, script = folder.parent / "environment" / "bin" / "python", Path(__file__).with_name("library_side.py")
    return [str(python), str(script), str(files.arrays), str(files.teacher), str(folder / "library-student.json")]


def our_command(files: Files, folder: Path) -> list[str]:
    """Return the command of our side: what a user has to say, and no more."""
    return [
        *(str(Path(sys.executable).with_name("hpmkd-edge")), "distill", "--data", str(files.table)),
        *("--label", "class", "--split", "split", "--teacher", str(files.teacher), "--trust"),
        *("--compression", f"{COMPRESSION:g}", "--output", str(folder / "run"), "--quiet", *QUICK),
    ]


def run_ours(files: Files, folder: Path) -> dict[str, Any]:
    """Compress in a store of its own, and return what it took and what it made, as the file itself answers."""
    from hpmkd_edge.bench.scoring import answer

    for stale in (folder / "run", folder / "run.partial", folder / "cache"):
        shutil.rmtree(stale, ignore_errors=True)
    times = timed(our_command(files, folder), folder / "ours.log", folder / "cache")
    distilled = read_distilled(folder / "run" / "distilled.json")
    with np.load(files.arrays) as archive:
        x, labels = archive["x_test"], archive["y_test"]
    answers = answer(folder / "run" / "student.onnx", {f"f{i}": x[:, i : i + 1] for i in range(x.shape[1])}).argmax(1)
    named = np.array([int(name.removeprefix("c")) for name in distilled.classes])[answers]
    return {
        **times,
        "rows": len(labels),
        "answers": len(answers),
        "accuracy": float(np.mean(named == labels)),
        "file_bytes": distilled.file_bytes,
        "most_bytes": files.teacher.stat().st_size / COMPRESSION,
        "student": distilled.size,
        "won_by": next(rival.name for rival in distilled.rivals if rival.won),
        "teacher_accuracy": distilled.teachers[0].test_accuracy,
    }


def as_typed(command: Sequence[str]) -> str:
    """Return *command* as a person would type it here: paths below the current folder relative to it."""
    here = Path.cwd()
    return shlex.join(str(Path(one).relative_to(here)) if one.startswith(f"{here}/") else one for one in command)


def outcome_of(side: str, files: Files, folder: Path, *, again: bool) -> dict[str, Any]:
    """Return what *side* made of a set: as it was kept, or by running it."""
    command = as_typed((library_command if side == "library" else our_command)(files, folder))
    inputs = [digest_of_file(path) for path in (files.table, files.arrays, files.teacher)]
    kept = folder / f"{side}.json"
    if kept.exists() and not again:
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if (found["command"], found["inputs"]) == (command, inputs):
            return found
    made_of = (run_library if side == "library" else run_ours)(files, folder)
    found = {
        "side": side,
        "command": command,
        "inputs": inputs,
        "commit": commit_of(Path(__file__)),
        **made_of,
    }
    write_json(found, kept)
    return found


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return for each set of *rows*, one a side, the figures of both and whether each goal is reached."""
    sets = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        library, ours = (next(row for row in rows if (row["set"], row["side"]) == (name, side)) for side in SIDES)
        least = GOALS[name].least_accuracy
        if least is None:
            # Without as many answers as rows there is no accuracy to be lower than.
            reached = ours["accuracy"] >= (library["accuracy"] or 0.0)
            about = "accuracy no lower than the library's"
        else:
            reached, about = ours["accuracy"] > least, f"accuracy above {least:g}"
        share = ours["cpu_s"] / library["cpu_s"]
        goals = {
            f"at most {MOST_CPU_SHARE:g} of the library's CPU time": share <= MOST_CPU_SHARE,
            about: reached,
            "as many answers as rows": ours["answers"] == ours["rows"],
            "a file within its budget": ours["file_bytes"] <= ours["most_bytes"],
        }
        sets[name] = {
            "cpu_share": share,
            "cpu_s": {side["side"]: side["cpu_s"] for side in (library, ours)},
            "accuracy": {side["side"]: side["accuracy"] for side in (library, ours)},
            "goals": goals,
            "holds": all(goals.values()),
        }
    return {"sets": sets, "holds": all(one["holds"] for one in sets.values())}


def table_of(summary: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Return the figures as lines for a terminal."""
    lines = [f"{'set':10}{'side':10}{'CPU':>10}{'accuracy':>10}{'answers':>16}{'bytes':>12}"]
    for row in rows:
        right = "invalid" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
        answers = f"{row['answers']:,}/{row['rows']:,}"
        lines.append(
            f"{row['set']:10}{row['side']:10}{row['cpu_s']:8.1f} s{right:>10}{answers:>16}{row['file_bytes']:>12,}"
        )
    for name, one in summary["sets"].items():
        lines.append(f"{name}: {one['cpu_share']:.3f} of the library's CPU time")
        lines += [f"  {goal}: {str(holds).lower()}" for goal, holds in one["goals"].items()]
    return "\n".join(lines)


def run_all(asked: argparse.Namespace, result: Result) -> None:
    """Fill the rows of *result*: each side of each set."""
    make_environment(asked.folder / "environment")
    result.rows.clear()
    units = [(name, side) for name in asked.sets for side in SIDES]
    for name, side in tqdm(units, desc="sides", unit="side", disable=None):
        folder = asked.folder / name
        files = write_set(*SETS[name](), folder, fit_teacher)
        result.add({"set": name, **outcome_of(side, files, folder, again=side in asked.again)})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both sides, write the result, and return the exit code: 1 where a goal is missed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; all of them by default")
    parser.add_argument("--folder", type=Path, default=Path(".cache/against_library"))
    parser.add_argument("--again", action="append", default=[], choices=SIDES, help="run this side anew; repeatable")
    parser.add_argument("--output", type=Path, default=RESULTS / "against_library.json")
    asked = parser.parse_args(given)
    asked.sets = asked.sets or list(SETS)
    if unknown := set(asked.sets) - set(SETS):
        parser.error(f"no set is called {min(unknown)}; there are {', '.join(SETS)}")
    asked.folder = asked.folder.absolute()
    try:
        result = open_result(asked.output, Path(__file__), given, libraries=(*LIBRARIES, "scikit-learn"))
        run_all(asked, result)
        summary = summarize(result.rows)
        result.finish(summary)
    except EdgeError as error:
        print(f"against_library: {error}", file=sys.stderr)
        return error.exit_code
    print(table_of(summary, result.rows))
    return 0 if summary["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
