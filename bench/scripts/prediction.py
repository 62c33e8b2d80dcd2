"""Fit what is said of devices without records on a table of published latencies, and judge it on what is left out.

    python bench/scripts/prediction.py --table latencies.csv
    python bench/scripts/prediction.py --table latencies.csv --ship

The table is a CSV with the columns model, params_m, gmacs, device, precision, batch, latency_ms and source. A predictor
sees MACs, parameters, MACs over the root of the parameters, and 1: there are no graphs. What is left out:

    members     each model of a family of at least 9 on a device, 8 others of it drawn at random; the median of the
                relative error, and the share of the 90 % intervals that hold
    families    all models of other families on that device; how often the interval would miss, and how many of those
                the range of the 8 points makes unknown, without looking at the family, which makes all of them unknown
    five        members, with the fewest points that are taken
    machines    each machine of a kind, all of its runtimes and releases with it

A table says no more of a family than the model's name does. Drawn with five seeds, of which the first is shown in full.
With --ship the fitted coefficients and the quantiles of their errors, for the kinds of device that we have a runtime
for, go to bench/transferred.json; the figures to bench/results/prediction.json.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from hpmkd_edge.bench.additive import LEAST_POINTS
from hpmkd_edge.bench.published_fits import in_family, out_of_family
from hpmkd_edge.bench.published_table import read_table
from hpmkd_edge.bench.scripts.provenance import RESULTS, open_result
from hpmkd_edge.bench.table_check import Published, TableCheck, check_table, score_of
from hpmkd_edge.bench.transferred import FILE, KINDS
from hpmkd_edge.errors import EdgeError
from hpmkd_edge.json_file import write_json
from hpmkd_edge.report.prediction_text import table_check_as_text

SEEDS: Final = range(5)
LARGEST_ERROR: Final = 0.12
LEAST_COVERAGE: Final = 0.85
LEAST_UNKNOWN: Final = 0.80


def one_seed(table: Path, seed: int) -> dict[str, Any]:
    """Return the figures of other points drawn."""
    rows = read_table(table).rows
    eight, five = in_family(rows, seed), in_family(rows, seed, LEAST_POINTS)
    missed = [trial for trial in out_of_family(rows, seed) if not trial.held]
    return {
        "seed": seed,
        "members": asdict(score_of("within the range", [trial for trial in eight if trial.inside])),
        "members_everywhere": asdict(score_of("all", eight)),
        "five": asdict(score_of("within the range", [trial for trial in five if trial.inside])),
        "unknown_by_range": sum(not trial.inside for trial in missed) / len(missed) if missed else None,
    }


def goals_of(check: TableCheck) -> dict[str, Any]:
    """Return which goals are met."""
    found = check.known[0]
    # The family's name is a rule, which no figure could break; what the range sees without it is measured.
    return {
        "median error in the family": _goal(found.median_error, most=LARGEST_ERROR),
        "intervals that hold in the family": _goal(found.coverage, least=LEAST_COVERAGE),
        "unknown where they would miss, by the family's name": _goal(check.abroad.unknown, least=LEAST_UNKNOWN),
        "unknown where they would miss, by the range alone": _goal(check.abroad.unknown_by_range, least=LEAST_UNKNOWN),
    }


def _goal(found: float | None, *, least: float = 0.0, most: float = 1.0) -> dict[str, Any]:
    return {
        "goal": f"at least {least:.0%}" if least else f"at most {most:.0%}",
        "found": found,
        "met": found is not None and least <= found <= most,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit and judge, write the result, and return the exit code: 1 where a goal is missed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--ship", action="store_true", help="write the coefficients that the product reads")
    parser.add_argument("--shipped", type=Path, default=FILE)
    parser.add_argument("--output", type=Path, default=RESULTS / "prediction.json")
    asked = parser.parse_args(given)
    try:
        result = open_result(asked.output, Path(__file__), given, libraries=("numpy", "scipy"))
        check = check_table(asked.table)
        for seed in tqdm(SEEDS[len(result.rows) :], desc="seeds", disable=None):
            result.add(one_seed(asked.table, seed))
        goals = goals_of(check)
        result.finish({"goals": goals, "check": asdict(check)})
        if asked.ship:
            command = shlex.join(["python", f"bench/scripts/{Path(__file__).name}", *given])
            pools = tuple(pool for pool in check.pools if pool.kind in KINDS.values())
            published = Published(
                command=command, table_sha256=check.table_sha256, rows=check.rows, names=check.features, pools=pools
            )
            write_json(asdict(published), asked.shipped)
    except EdgeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(table_check_as_text(check))
    return 0 if all(goal["met"] for goal in goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
