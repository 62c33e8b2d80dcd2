"""What the gate says, at a terminal and as a job's summary in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hpmkd_edge.baseline import UNITS, Comparison, Difference
from hpmkd_edge.report.figures import NONE, in_unit
from hpmkd_edge.report.gate import Gated, exit_code_of
from hpmkd_edge.report.markdown import escaped, table
from hpmkd_edge.report.points import Point
from hpmkd_edge.report.rows import Grid, headline, judgements, reasons, worded
from hpmkd_edge.report.terminal import open_console, say, show_verdicts
from hpmkd_edge.verdict import Outcome

# A run may have hundreds of candidates; all of them are in the JSON.
MOST_NAMED: Final = 10
_ENDS: Final = {0: Outcome.MET, 1: Outcome.BROKEN, 5: Outcome.INCONCLUSIVE}


def title(gated: Gated) -> str:
    """Name a report by its data, target, student and run."""
    report, student = gated.report, gated.report.student
    who = f"{student.size}, {student.won_by}, {student.precision}"
    return f"{report.data.name} on {report.target}: {who} (run {report.run_id})"


def beaten(gated: Gated) -> tuple[str, ...]:
    """Return a sentence for what ships if another model dominates it, and for each candidate that one does."""
    shipped = [pair for pair in gated.dominated if pair[0].role == "shipped"]
    others = [pair for pair in gated.dominated if pair[0].role != "shipped"]
    said = [f"warning: {_named(point)}, which ships, is dominated by {_named(by)}." for point, by in shipped]
    said += [f"{_named(point)} is dominated by {_named(by)}." for point, by in others[:MOST_NAMED]]
    if len(others) > MOST_NAMED:
        said.append(f"{len(others) - MOST_NAMED} candidates more are dominated; --format json names them.")
    return tuple(said)


def show_gated(judged: Sequence[Gated]) -> None:
    """Print to stdout each report's verdict, budget by budget, and what is dominated."""
    console = open_console()
    for gated in judged:
        if len(judged) > 1:
            say(console, f"\n{title(gated)}", "bold")
        show_verdicts([gated.verdict])
        for sentence in beaten(gated):
            say(console, f"  {sentence}")


def to_summary(judged: Sequence[Gated]) -> str:
    """Return the job's summary in Markdown: each verdict with its table, the baseline, what is dominated."""
    end = _ENDS[exit_code_of([gated.verdict for gated in judged])]
    parts = [f"## hpmkd-edge gate: {worded(end)}"]
    for gated in judged:
        parts += [f"### {escaped(title(gated))}", f"**{escaped(headline(gated.verdict))}**"]
        parts.append(table(judgements(gated.verdict)))
        if said := reasons(gated.verdict):
            parts.append(_listed(said))
        if gated.comparison is not None and gated.comparison.baseline is not None:
            parts += [
                f"Beside the baseline, run {escaped(gated.comparison.baseline)}:",
                table(differences(gated.comparison)),
            ]
        if said := beaten(gated):
            parts.append(_listed(said))
    return "\n\n".join(parts) + "\n\n"


def differences(comparison: Comparison) -> Grid:
    """List what a report lost against its baseline."""
    return Grid(
        title="Beside the baseline",
        header=("", "baseline", "here", "worse by", "95 % interval", "by"),
        numbers=("baseline", "here", "worse by", "95 % interval"),
        rows=tuple(_row(one) for one in comparison.differences),
    )


def _row(one: Difference) -> tuple[str, ...]:
    unit = UNITS[one.budget]
    interval = NONE
    if one.low is not None and one.high is not None and one.low != one.high:
        interval = f"{in_unit(one.low, '', 3)} to {in_unit(one.high, unit, 3)}"
    measured = {"accuracy": "", "latency": "ms", "size": "MB"}[what := one.budget.split()[0]]
    numbers = (in_unit(one.before, measured, 4), in_unit(one.after, measured, 4), in_unit(one.worse, unit, 3))
    return (what, *numbers, interval, one.how)


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)


def _named(point: Point) -> str:
    return point.name if point.round is None else f"{point.name} (round {point.round})"
