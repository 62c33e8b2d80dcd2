"""Files measured side by side, and what became of their speed, as tables of text and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from hpmkd_edge.bench.change import Change
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.bench_change import BenchChange
from hpmkd_edge.benched import BenchRecord, Cell, ChangeRecord, Ratio, against, ratio_of
from hpmkd_edge.report.figures import NONE, quantity
from hpmkd_edge.report.rows import Grid, worded


class Interval(Protocol):
    """A ratio of times, after over before, with its 95 % interval."""

    @property
    def ratio(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def matrix_grid(record: BenchRecord, target: str) -> Grid:
    """Return the table of one target, a row for each file."""
    cells = record.of_target(target)
    first = next((cell.profile for cell in cells if cell.profile is not None), None)
    where = "not measured" if first is None else f"{first.runtime} {first.runtime_version} on {first.host.model}"
    header = ("file", "is", "p50 ms", "p90 ≤", "ratio", "MB", "memory", "budgets")
    return Grid(title=f"{target}: {where}", header=header, numbers=header[2:-1], rows=tuple(map(_row, cells)))


def _row(cell: Cell) -> tuple[str, ...]:
    profile = cell.profile
    if profile is None or cell.outcome is None:
        return (cell.model, cell.precision, *[NONE] * 5, cell.state)
    return (
        cell.model,
        cell.precision,
        quantity(cell.p50_ms, ""),
        quantity(cell.p90_bound_ms, ""),
        NONE if cell.against_first is None else times(cell.against_first),
        quantity(profile.model_bytes / 1e6, ""),
        quantity(profile.peak_memory_mb, ""),
        worded(cell.outcome),
    )


def times(change: Ratio) -> str:
    """Return a ratio with half of its interval."""
    return f"{change.ratio:.3g} ±{(change.high - change.low) / 2:.1g}"


def flags_of(record: BenchRecord, target: str) -> tuple[str, ...]:
    """Return why files of *target* were not measured, what speaks against records, and which precisions are slower.

    A sentence each; one that holds for several files is said once.
    """
    cells = record.of_target(target)
    said = list(dict.fromkeys(cell.reason for cell in cells if cell.reason is not None))
    several = len(record.precisions) > 1
    flagged: dict[str, list[str]] = {}
    for cell in cells:
        for flag in cell.flags:
            flagged.setdefault(flag, []).append(f"{cell.model} in {cell.precision}" if several else cell.model)
    measured = [cell for cell in cells if cell.profile is not None]
    for flag, names in flagged.items():
        said.append(f"{'all' if len(names) == len(measured) > 1 else ', '.join(names)}: {flag}")
    for cell in measured:
        change = _over_own(measured, cell)
        if change is not None and change.low > 1:
            said.append(f"{cell.model}: {cell.precision} is slower here than fp32, {_by(change)}.")
    batches = {cell.model: cell.profile.batch for cell in measured if cell.profile is not None}
    first = next(iter(batches.values()), 1)
    said += [
        f"{model} takes a batch of {batch} and the first file one of {first}: they have no ratio."
        for model, batch in batches.items()
        if batch != first
    ]
    return tuple(said)


def _over_own(measured: Sequence[Cell], cell: Cell) -> Ratio | None:
    """Return the time of a precision over that of the same model in fp32; None where there is none, or it is that."""
    full = next((one.profile for one in measured if (one.model, one.precision) == (cell.model, "fp32")), None)
    if full is None or cell.profile is None or cell.precision == "fp32":
        return None
    return against(full, cell.profile)


def change_sentence(record: ChangeRecord) -> str:
    """Return in a sentence what became of the time."""
    how = "timed in turn" if record.interleaved else "each relative to the reference model of its own record"
    return f"{record.after.model} against {record.before.model}, {how}: {_became(record)}."


def _became(change: ChangeRecord) -> str:
    """Return a phrase: "slower by 10.2 % (9.1–11.0)", "no change beyond 5%: …", or why it cannot be told."""
    if change.verdict == "inconclusive":
        return f"inconclusive: {percent(change)}; a change of {change.tolerance:.0%} can neither be seen nor excluded"
    if change.verdict == "no change":
        return f"no change beyond {change.tolerance:.0%}: {percent(change)}"
    return percent(change)


def change_as_json(change: Change | None) -> dict[str, Any] | None:
    """Return its fields and its verdict."""
    return None if change is None else asdict(ratio_of(change))


def percent(change: Interval) -> str:
    """Return "slower by 10.2 % (9.1–11.0)", or the same with "faster", of the time."""
    return f"{'slower' if change.ratio >= 1 else 'faster'} {_by(change)}"


def _by(change: Interval) -> str:
    """Return "by 10.2 % (9.1–11.0)"."""
    more = change.ratio >= 1
    middle, low, high = (100 * (one - 1) * (1 if more else -1) for one in (change.ratio, change.low, change.high))
    ends = (low, high) if more else (high, low)
    return f"by {middle:.1f} % ({ends[0]:.1f}–{ends[1]:.1f})".replace("-", "−")


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


def bench_change_grid(change: BenchChange) -> Grid:
    """Return what became of each cell, a row each."""
    header = ("file", "on", "is", "before ms", "after ms", "change, %", "verdict")
    return Grid(
        title=f"After against before, a change up to {change.tolerance:.0%} being none",
        header=header,
        numbers=header[3:6],
        rows=tuple(
            (
                one.model,
                one.target,
                one.precision,
                quantity(one.p50_before_ms, ""),
                quantity(one.p50_after_ms, ""),
                NONE if one.change is None else points(one.change),
                one.verdict,
            )
            for one in change.cells
        ),
    )


def bench_change_sentences(change: BenchChange) -> tuple[str, ...]:
    """Return a sentence for each cell that cannot be compared, and for those that are not in both records."""
    said = [f"{one.model} on {one.target} in {one.precision}: {one.reason}" for one in change.cells if one.reason]
    if not change.cells:
        said.append("No model, target and precision was measured in both records.")
    for names, where in (
        (change.only_before, "Before only"),
        (change.only_after, "After only"),
        (change.unmeasured, "Measured in neither"),
    ):
        if names:
            said.append(f"{where}: {', '.join(names)}.")
    return tuple(said)


def points(change: Interval) -> str:
    """Return by how many percent it takes longer, with the interval, as "+10.2 (+9.1 to +11.0)"."""
    middle, low, high = (f"{100 * (one - 1):+.1f}" for one in (change.ratio, change.low, change.high))
    return f"{middle} ({low} to {high})".replace("-", "−")
