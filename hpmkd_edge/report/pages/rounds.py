"""How the student came about: the rounds with their reasons, what was tried in each, and what it gained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from hpmkd_edge.record import GainRecord, Report, RoundRecord
from hpmkd_edge.report.figures import SCORES, signed
from hpmkd_edge.report.model_rows import members
from hpmkd_edge.report.pages.frame import figure, folded, joined, paragraph, section, table, worded
from hpmkd_edge.report.pages.plots import GRAY, VERMILLION, Estimate, forest, laid_out
from hpmkd_edge.report.precisions import precisions
from hpmkd_edge.report.rows import Grid, components, gains, probes, reasons, rivals, round_title
from hpmkd_edge.verdict import Goal, Outcome

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def rounds(report: Report, name: str, level: int) -> Markup:
    """Return the section of the rounds: an overview, then each, folded where there are several."""
    parts = []
    if len(report.rounds) > 1:
        parts.append(table(_overview(report), sortable=False))
    for turn in report.rounds:
        inside = _round(turn, report.data.goal, name)
        only = len(report.rounds) == 1
        parts.append(inside if only else folded(f"Round {turn.number}: {worded_plainly(turn)}", inside))
    if report.probes:
        parts.append(folded(f"Sizes measured untrained: {len(report.probes)}", table(probes(report))))
    return section(_title(report), *parts, name=name, level=level)


def worded_plainly(turn: RoundRecord) -> str:
    """Return a round's chain and outcome in a few words."""
    return f"{' → '.join(turn.chain)}, {turn.verdict.outcome.value}"


def evidence(report: Report, name: str, level: int) -> Markup:
    """Return the section of what each component gained, or nothing where none was tried."""
    shown = [(turn, one) for turn in report.rounds for one in turn.components]
    if not shown:
        return Markup("")
    several = len(report.rounds) > 1
    estimates = [
        _estimate(f"{one.component}{f', round {turn.number}' if several else ''}", one.gain)
        for turn, one in shown
        if one.gain is not None
    ]
    drawn = []
    if estimates:
        text = (
            "Points of validation rows gained over what was best before, with the 95 % interval. Right of 0 a component"
            " is worth having."
        )
        drawn.append(figure(forest(estimates, "points"), f"{name}-plot", text))
    listed = [
        table(components(turn), titled=several) if not several else folded(round_title(turn), table(components(turn)))
        for turn in report.rounds
        if turn.components
    ]
    won = list(dict.fromkeys(one.component for _, one in shown if one.gain and one.gain.verdict == "gain"))
    title = f"{_listed(won)} gained beyond chance" if won else "No component gained beyond chance"
    return section(title, *drawn, *listed, name=name, level=level)


def curves(turn: RoundRecord, goal: Goal, *, losses: bool) -> Figure | None:
    """Draw each rival's score on validation rows, or its mean loss, by epoch; None where none was recorded."""
    from plotly.graph_objects import Figure, Scatter

    times = 100 if goal == "classes" and not losses else 1
    shown = [(one, one.losses if losses else one.accuracies) for one in turn.rivals]
    shown = sorted(((one, found) for one, found in shown if found), key=lambda pair: pair[0].won)
    if not shown:
        return None
    figure = Figure()
    for place, (one, found) in enumerate(shown):
        figure.add_trace(
            Scatter(
                x=list(range(1, len(found) + 1)),
                y=[times * value for value in found],
                mode="lines+markers" if len(found) < 30 else "lines",
                name="won" if one.won else "the others",
                legendgroup="won" if one.won else "lost",
                showlegend=one.won or place == 0,
                line={
                    "color": VERMILLION if one.won else GRAY,
                    "width": 3 if one.won else 1.5,
                    "dash": "solid" if one.won else ("dot", "dash", "dashdot")[place % 3],
                },
                marker={"symbol": "star" if one.won else "circle", "size": 9 if one.won else 5},
                hovertext=[f"{one.name}\nepoch {epoch + 1}: {value:.4g}" for epoch, value in enumerate(found)],
                hoverinfo="text",
            )
        )
    unit = "mean loss" if losses else f"{SCORES[goal]}{', %' if goal == 'classes' else ''}"
    laid_out(figure, height=280, x="epoch", y=unit, legend=len(shown) > 1)
    figure.update_xaxes(dtick=max(1, -(-max(len(found) for _, found in shown) // 8)))
    return figure


def _round(turn: RoundRecord, goal: Goal, name: str) -> Markup:
    parts = [paragraph(f"{turn.reason[0].upper()}{turn.reason[1:].rstrip('.')}." if turn.reason else "")]
    parts += [paragraph(Markup("{} {}").format(worded(turn.verdict.outcome), line)) for line in reasons(turn.verdict)]
    parts.append(table(rivals(turn, "Ways to train it", goal), titled=True))
    for losses, what in ((False, SCORES[goal]), (True, "loss")):
        drawn = curves(turn, goal, losses=losses)
        if drawn is not None:
            text = f"The {what} of each way to train, epoch by epoch{'' if losses else ', on validation rows'}."
            parts.append(figure(drawn, f"{name}-{turn.number}-{'loss' if losses else 'score'}", text))
    if len(turn.precisions) > 1:
        parts.append(table(precisions(turn, goal), titled=True))
    parts += [table(grid, titled=True) for grid in (members(turn, goal), gains(turn)) if grid.rows]
    return joined(parts)


def _overview(report: Report) -> Grid:
    return Grid(
        title="Rounds",
        header=("round", "chain", "outcome", "why this one"),
        rows=tuple(
            (f"{turn.number}", " → ".join(turn.chain), worded(turn.verdict.outcome), turn.reason)
            for turn in report.rounds
        ),
    )


def _title(report: Report) -> str:
    """Say how the rounds came out, which are judged on validation rows; the verdict is that of test rows."""
    outcomes = [turn.verdict.outcome for turn in report.rounds]
    count, broken = len(outcomes), outcomes.count(Outcome.BROKEN)
    if broken == count:
        said = "No student kept its budgets" if count > 1 else "The student broke a budget"
    elif broken:
        said = f"{broken} of {count} rounds broke a budget"
    elif Outcome.INCONCLUSIVE in outcomes:
        said = "It is open whether the first student keeps its budgets"
        said = said if count == 1 else f"{count} rounds, none surely over budget"
    else:
        said = "The first student kept its budgets" if count == 1 else f"{count} rounds, none over budget"
    return f"{said} on validation rows"


def _estimate(name: str, gain: GainRecord) -> Estimate:
    return Estimate(
        name=name,
        value=gain.points,
        low=gain.low,
        high=gain.high,
        word=gain.verdict,
        shown=f"{signed(gain.points)} ({signed(gain.low)} to {signed(gain.high)}), {gain.verdict}",
        brief=f"{signed(gain.points)}, {gain.verdict}",
    )


def _listed(names: Sequence[str]) -> str:
    text = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return text[0].upper() + text[1:]
