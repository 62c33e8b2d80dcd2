"""A plan for people at a terminal."""

from __future__ import annotations

from hpmkd_edge.planned import Plan, PlannedSize
from hpmkd_edge.report.figures import megabytes, quantity
from hpmkd_edge.report.rows import Grid
from hpmkd_edge.report.terminal import open_console, say, show_grid


def show_plan(plan: Plan) -> None:
    """Print *plan* to stdout: the ladder, what a run would train and why, notes."""
    console = open_console()
    say(console, f"{plan.data} on {plan.target}: a run would train {plan.chosen}", "bold")
    show_grid(console, ladder_of(plan), f"{plan.reason}; ≈ was not measured, but is expected.")
    for note in plan.notes:
        say(console, f"• {note}")


def ladder_of(plan: Plan) -> Grid:
    """Return a row for each size."""
    title = f"Sizes, untrained, in {plan.runtime} on this host"
    header = ("size", "parameters", "10⁶ MACs", "file MB", "p90 ms", "memory MB", "")
    return Grid(
        title=title, header=header, numbers=header[1:-1], rows=tuple(_row(one, plan.chosen) for one in plan.sizes)
    )


def _row(one: PlannedSize, chosen: str) -> tuple[str, ...]:
    about = "" if one.measured else "≈ "
    costs = (megabytes(one.file_bytes), one.p90_bound_ms, one.peak_memory_mb)
    cells = (quantity(number, "") if number is None else about + quantity(number, "") for number in costs)
    return (one.size, f"{one.parameters:,}", f"{one.macs / 1e6:.3g}", *cells, _standing(one, chosen))


def _standing(one: PlannedSize, chosen: str) -> str:
    if not one.allowed:
        return "too large"
    said = {True: "fits", False: "does not fit", None: ""}[one.fits]
    return ", ".join(filter(None, (said, "chosen" if one.size == chosen else "")))
