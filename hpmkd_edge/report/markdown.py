"""A report in Markdown, in full."""

from __future__ import annotations

from typing import Final

from hpmkd_edge.record import AnswersRecord, Report, RoundRecord
from hpmkd_edge.report.answer_rows import by_class, disagreements, who_is_right, worst_first
from hpmkd_edge.report.figures import SCORES, share
from hpmkd_edge.report.length_rows import by_length
from hpmkd_edge.report.model_rows import members, models
from hpmkd_edge.report.points import points_of
from hpmkd_edge.report.precisions import precisions
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
    round_title,
    teachers,
)
from hpmkd_edge.verdict import Goal

WORST: Final = 20


def to_markdown(report: Report) -> str:
    """Return *report* as one Markdown document that ends in a newline."""
    student = report.student
    parts = [
        f"# {escaped(report.data.name)} on {escaped(headline(report.verdict))}",
        f"{escaped(student.size)} ({escaped(student.family)}), trained by {escaped(student.won_by)}, "
        f"keeps {share(report.retention)} of its teacher's {SCORES[report.data.goal]} on test rows.",
        *(f"> {escaped(note)}" for note in report.notes),
        "## Verdict",
        table(judgements_in_full(report.verdict)),
    ]
    if report.board_command is not None:
        parts += ["To settle what is unknown, on the board:", f"```sh\n{report.board_command}\n```"]
    parts += section(against_teacher(report))
    parts.append("Latencies were taken interleaved, in one process; memory in a process of its own.")
    parts += section(by_length(report.lengths))
    parts += section(models(points_of(report), report.data.goal))
    parts.append("A p90 is known to be at most so much, with 99 % confidence.")
    parts += section(teachers(report)) + section(probes(report))
    for turn in report.rounds:
        title = round_title(turn)
        parts += [f"## {escaped(title)}", escaped(turn.reason), table(rivals(turn, title, report.data.goal))]
        if turn.members:
            parts += ["Between teacher and student, on validation rows:", table(members(turn, report.data.goal))]
        if turn.gains:
            parts.append(table(gains(turn)))
        if turn.components:
            parts.append(table(components(turn)))
        if len(turn.precisions) > 1:
            parts += ["Precisions, on validation rows; times in turn:", table(precisions(turn, report.data.goal))]
        parts += [
            f"{_parity(turn, report.data.goal)} Judged on validation rows, {escaped(headline(turn.verdict))}:",
            table(judgements_in_full(turn.verdict)),
        ]
    if report.answers is not None:
        parts += _answers(report.answers)
    settings = Grid(title="Settings", header=("setting", "value"), rows=report.settings)
    parts += section(settings) + section(environment(report))
    return "\n\n".join(parts) + "\n"


def _answers(found: AnswersRecord) -> list[str]:
    classes = worst_first(found)
    title = "Accuracy by class"
    if len(classes) > WORST:
        title += f", the worst {WORST} of {len(classes)}"
    return [
        *section(by_class(title, classes[:WORST])),
        f"## Teacher and student disagree on {found.disagreeing:,} of {found.rows:,} test rows",
        table(who_is_right(found)),
        *([table(disagreements(found))] if found.disagreements else []),
    ]


def _parity(turn: RoundRecord, goal: Goal) -> str:
    if goal == "value":
        return f"The exported file's values differ by at most {turn.parity_max_error:.2g} deviations of the label."
    return (
        f"The exported file keeps the class of {share(turn.parity_agreement)} of rows; its outputs differ by at most"
        f" {turn.parity_max_error:.2g}."
    )


def section(grid: Grid) -> list[str]:
    """Return a heading and a table, or nothing where *grid* has no rows."""
    return [f"## {escaped(grid.title)}", table(grid)] if grid.rows else []


def table(grid: Grid) -> str:
    """Return *grid* as a Markdown table, without its title."""
    rule = [" ---: " if name in grid.numbers else " --- " for name in grid.header]
    lines = [_line(grid.header), f"|{'|'.join(rule)}|", *map(_line, grid.rows)]
    return "\n".join(lines)


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"


def escaped(text: str) -> str:
    """Return *text* so that no name in it is read as markup."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
