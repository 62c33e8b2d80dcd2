"""What search.py compares: the settings that each way chose on each set, what they are worth and what they cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hpmkd_edge.bench.scripts.retention import interval

WAYS: Final = ("own", "search", "empty", "others")  # as search.py says them
MARGIN_POINTS: Final = 0.5
MOST_COST: Final = 1 / 5
LEAST_SETS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one way chose for a set with one seed.

    Attributes:
        validation_accuracy: of the torch module; *test_accuracy* of the exported file.
        trainings: paid for, in full trainings; *seconds* of training.
        remembered: recipes tried in runs on other sets of this kind, as the memory held them.
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

    A difference counts as within the margin where the lower end of its interval over sets is: what a few sets leave
    open does not hold.
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
        f"with a memory of other sets no worse than without, within {MARGIN_POINTS} points": _within(
            points["others over empty"]
        ),
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
