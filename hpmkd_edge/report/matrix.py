"""Files measured side by side, and what became of one's speed, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from hpmkd_edge.bench.change import Change, change_between
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.report.figures import NONE, quantity
from hpmkd_edge.report.rows import Grid, worded
from hpmkd_edge.verdict import Verdict

SCHEMA: Final = "hpmkd-edge/bench/1"
CHANGE_SCHEMA: Final = "hpmkd-edge/change/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One file on one target.

    Attributes:
        against_first: its time over the first file's, timed in turn with it; None for the first, and where too few
            runs were timed.
        verdict: on the cost budgets.
    """

    target: str
    profile: Profile
    against_first: Change | None
    verdict: Verdict


def matrix_grid(target: str, cells: Sequence[Cell]) -> Grid:
    """Return the table of one target, a row for each file."""
    first = cells[0].profile
    header = ("file", "is", "p50 ms", "p90 ≤", "ratio", "MB", "memory", "budgets")
    return Grid(
        title=f"{target}: {first.runtime} {first.runtime_version} on {first.host.model}",
        header=header,
        numbers=header[2:-1],
        rows=tuple(_row(cell) for cell in cells),
    )


def _row(cell: Cell) -> tuple[str, ...]:
    profile = cell.profile
    return (
        profile.model,
        profile.precision,
        quantity(profile.p50_ms, ""),
        quantity(profile.percentile_bound_ms(90), ""),
        NONE if cell.against_first is None else _times(cell.against_first),
        quantity(profile.model_bytes / 1e6, ""),
        quantity(profile.peak_memory_mb, ""),
        worded(cell.verdict.outcome),
    )


def _times(change: Change) -> str:
    return f"{change.ratio:.3g} ±{(change.high - change.low) / 2:.1g}"


def flags_of(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return a sentence for each reason against a record, and for each other precision slower than the first."""
    said = [f"{cell.profile.model}: {flag}" for cell in cells for flag in cell.profile.flags]
    for cell in cells:
        change = cell.against_first
        cheaper = cell.profile.precision != cells[0].profile.precision
        if change is not None and cheaper and change.low > 1:
            said.append(f"{cell.profile.model}: {cell.profile.precision} is slower here, {percent(change)}.")
    return tuple(said)


def change_sentence(before: Profile, after: Profile, change: Change) -> str:
    """Return in a sentence what became of the time."""
    how = "timed in turn" if change.interleaved else "each relative to the reference model of its own record"
    if change.verdict == "inconclusive":
        said = f"inconclusive: {percent(change)}; a change of {change.tolerance:.0%} can neither be seen nor excluded"
    elif change.verdict == "no change":
        said = f"no change beyond {change.tolerance:.0%}: {percent(change)}"
    else:
        said = percent(change)
    return f"{after.model} against {before.model}, {how}: {said}."


def percent(change: Change) -> str:
    """Return "slower by 10.2 % (9.1–11.0)", or the same with "faster", of the time."""
    more = change.ratio >= 1
    middle, low, high = (100 * (one - 1) * (1 if more else -1) for one in (change.ratio, change.low, change.high))
    ends = (low, high) if more else (high, low)
    return f"{'slower' if more else 'faster'} by {middle:.1f} % ({ends[0]:.1f}–{ends[1]:.1f})".replace("-", "−")


def change_grid(before: Profile, after: Profile) -> Grid:
    """Return both sides, a row each."""
    header = ("", "file", "is", "p50 ms", "p90 ≤", "relative", "MB", "memory")
    rows = [
        (
            side,
            one.model,
            one.precision,
            quantity(one.p50_ms, ""),
            quantity(one.percentile_bound_ms(90), ""),
            quantity(one.relative, ""),
            quantity(one.model_bytes / 1e6, ""),
            quantity(one.peak_memory_mb, ""),
        )
        for side, one in (("before", before), ("after", after))
    ]
    return Grid(
        title=f"{before.runtime} {before.runtime_version} on {before.host.model}",
        header=header,
        numbers=header[3:],
        rows=tuple(rows),
    )


def matrix_as_json(cells: Sequence[Cell], exit_code: int) -> dict[str, Any]:
    """Return what a machine may want, raw samples included."""
    return {
        "schema": SCHEMA,
        "exit_code": exit_code,
        "cells": [
            {
                "target": cell.target,
                "outcome": cell.verdict.outcome,
                "flags": cell.profile.flags,
                "p50_ms": cell.profile.p50_ms,
                "p90_bound_ms": cell.profile.percentile_bound_ms(90),
                "against_first": change_as_json(cell.against_first),
                "verdict": asdict(cell.verdict),
                "profile": asdict(cell.profile),
            }
            for cell in cells
        ],
    }


def comparison_as_json(before: Profile, after: Profile, change: Change) -> dict[str, Any]:
    """Return the change with its verdict, and both profiles."""
    return {
        "schema": CHANGE_SCHEMA,
        "exit_code": change.exit_code,
        **(change_as_json(change) or {}),
        "before": asdict(before),
        "after": asdict(after),
    }


def change_as_json(change: Change | None) -> dict[str, Any] | None:
    """Return its fields and its verdict."""
    return None if change is None else {**asdict(change), "verdict": change.verdict}


def against_first(profiles: Sequence[Profile]) -> tuple[Change | None, ...]:
    """Compare each of *profiles*, timed in turn, with the first, which has None; so have those of too few runs.

    A teacher and a student may take different inputs.
    """
    enough = all(profile.percentile_bound_ms(90) is not None for profile in profiles)
    return tuple(
        change_between(profiles[0], one, same_inputs=False) if number and enough else None
        for number, one in enumerate(profiles)
    )
