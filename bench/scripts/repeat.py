r"""Run `compress` again, and with other settings, in a fresh cache: what does it read back, and what is that worth?

    python bench/scripts/repeat.py -- --target host --data data/cifar10.npz --epochs 6 \
        --teacher data/resnet_cifar.py:resnet20 --weights data/resnet20_cifar10_jpeg.pt --normalize cifar10
    python bench/scripts/repeat.py --other="--epochs 5" -- --target host --data data/adult.csv.gz --label income \
        --split split

What stands after `--` goes to `hpmkd-edge compress`, with `--seed 0`. Each repetition has a cache of its own, and three
runs in turn, each a process that is timed from its start to its end:

    first   fills the cache
    again   the same once more
    other   the same teacher and data with what --other says, a new seed unless it is given

A teacher that is trained on the spot follows from the seed, so a new seed needs a --teacher. The result goes to
bench/results/repeat.json after each repetition.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from hpmkd_edge.bench.scripts.provenance import RESULTS, Result, open_result
from hpmkd_edge.bench.scripts.retention import check_one_target
from hpmkd_edge.errors import BadConfiguration, EdgeError
from hpmkd_edge.manifest import LIBRARIES
from hpmkd_edge.record import read_report

LEAST_SPEEDUP: Final = 3.0
RUNS: Final = ("first", "again", "other")
FINISHED: Final = (0, 1)  # met, or over a budget


def run_once(arguments: Sequence[str], folder: Path, cache: Path) -> dict[str, Any]:
    """Run `compress` with that *cache*; return its wall time and what its report says.

    Raises:
        EdgeError: it ended otherwise than with a student.
    """
    command = ["hpmkd-edge", "compress", *arguments, "--output", str(folder), "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "HPMKD_EDGE_MEMORY"}
    began = time.perf_counter()
    ended = subprocess.run(command, env={**environment, "HPMKD_EDGE_CACHE": str(cache)}, check=False).returncode
    wall = time.perf_counter() - began
    if ended not in FINISHED:
        raise EdgeError(f"{shlex.join(command)} ended with {ended}; see above.")
    report = read_report(folder / "report.json")
    return {
        "wall_s": wall,
        "run_s": report.seconds,
        "teacher_forwards": report.teacher_forwards,
        "teachers": [teacher.sha256 for teacher in report.teachers],
        "data_sha256": report.data.sha256,
        "test_accuracy": report.student.test_accuracy,
        "student_sha256": report.student_sha256,
        "rivals": sum(len(turn.rivals) for turn in report.rounds),
    }


def repeat_once(passed: Sequence[str], other: Sequence[str]) -> dict[str, Any]:
    """Make the three runs in a fresh cache.

    Raises:
        BadConfiguration: teacher or data of the other run are not those of the first.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder, arguments = Path(name), [*passed, "--seed", "0"]
        runs = {
            run: run_once([*arguments, *(other if run == "other" else ())], folder / run, folder / "cache")
            for run in RUNS
        }
    for part in ("teachers", "data_sha256"):
        if runs["other"][part] != runs["first"][part]:
            raise BadConfiguration(
                f"with {shlex.join(other)} the run had other {part.removesuffix('_sha256')} than the first; the same"
                " are needed: give a --teacher that depends on no seed."
            )
    return {"load_average": load, **runs}


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the claims, and whether they hold on all *rows*."""
    speedups = [row["first"]["wall_s"] / row["again"]["wall_s"] for row in rows]
    forwards = {run: [row[run]["teacher_forwards"] for row in rows] for run in RUNS}
    same = {
        part: all(row["again"][part] == row["first"][part] for row in rows)
        for part in ("test_accuracy", "student_sha256")
    }
    middle = statistics.median(speedups)
    return {
        "teacher_forwards": forwards,
        "speedup": {"median": middle, "low": min(speedups), "high": max(speedups)},
        "equal_accuracy": same["test_accuracy"],
        "equal_bytes": same["student_sha256"],
        "claims": {
            "a second run on the same teacher and data does no teacher forward": {
                "holds": not any(forwards["again"]) and not any(forwards["other"]) and all(forwards["first"])
            },
            f"a repeated run is at least {LEAST_SPEEDUP:g}× faster at equal accuracy": {
                "holds": middle >= LEAST_SPEEDUP and same["test_accuracy"]
            },
        },
    }


def table_of(summary: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Return the figures as lines for a terminal."""
    lines = [f"{'run':8}{'wall, median':>14}{'teacher forwards':>18}{'test accuracy':>15}"]
    for run in RUNS:
        wall = statistics.median(row[run]["wall_s"] for row in rows)
        forwards = ", ".join(map(str, summary["teacher_forwards"][run]))
        accuracy = statistics.fmean(row[run]["test_accuracy"] for row in rows)
        lines.append(f"{run:8}{wall:12.1f} s{forwards:>18}{accuracy:15.4%}")
    speedup = summary["speedup"]
    bytes_ = "the same bytes" if summary["equal_bytes"] else "other bytes"
    lines.append(f"again: {speedup['median']:.2f}× faster ({speedup['low']:.2f}–{speedup['high']:.2f}), {bytes_}")
    lines += [f"{claim}: {str(one['holds']).lower()}" for claim, one in summary["claims"].items()]
    return "\n".join(lines)


def run_all(asked: argparse.Namespace, passed: Sequence[str], result: Result) -> None:
    """Add the repetitions that *result* has not."""
    other = shlex.split(asked.other)
    for _ in tqdm(range(len(result.rows), asked.times), desc="fresh caches", unit="cache", disable=None):
        result.add(repeat_once(passed, other))


def main(arguments: Sequence[str] | None = None) -> int:
    """Make all runs, write the result, and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="fresh caches, 1 or more")
    parser.add_argument("--other", default="--seed 1", help="what the third run adds, as --other='--epochs 5'")
    parser.add_argument("--output", type=Path, default=RESULTS / "repeat.json")
    asked = parser.parse_args(given[:cut])
    passed = given[cut + 1 :]
    if asked.times < 1:
        parser.error("--times takes 1 or more")
    if "--teacher" not in passed and "--seed" in shlex.split(asked.other):
        parser.error("a teacher trained on the spot follows from the seed; give a --teacher, or --other='--epochs 5'")
    try:
        check_one_target(passed)
        result = open_result(asked.output, Path(__file__), given, libraries=LIBRARIES)
        run_all(asked, passed, result)
        summary = summarize(result.rows)
        result.finish(summary)
    except EdgeError as error:
        print(f"repeat: {error}", file=sys.stderr)
        return error.exit_code
    print(table_of(summary, result.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
