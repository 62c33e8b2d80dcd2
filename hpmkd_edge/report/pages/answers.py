"""What teacher and student answer, class by class, and where they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from hpmkd_edge.record import AnswersRecord, ClassRecord
from hpmkd_edge.report.answer_rows import by_class, disagreements, who_is_right, worst_first
from hpmkd_edge.report.figures import share
from hpmkd_edge.report.pages.frame import figure, folded, section, table
from hpmkd_edge.report.pages.plots import BLUE, GRAY, VERMILLION, in_rows

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FIRST: Final = 20


def answers(found: AnswersRecord, name: str, level: int) -> Markup:
    """Return the sections of classes and of disagreements."""
    classes = worst_first(found)
    parts = []
    if classes:
        first, rest = classes[:FIRST], classes[FIRST:]
        worst = first[0]
        text = f"Share of each class's test rows that teacher and student have right{', the worst first' * bool(rest)}."
        parts = [
            figure(dumbbells(first), f"{name}-plot", text),
            table(by_class("Accuracy by class", first)),
            folded(f"{len(rest)} more classes", table(by_class("Accuracy of the other classes", rest))) if rest else "",
        ]
        least = share(worst.student_right / worst.rows)
        title = f"{least} of class {worst.name} is right, the least of {len(classes)} classes"
    shown = section(title, *parts, name=name, level=level) if classes else Markup("")
    return shown + section(
        f"Teacher and student disagree on {found.disagreeing:,} of {found.rows:,} test rows",
        table(who_is_right(found), sortable=False),
        table(disagreements(found), titled=True) if found.disagreements else "",
        name=f"{name}-disagreements",
        level=level,
    )


def dumbbells(classes: Sequence[ClassRecord]) -> Figure:
    """Draw what teacher and student have right of each class, with a line between them."""
    from plotly.graph_objects import Figure, Scatter

    figure, rows = Figure(), list(range(len(classes)))
    pairs = [(100 * one.teacher_right / one.rows, 100 * one.student_right / one.rows) for one in classes]
    figure.add_trace(
        Scatter(
            x=[x for pair in pairs for x in (*pair, None)],
            y=[y for row in rows for y in (row, row, None)],
            mode="lines",
            line={"color": GRAY, "width": 2},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    for place, (who, color, symbol) in enumerate((("teacher", BLUE, "diamond"), ("student", VERMILLION, "star"))):
        figure.add_trace(
            Scatter(
                x=[pair[place] for pair in pairs],
                y=rows,
                mode="markers",
                name=who,
                marker={"color": color, "symbol": symbol, "size": 12},
                hovertext=[
                    f"{one.name}\n{who}: {pair[place]:.2f} % of {one.rows:,} rows"
                    for one, pair in zip(classes, pairs, strict=True)
                ],
                hoverinfo="text",
            )
        )
    in_rows(figure, [(one.name, "") for one in classes], "% right")
    figure.update_layout(showlegend=True)
    return figure
