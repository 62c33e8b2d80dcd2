"""Distill a student for every table of an index, and set it beside its teacher and the same student without one.

    python bench/scripts/suite.py --index data/INDEX.tsv
    python bench/scripts/suite.py car segment adult --index data/INDEX.tsv --seeds 3 --compression 15

Each set and seed trains the largest perceptron whose file is --compression times smaller than the boosted teacher's,
in three ways, as the arms of `hpmkd-edge ablate` do: the full pipeline, plain KD and labels alone, at equal epochs and
each by settings that were searched for alike. Accuracies are of the exported files on test rows, which no choice has
read. Rows go to bench/results/suite.json one by one; intervals are Student's t at 95 %, over sets.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from hpmkd_edge.arms import stand_for
from hpmkd_edge.bench.scripts.named_sets import NamedSet, find_sets, names_in
from hpmkd_edge.bench.scripts.provenance import RESULTS, Result, open_result
from hpmkd_edge.bench.scripts.retention import interval
from hpmkd_edge.distillation import largest_size
from hpmkd_edge.errors import EdgeError
from hpmkd_edge.evidence import DIRECT, FULL, PLAIN_KD
from hpmkd_edge.manifest import LIBRARIES
from hpmkd_edge.request import Request
from hpmkd_edge.run_folder import plan_folder

RETENTION: Final = 0.99
BELOW_DIRECT: Final = 0.005
ANY_RUN: Final = "0" * 16  # as long as the name of one


def run_one(named: NamedSet, seed: int, compression: float) -> dict[str, Any]:
    """Train and score the three ways on one set with one *seed*."""
    request = Request(data=named.data, label=named.label, split=named.split, seed=seed, compression=compression)
    with tempfile.TemporaryDirectory() as above:
        stand = stand_for(request, plan_folder(Path(above) / "run"), lambda: False, refuse_weak=False)
        preparation = stand.preparation
        with closing(preparation.workshop.executor):
            path = Path(above) / "largest.onnx"
            size = largest_size(preparation, path, preparation.facts(ANY_RUN))
            chosen = replace(preparation.allowance, sizes=(size,))
            stand = replace(stand, preparation=replace(preparation, allowance=chosen))
            full = stand.run(FULL, None)
            direct, plain = (stand.run(arm, full) for arm in (DIRECT, PLAIN_KD))
        file_bytes = path.stat().st_size
        teacher = stand.teachers()[0]
        model_bytes = preparation.best.teacher.model_bytes
    assert model_bytes is not None, "a teacher that is trained here knows its size"
    return {
        "set": named.name,
        "seed": seed,
        "student": size.label,
        "teacher_test_accuracy": teacher.test_accuracy,
        "test_accuracy": full.test_accuracy,
        "direct_test_accuracy": direct.test_accuracy,
        "plain_kd_test_accuracy": plain.test_accuracy,
        "won_by": full.won_by,
        "student_bytes": file_bytes,
        "teacher_bytes": model_bytes,
        "seconds": full.seconds,
    }


def summarize(rows: Sequence[dict[str, Any]], *, compression: float) -> dict[str, Any]:
    """Return the figures of each set, and what holds over all of them."""
    sets = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        runs = [row for row in rows if row["set"] == name]

        def mean(key: str, runs: Sequence[dict[str, Any]] = runs) -> float:
            return float(sum(run[key] for run in runs) / len(runs))

        kept = [run["test_accuracy"] / run["teacher_test_accuracy"] for run in runs]
        sets[name] = {
            "runs": len(runs),
            "teacher": mean("teacher_test_accuracy"),
            "student": mean("test_accuracy"),
            "direct": mean("direct_test_accuracy"),
            "plain_kd": mean("plain_kd_test_accuracy"),
            "retention": sum(kept) / len(kept),
            "over_direct": mean("test_accuracy") - mean("direct_test_accuracy"),
            "least_ratio": min(run["teacher_bytes"] / run["student_bytes"] for run in runs),
        }
    retentions, gains = ([one[key] for one in sets.values()] for key in ("retention", "over_direct"))
    worst = min(gains)
    return {
        "retention": {"mean": sum(retentions) / len(retentions), **(interval(retentions) or {})},
        "gain_over_direct": {"mean": sum(gains) / len(gains), **(interval(gains) or {})},
        "claims": {
            f"mean retention of at least {RETENTION:.0%}": sum(retentions) / len(retentions) >= RETENTION,
            f"at least {compression:g} times fewer bytes on every set": all(
                one["least_ratio"] >= compression for one in sets.values()
            ),
            f"no set's mean more than {100 * BELOW_DIRECT:g} points below labels alone": worst >= -BELOW_DIRECT,
        },
        "sets": sets,
    }


def table_of(summary: dict[str, Any]) -> str:
    """Return the figures as lines for a terminal."""
    lines = [f"{'set':16}{'teacher':>9}{'student':>9}{'alone':>9}{'plain KD':>9}{'kept':>9}{'gain':>8}{'bytes':>8}"]
    for name, one in summary["sets"].items():
        lines.append(
            f"{name:16}{one['teacher']:9.2%}{one['student']:9.2%}{one['direct']:9.2%}{one['plain_kd']:9.2%}"
            f"{one['retention']:9.2%}{100 * one['over_direct']:+8.2f}{one['least_ratio']:7.1f}×"
        )
    for key, factor, unit in (("retention", 100, "%"), ("gain_over_direct", 100, "points")):
        found = {name: factor * value for name, value in summary[key].items()}
        span = f" ({found['low']:.2f} to {found['high']:.2f})" if "low" in found else ""
        lines.append(f"{key.replace('_', ' ')}: {found['mean']:.2f} {unit}{span}")
    lines += [f"{claim}: {str(held).lower()}" for claim, held in summary["claims"].items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all sets and seeds, write the summary; return 1 where a claim does not hold."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help="tables of the index without .csv.gz; all by default")
    parser.add_argument("--index", type=Path, required=True, help="a list of tables, file and target between tabs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--compression", type=float, default=15.0)
    parser.add_argument("--output", type=Path, default=RESULTS / "suite.json")
    asked = parser.parse_args(given)
    if asked.seeds < 1:
        parser.error("--seeds takes 1 or more")
    try:
        sets = find_sets(asked.sets or names_in(asked.index), asked.index)
        libraries = (*LIBRARIES, "scikit-learn", "numba")
        result: Result = open_result(asked.output, Path(__file__), given, libraries=libraries)
        done = {(row["set"], row["seed"]) for row in result.rows}
        units = [(one, seed) for one in sets for seed in range(asked.seeds) if (one.name, seed) not in done]
        for one, seed in tqdm(units, desc="runs", unit="run", disable=None):
            result.add(run_one(one, seed, asked.compression))
        summary = summarize(result.rows, compression=asked.compression)
        result.finish(summary)
    except EdgeError as error:
        print(f"suite: {error}", file=sys.stderr)
        return error.exit_code
    print(table_of(summary))
    return 0 if all(summary["claims"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
