"""Run `compress` on several data sets with several seeds each, and say how much smaller and how good the students are.

    python bench/scripts/tabular.py adult wine_quality car segment --index data/INDEX.tsv
    python bench/scripts/tabular.py adult phoneme --index data/INDEX.tsv --seeds 5 -- --epochs 20

What stands after `--` goes to each `hpmkd-edge compress`, after `--target host` and `--compression 15`. Sizes are
compared in the bytes of the files: boosted trees have no count of parameters. A set passes where each of its students
is small enough and the mean retention is high enough; it passes for certain where the interval's lower end is. The
result goes to bench/results/tabular.json; the runs to runs/tabular-SET-SEED, and are read back if the same command made
them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from hpmkd_edge.bench.scripts.named_sets import find_sets
from hpmkd_edge.bench.scripts.provenance import RESULTS, Result, open_result
from hpmkd_edge.bench.scripts.retention import check_one_target, interval, run_one
from hpmkd_edge.errors import BadReport, EdgeError
from hpmkd_edge.manifest import LIBRARIES

LEAST_SETS: Final = 4


def summarize(rows: Sequence[dict[str, Any]], *, compression: float, retention: float) -> dict[str, Any]:
    """Return for each set the retention with its 95 % interval, the least ratio of bytes, and whether it passes.

    Raises:
        BadReport: a run knows no size of a file.
    """
    sets = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        runs = [row for row in rows if row["set"] == name]
        ratios = [run["file_ratio"] for run in runs]
        if None in ratios:
            raise BadReport(f"a teacher of {name} has no file; a size in bytes is needed.")
        kept = [run["retention"] for run in runs]
        mean, bounds = sum(kept) / len(kept), interval(kept)
        small = min(ratios) >= compression
        sets[name] = {
            "runs": len(runs),
            "teacher_test_accuracy": sum(run["teacher_test_accuracy"] for run in runs) / len(runs),
            "student_test_accuracy": sum(run["student_test_accuracy"] for run in runs) / len(runs),
            "retention": {"mean": mean, "low": bounds and bounds["low"], "high": bounds and bounds["high"]},
            "least_file_ratio": min(ratios),
            "passes": small and mean >= retention,
            "passes_for_certain": small and bounds is not None and bounds["low"] >= retention,
        }
    passing = [name for name, one in sets.items() if one["passes"]]
    certain = [name for name, one in sets.items() if one["passes_for_certain"]]
    return {
        "claim": f"{compression:g}× fewer bytes at {retention:.0%} retention on {LEAST_SETS} sets or more",
        "passing": passing,
        "passing_for_certain": certain,
        "holds": len(passing) >= LEAST_SETS,
        "holds_for_certain": len(certain) >= LEAST_SETS,
        "sets": sets,
    }


def table_of(summary: dict[str, Any]) -> str:
    """Return the figures as lines for a terminal."""
    lines = [f"{'set':16}{'teacher':>9}{'student':>9}{'retention':>11}{'95 %':>17}{'bytes':>8}  passes"]
    for name, one in summary["sets"].items():
        kept = one["retention"]
        bounds = "one run" if kept["low"] is None else f"{kept['low']:.2%}–{kept['high']:.2%}"
        word = "for certain" if one["passes_for_certain"] else "yes" if one["passes"] else "no"
        lines.append(
            f"{name:16}{one['teacher_test_accuracy']:9.2%}{one['student_test_accuracy']:9.2%}{kept['mean']:11.2%}"
            f"{bounds:>17}{one['least_file_ratio']:7.1f}×  {word}"
        )
    many = len(summary["sets"])
    lines.append(
        f"{summary['claim']}: {str(summary['holds']).lower()} ({len(summary['passing'])} of {many}; for certain"
        f" {len(summary['passing_for_certain'])})"
    )
    return "\n".join(lines)


def run_all(asked: argparse.Namespace, passed: Sequence[str], result: Result) -> None:
    """Add a row for each set and seed that *result* has not."""
    done = {(row["set"], row["seed"]) for row in result.rows}
    sets = find_sets(asked.sets, asked.index)
    units = [(one, seed) for one in sets for seed in range(asked.seeds)]
    for one, seed in tqdm(units, desc="runs", unit="run", disable=None):
        if (one.name, seed) not in done:
            arguments = ["--target", "host", "--compression", f"{asked.compression:g}", *one.flags, *passed]
            result.add({"set": one.name, **run_one(f"tabular-{one.name}", seed, arguments)})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all sets and seeds, write the summary, and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SET", help="'digits', or a table of the index without its .csv.gz")
    parser.add_argument("--index", type=Path, help="a list of tables, file and target between tabs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--compression", type=float, default=15.0, help="asked of each student, and of the claim")
    parser.add_argument("--retention", type=float, default=0.97, help="of the claim")
    parser.add_argument("--output", type=Path, default=RESULTS / "tabular.json")
    asked = parser.parse_args(given[:cut])
    if asked.seeds < 1:
        parser.error("--seeds takes 1 or more")
    passed = given[cut + 1 :]
    try:
        check_one_target(["--target", "host", *passed])
        result = open_result(asked.output, Path(__file__), given, libraries=LIBRARIES)
        run_all(asked, passed, result)
        summary = summarize(result.rows, compression=asked.compression, retention=asked.retention)
        result.finish(summary)
    except EdgeError as error:
        print(f"tabular: {error}", file=sys.stderr)
        return error.exit_code
    print(table_of(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
