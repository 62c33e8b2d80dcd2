"""A report for people at a terminal; plain text where stdout is no terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hpmkd_edge.distilled import Distilled
from hpmkd_edge.record import Report
from hpmkd_edge.report.figures import SCORES
from hpmkd_edge.report.length_rows import by_length
from hpmkd_edge.report.precisions import precisions
from hpmkd_edge.report.rows import (
    Grid,
    Raced,
    against_teacher,
    components,
    distilled_against_teacher,
    gains,
    headline,
    judgements,
    reasons,
    rivals,
    round_title,
    teachers,
)
from hpmkd_edge.verdict import Goal, Outcome, Verdict

if TYPE_CHECKING:
    from rich.console import Console

COLORS: Final = {
    Outcome.MET: "green",
    Outcome.WARNED: "yellow",
    Outcome.INCONCLUSIVE: "magenta",
    Outcome.BROKEN: "red",
}


def show(report: Report) -> None:
    """Print *report* to stdout: student against teacher, rounds, verdict, notes, board command."""
    console = open_console()
    say(console, f"{report.data.name} on {headline(report.verdict)}", f"bold {COLORS[report.verdict.outcome]}")
    show_grid(console, against_teacher(report))
    if len(report.teachers) > 1:
        listed = teachers(report)
        short = tuple(row[:4] for row in listed.rows)  # the rest would not fit into 80 columns
        show_grid(console, replace(listed, header=listed.header[:4], rows=short))
    for turn in report.rounds:
        _race(console, turn, round_title(turn), report.data.goal, turn.reason)
        if len(turn.precisions) > 1:
            show_grid(console, precisions(turn, report.data.goal))
    if report.lengths:
        show_grid(console, by_length(report.lengths))
    _verdict(console, report.verdict)
    _notes(console, report.notes)
    if report.board_command is not None:
        say(console, "\nTo settle what is unknown, on the board:", "bold")
        # A command is copied: it must come out on lines of its own, unbroken.
        print(report.board_command)


def show_distilled(distilled: Distilled) -> None:
    """Print to stdout what `distill` made: student against teacher, the race, notes."""
    console = open_console()
    goal = distilled.data.goal
    kept = f"{distilled.retention:.2%} of its teacher's {SCORES[goal]}"
    say(console, f"{distilled.data.name}: {distilled.size}, {kept}", "bold")
    show_grid(console, distilled_against_teacher(distilled))
    _race(console, distilled, f"Race of {distilled.size}", goal)
    _notes(console, distilled.notes)


def _race(console: Console, raced: Raced, title: str, goal: Goal, reason: str = "") -> None:
    show_grid(console, rivals(raced, title, goal), reason)
    if raced.gains:
        show_grid(console, gains(raced))
    if raced.components:
        show_grid(console, components(raced))


def _notes(console: Console, notes: Sequence[str]) -> None:
    if notes:
        say(console, "\nNotes", "bold")
    for note in notes:
        say(console, f"• {note}")


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print *verdicts* to stdout, budget by budget."""
    console = open_console()
    for verdict in verdicts:
        _verdict(console, verdict)


def open_console() -> Console:
    """Return stdout for text that is no markup."""
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        # In a Latin-1 terminal a ✓ becomes a "?"; the word stands beside it.
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False, markup=False, emoji=False)


def say(console: Console, text: str, style: str = "") -> None:
    """Print *text* in a *style* of rich."""
    console.print(text, style=style)


def _verdict(console: Console, verdict: Verdict) -> None:
    show_grid(console, judgements(verdict), styles=[COLORS[judged.outcome] for judged in verdict.judgements])
    for reason in reasons(verdict):
        say(console, f"  {reason}")


def show_grid(console: Console, grid: Grid, under_title: str = "", styles: Sequence[str] = ()) -> None:
    """Print *grid* under its title; *styles* are of the first cells."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in grid.header:
        table.add_column(Text(name), justify="right" if name in grid.numbers else "left")
    for number, row in enumerate(grid.rows):
        first = Text(row[0], style=styles[number] if styles else "")
        table.add_row(first, *map(Text, row[1:]))
    say(console, f"\n{grid.title}", "bold")
    if under_title:
        say(console, under_title)
    console.print(table)
