"""The evidence of an ablation as a page: what each part is worth, and what that rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from markupsafe import Markup

from hpmkd_edge.evidence import ARMS, FULL, ArmSummary, Evidence, read_evidence
from hpmkd_edge.report.ablation_text import (
    accuracies,
    caveats,
    full_trainings,
    gains,
    lead,
    made,
    part,
    runs,
    teachers,
    title,
    to_markdown,
    verdict_of,
)
from hpmkd_edge.report.csv_text import records_to_csv
from hpmkd_edge.report.figures import SCORES, score, signed
from hpmkd_edge.report.pages.frame import figure, folded, joined, page, paragraph, section, table
from hpmkd_edge.report.pages.plots import BLUE, GRAY, Estimate, forest, in_rows

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["read", "to_csv", "to_html", "to_markdown"]

read = read_evidence


def to_html(evidence: Evidence) -> str:
    """Return *evidence* as one page that is read without a network."""
    worth = [estimate for one in evidence.summary if (estimate := _estimate(one, evidence)) is not None]
    scores, goal = accuracies(evidence), evidence.basis.data.goal
    parts = [
        joined([paragraph(note, "note") for note in evidence.notes]),
        section(
            gains(evidence).title,
            figure(
                forest(worth, "points"),
                "forest",
                "Points on test rows: the mean over the seeds with its 95 % interval, and each seed as a dot. Right of"
                " 0 the part is worth having.",
            ),
            table(gains(evidence)),
        ),
        section(
            scores.title,
            figure(
                strip(evidence),
                "strip",
                f"{SCORES[goal].capitalize()} of the exported file on test rows: each seed a dot, their mean a bar.",
            ),
            figure(times(evidence), "times", "Seconds of student trainings, mean over the seeds."),
            table(scores),
        ),
        section("How to read this", _list(caveats(evidence))),
        section(teachers(evidence).title, table(teachers(evidence))),
        folded(runs(evidence).title, table(runs(evidence))),
        section(made(evidence).title, table(made(evidence), sortable=False)),
    ]
    return page(title(evidence), joined(parts), lead=lead(evidence), data=asdict(evidence), name="evidence")


def to_csv(evidence: Evidence) -> str:
    """Return every arm with every seed as CSV, a line each."""
    return records_to_csv([asdict(run) for one in evidence.summary for run in evidence.runs_of(one.arm)])


def strip(evidence: Evidence) -> Figure:
    """Draw each arm's accuracy with every seed, in percent, or its R²."""
    from plotly.graph_objects import Figure, Scatter

    drawn, goal = Figure(), evidence.basis.data.goal
    factor = 100 if goal == "classes" else 1
    shown = _run_arms(evidence)
    for row, one in enumerate(shown):
        found = [factor * run.test_accuracy for run in evidence.runs_of(one.arm)]
        texts = [f"seed {seed}: {score(x / factor, goal)}" for seed, x in zip(evidence.seeds, found, strict=True)]
        for values, said, marker in (
            (found, texts, {"color": GRAY, "size": 8, "opacity": 0.75}),
            (
                [factor * one.accuracy],
                [f"mean {score(one.accuracy, goal)}"],
                {"symbol": "line-ns", "size": 18, "line": {"width": 3, "color": BLUE}},
            ),
        ):
            drawn.add_trace(
                Scatter(
                    x=values, y=[row] * len(values), mode="markers", marker=marker, hovertext=said, hoverinfo="text"
                )
            )
    names = [(ARMS[one.arm], score(one.accuracy, goal)) for one in shown]
    return in_rows(drawn, names, f"test {SCORES[goal]}{', %' if goal == 'classes' else ''}")


def times(evidence: Evidence) -> Figure:
    """Draw how long each arm trains students."""
    from plotly.graph_objects import Bar, Figure

    shown = _run_arms(evidence)
    told = [
        f"{one.seconds:,.1f} s, {one.trainings:.3g} trainings, {full_trainings(one, evidence)} full ones"
        for one in shown
    ]
    drawn = Figure(
        Bar(
            x=[one.seconds for one in shown],
            y=list(range(len(shown))),
            orientation="h",
            width=0.28,
            marker={"color": BLUE},
            hovertext=told,
            hoverinfo="text",
        )
    )
    return in_rows(drawn, [(ARMS[one.arm], f"{one.seconds:,.1f} s") for one in shown], "s")


def _estimate(one: ArmSummary, evidence: Evidence) -> Estimate | None:
    """Return what an arm's gain is drawn as; what does not apply is left to the table."""
    if one.arm == FULL or one.word is None or one.points is None or one.low is None or one.high is None:
        return None
    differences = evidence.differences(one.arm)
    return Estimate(
        name=part(one.arm),
        value=one.points,
        low=one.low,
        high=one.high,
        word=one.word,
        shown=f"{signed(one.points)} ({signed(one.low)} to {signed(one.high)}), {verdict_of(one)}",
        brief=f"{signed(one.points)}, {verdict_of(one)}",
        parts=tuple((x, f"seed {seed}: {signed(x)}") for seed, x in zip(evidence.seeds, differences, strict=True)),
    )


def _run_arms(evidence: Evidence) -> list[ArmSummary]:
    return [one for one in evidence.summary if one.moot is None]


def _list(sentences: Sequence[str]) -> Markup:
    return Markup("<ul>{}</ul>\n").format(joined([Markup("<li>{}</li>").format(one) for one in sentences]))
