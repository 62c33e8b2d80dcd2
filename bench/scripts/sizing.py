"""See how many probes sizing needs, and how often the student that it chooses fits, and is the largest that does.

    python bench/scripts/sizing.py
    python bench/scripts/sizing.py --seconds 80     # as far as that goes; the next call goes on

Two ladders: perceptrons on 8×8 pixels as the digits have, residual networks on 32×32 pixels in color. Each rung is
exported with the weights of two seeds and measured by the functions of a run: with the first weights several times as a
probe is (`quick`), with the second as the student that ships (`quick`), and once for the truth (`standard`).
Measurements go round by round over all rungs, so that a rung's own lie minutes apart; all are kept. One whose p90 bound
is over 1.5 times its median is taken again: the core was not its own, which any search would take for a slow student.

Then a search for each random budget: one to three of p90, peak memory and file size, each limit drawn between the
smallest and the largest rung's true cost, uniformly in its logarithm; a budget that no rung meets in truth is drawn
again. Each probe gets one of the rung's measurements, none twice: measuring anew for every budget would take hours,
with the same noise. What the search ends at is judged by the measurement of the other weights, and beside the truth.

Beside it, on the same budgets and measurements, a search that measures both ends first, then interpolates every cost
linearly in the parameters between its brackets, and takes each measurement for what it says.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from hpmkd_edge.bench.measurement import measure
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench.scripts.provenance import RESULTS, Result, open_result
from hpmkd_edge.errors import EdgeError
from hpmkd_edge.export.conversion import save_student
from hpmkd_edge.plan.chain import first_chain
from hpmkd_edge.plan.sizing import MOST_MEASUREMENTS, fits, strains
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.effort import effort_of
from hpmkd_edge.students.family import Shape, Size
from hpmkd_edge.students.inlet import ImageInlet
from hpmkd_edge.students.stand_in import stand_in
from hpmkd_edge.verdict import Judgement, Outcome, Provenance, Verdict

LIBRARIES: Final = ("torch", "onnx", "onnxruntime", "numpy")
PROBE, FINAL, TRUTH = "probe", "final", "truth"
# A p90 bound of so many medians: other work had the core for a tenth of the runs; the measurement is taken again.
DISTURBED: Final = 1.5
MOST_ATTEMPTS: Final = 3
COSTS: Final = ("latency_ms.p90", "peak_memory_mb", "model_size_mb")
Budget = Mapping[str, float]
Probe = Callable[[Size], Verdict]


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Sizes of one family for one shape of rows, up to some number of parameters."""

    family: str
    shape: Shape
    most_parameters: int

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """The rungs."""
        whole = FAMILIES[self.family].ladder(self.shape)
        return tuple(size for size in whole if size.parameters <= self.most_parameters)

    @property
    def row(self) -> dict[str, NDArray[Any]]:
        """One row as the file takes it."""
        channels, *sides = self.shape.features
        return {"images": np.random.default_rng(0).integers(0, 256, (1, *sides, channels), np.uint8)}

    def export(self, size: Size, seed: int, folder: Path) -> Path:
        """Return the file of *size* with the weights of *seed*, exported once."""
        path = folder / f"{self.family}-{name_of(size)}-{seed}.onnx"
        if not path.exists():
            channels, height, width = self.shape.features
            inlet = ImageInlet(mean=(0.5,) * channels, deviation=(0.25,) * channels, sides=(height, width))
            save_student(stand_in(FAMILIES[self.family], size, self.shape, seed), inlet, path, facts={})
        return path


LADDERS: Final = (
    Ladder(family="mlp", shape=Shape(features=(1, 8, 8), classes=10), most_parameters=10**6),
    Ladder(family="residual", shape=Shape(features=(3, 32, 32), classes=10), most_parameters=280_000),
)


def name_of(size: Size) -> str:
    """Return width and depth."""
    return f"{size.width}x{size.depth}"


def jobs(probes: int) -> Iterator[tuple[Ladder, Size, str]]:
    """Yield what is measured, in order: rounds of probes, the final files among them, the truth last."""
    for kind in (*(f"{PROBE} {number}" for number in range(probes)), FINAL, TRUTH):
        for ladder in LADDERS:
            for size in ladder.sizes:
                yield ladder, size, kind


def take(ladder: Ladder, size: Size, kind: str, folder: Path) -> dict[str, Any]:
    """Measure a rung."""
    path = ladder.export(size, 1 if kind == FINAL else 0, folder)
    sampling = SAMPLINGS["standard" if kind == TRUTH else "quick"]
    attempts, quiet = 0, False
    while not quiet and attempts < MOST_ATTEMPTS:
        attempts, began = attempts + 1, time.monotonic()
        profile = measure(path, runtime="onnxruntime", feeds=ladder.row, sampling=sampling)
        bound, middle = profile.percentile_bound_ms(90), profile.p50_ms
        quiet = bound is not None and middle is not None and bound <= DISTURBED * middle
    return {
        "family": ladder.family,
        "size": name_of(size),
        "kind": kind,
        "latency_ms.p90": profile.percentile_bound_ms(90),
        "peak_memory_mb": profile.peak_memory_mb,
        "model_size_mb": path.stat().st_size / 1e6,
        "p50_ms": profile.p50_ms,
        "relative": profile.relative,
        "cv": profile.cv,
        "flags": profile.flags,
        "attempts": attempts,
        "seconds": time.monotonic() - began,
    }


def measure_all(result: Result, probes: int, folder: Path, seconds: float) -> bool:
    """Add the measurements that *result* lacks, until *seconds* are over; say whether all are there."""
    done = {(row["family"], row["size"], row["kind"]) for row in result.rows}
    wanted = [job for job in jobs(probes) if (job[0].family, name_of(job[1]), job[2]) not in done]
    end = time.monotonic() + seconds
    folder.mkdir(parents=True, exist_ok=True)
    for ladder, size, kind in tqdm(wanted, desc="measurements", disable=None):
        if time.monotonic() >= end:
            return False
        result.add(take(ladder, size, kind, folder))
    return True


Pool = Mapping[str, Mapping[str, Mapping[str, Any]]]  # rows by size and kind


def judged(row: Mapping[str, Any], budget: Budget) -> Verdict:
    """Judge a measurement, as a target with these limits would."""
    return Verdict(
        target="drawn",
        judgements=tuple(
            Judgement(
                budget=name,
                outcome=Outcome.BROKEN if row[name] > limit else Outcome.MET,
                provenance=Provenance.MEASURED,
                value=row[name],
                limit=limit,
                warn=None,
                unit="ms" if name.startswith("latency") else "MB",
                here=None,
                reason=f"{row[name]:.4g} measured, {limit:.4g} allowed",
            )
            for name, limit in budget.items()
        ),
    )


def draw_budget(ladder: Sequence[Size], pool: Pool, generator: np.random.Generator) -> tuple[Budget, Size]:
    """Return limits that some size meets in truth, and the largest that does."""
    while True:
        chosen = generator.choice(len(COSTS), generator.integers(1, len(COSTS) + 1), replace=False)
        budget = {}
        for name in (COSTS[place] for place in sorted(chosen)):
            ends = sorted(pool[name_of(size)][TRUTH][name] for size in (ladder[0], ladder[-1]))
            budget[name] = float(np.exp(generator.uniform(*np.log(ends))))
        fitting = [size for size in ladder if fits(judged(pool[name_of(size)][TRUTH], budget))]
        if fitting:
            return budget, fitting[-1]


def ends_then_line(ladder: Sequence[Size], probe: Probe) -> Size:
    """Bracket the largest size that fits by lines through what was measured, without a margin."""
    measured = {size: strains(probe(size)) for size in (ladder[-1], ladder[0])}
    if max(measured[ladder[-1]].values()) <= 1 or max(measured[ladder[0]].values()) > 1:
        return ladder[-1] if max(measured[ladder[-1]].values()) <= 1 else ladder[0]
    low, high = 0, len(ladder) - 1
    while high - low > 1:
        known = sorted(measured, key=lambda size: size.parameters)
        expected = [
            max(
                np.interp(size.parameters, [one.parameters for one in known], [measured[one][name] for one in known])
                for name in measured[ladder[0]]
            )
            for size in ladder
        ]
        hopeful = [place for place in range(low + 1, high) if expected[place] <= 1]
        choice = hopeful[-1] if hopeful else low + 1
        measured[ladder[choice]] = strains(probe(ladder[choice]))
        low, high = (choice, high) if max(measured[ladder[choice]].values()) <= 1 else (low, choice)
    return ladder[low]


def search_once(
    way: Callable[[Probe], Size], budget: Budget, best: Size, pool: Pool, generator: np.random.Generator
) -> dict[str, Any]:
    """Let *way* search with measurements drawn from *pool*, and see what became of it."""
    left: dict[str, list[Mapping[str, Any]]] = {}
    spent: list[Mapping[str, Any]] = []

    def probe(size: Size) -> Verdict:
        if name_of(size) not in left:
            rows = [row for kind, row in pool[name_of(size)].items() if kind.startswith(PROBE)]
            left[name_of(size)] = [rows[place] for place in generator.permutation(len(rows))]
        spent.append(left[name_of(size)].pop())
        return judged(spent[-1], budget)

    end = way(probe)
    return {
        "end": name_of(end),
        "fits": fits(judged(pool[name_of(end)][FINAL], budget)),
        "fits_in_truth": fits(judged(pool[name_of(end)][TRUTH], budget)),
        "largest": end == best,
        "probes": len(spent),
        "seconds": sum(row["seconds"] for row in spent),
    }


def search_all(ladder: Ladder, rows: Sequence[Mapping[str, Any]], budgets: int, seed: int) -> dict[str, Any]:
    """Search *budgets* random budgets on one ladder, in both ways; return figures and searches."""
    pool: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if row["family"] == ladder.family:
            pool.setdefault(row["size"], {})[row["kind"]] = row
    efforts = {size: effort_of(FAMILIES[ladder.family], size, ladder.shape) for size in ladder.sizes}
    ways: dict[str, Callable[[Probe], Size]] = {
        "ours": lambda probe: first_chain(ladder.sizes, probe, efforts=efforts).chain.end,
        "ends, then a line": partial(ends_then_line, ladder.sizes),
    }
    generator = np.random.default_rng(seed)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for _ in range(budgets):
        budget, best = draw_budget(ladder.sizes, pool, generator)
        for name, way in ways.items():
            search = search_once(way, budget, best, pool, generator)
            found[name].append({"budget": budget, "best": name_of(best), **search})
    return {
        "rungs": len(ladder.sizes),
        **{name: {**figures(searches), "searches": searches} for name, searches in found.items()},
    }


def figures(found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return counts and medians over searches."""
    return {
        "budgets": len(found),
        "fit": sum(one["fits"] for one in found),
        "fit_in_truth": sum(one["fits_in_truth"] for one in found),
        "largest": sum(one["largest"] for one in found),
        "median_probes": statistics.median(one["probes"] for one in found),
        "most_probes": max(one["probes"] for one in found),
        "median_seconds": statistics.median(one["seconds"] for one in found),
    }


def goals_of(one: Mapping[str, float]) -> dict[str, bool]:
    """Return which goals our search meets on a ladder."""
    return {
        "the final student fits in 19 of 20": one["fit"] >= 0.95 * one["budgets"],
        "a median of at most 5 probes": one["median_probes"] <= 5,
        "the largest that fits in 16 of 20": one["largest"] >= 0.8 * one["budgets"],
    }


def table_of(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as lines for a terminal."""
    lines = [f"{'':30}{'fit':>8}{'in truth':>10}{'largest':>10}{'probes':>8}{'most':>6}{'seconds':>9}"]
    for family, result in results.items():
        for way in ("ours", "ends, then a line"):
            one = result[way]
            share = [f"{one[key]}/{one['budgets']}" for key in ("fit", "fit_in_truth", "largest")]
            counts = f"{one['median_probes']:8g}{one['most_probes']:6}{one['median_seconds']:9.1f}"
            lines.append(f"{family + ', ' + way:30}{share[0]:>8}{share[1]:>10}{share[2]:>10}{counts}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, search, write the result, and return the exit code: 1 where a goal is missed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probes", type=int, default=3, help="measurements of each rung that a search can draw")
    parser.add_argument("--budgets", type=int, default=20, help="random budgets on each ladder")
    parser.add_argument("--seed", type=int, default=0, help="of budgets and draws")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="measure no longer than this")
    parser.add_argument("--work", type=Path, default=Path(".cache/sizing"), help="where exported files are kept")
    parser.add_argument("--output", type=Path, default=RESULTS / "sizing.json")
    asked = parser.parse_args(given)
    if asked.probes < MOST_MEASUREMENTS or asked.budgets < 1:
        parser.error(f"--probes takes {MOST_MEASUREMENTS} or more, --budgets 1 or more")
    torch.set_num_threads(1)
    try:
        result = open_result(asked.output, Path(__file__), given, libraries=LIBRARIES)
        whole = measure_all(result, asked.probes, asked.work, asked.seconds)
    except EdgeError as error:
        print(f"sizing: {error}", file=sys.stderr)
        return error.exit_code
    if not whole:
        print(f"{len(result.rows)} measurements are kept; the same command goes on.")
        return 0
    results = {one.family: search_all(one, result.rows, asked.budgets, asked.seed) for one in LADDERS}
    goals = {family: goals_of(one["ours"]) for family, one in results.items()}
    result.finish({"seed": asked.seed, "ladders": results, "goals": goals})
    print(table_of(results))
    return 0 if all(met for one in goals.values() for met in one.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
