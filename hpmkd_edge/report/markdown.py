"""A report in Markdown, in full."""

from __future__ import annotations

from hpmkd_edge.record import Report
from hpmkd_edge.report.figures import share
from hpmkd_edge.report.rows import (
    Grid,
    against_teacher,
    components,
    environment,
    gains,
    headline,
    judgements_in_full,
    probes,
    rivals,
    teachers,
)


def to_markdown(report: Report) -> str:
    """Return *report* as one Markdown document that ends in a newline."""
    student = report.student
    parts = [
        f"# {_text(report.data.name)} on {_text(headline(report.verdict))}",
        f"{_text(student.size)} ({_text(student.family)}), trained by {_text(student.won_by)}, "
        f"keeps {share(report.retention)} of its teacher's accuracy on test rows.",
        *(f"> {_text(note)}" for note in report.notes),
        "## Verdict",
        _table(judgements_in_full(report.verdict)),
    ]
    if report.board_command is not None:
        parts += ["To settle what is unknown, on the board:", f"```sh\n{report.board_command}\n```"]
    parts += _section(against_teacher(report))
    parts.append("Latencies were taken interleaved, in one process; memory in a process of its own.")
    parts += _section(teachers(report)) + _section(probes(report))
    for turn in report.rounds:
        parts += [f"## {_text(rivals(turn).title)}", _text(turn.reason), _table(rivals(turn))]
        if turn.gains:
            parts.append(_table(gains(turn)))
        if turn.components:
            parts.append(_table(components(turn)))
        parts += [
            f"The exported file keeps the class of {share(turn.parity_agreement)} of rows; its outputs "
            f"differ by at most {turn.parity_max_error:.2g}. "
            f"Judged on validation rows, {_text(headline(turn.verdict))}:",
            _table(judgements_in_full(turn.verdict)),
        ]
    settings = Grid(title="Settings", header=("setting", "value"), rows=report.settings)
    parts += _section(settings) + _section(environment(report))
    return "\n\n".join(parts) + "\n"


def _section(grid: Grid) -> list[str]:
    return [f"## {_text(grid.title)}", _table(grid)] if grid.rows else []


def _table(grid: Grid) -> str:
    rule = [" ---: " if name in grid.numbers else " --- " for name in grid.header]
    lines = [_line(grid.header), f"|{'|'.join(rule)}|", *map(_line, grid.rows)]
    return "\n".join(lines)


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(_text, cells))} |"


def _text(text: str) -> str:
    """Keep a name from being read as markup."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
