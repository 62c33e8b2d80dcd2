"""What longer sentences take of a text student: a figure and its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from hpmkd_edge.bench.profile import LengthLatency
from hpmkd_edge.report.figures import quantity
from hpmkd_edge.report.length_rows import by_length
from hpmkd_edge.report.pages.frame import figure, section, table
from hpmkd_edge.report.pages.plots import BLUE, VERMILLION, laid_out

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def lengths(found: Sequence[LengthLatency], name: str, level: int) -> Markup:
    """Return the section of latencies by length; nothing of students that read no text."""
    if not found:
        return Markup("")
    longest = max(found, key=lambda one: one.pieces)
    return section(
        f"A sentence of {longest.pieces} pieces takes {quantity(longest.p50_ms, ' ms')}",
        figure(lines(found), f"{name}-plot", "Tokenizer and model together, one sentence a run, timed in turn."),
        table(by_length(found)),
        name=name,
        level=level,
    )


def lines(found: Sequence[LengthLatency]) -> Figure:
    """Draw p50 and p90 over the pieces of a sentence."""
    from plotly.graph_objects import Figure, Scatter

    drawn = Figure()
    pieces = [one.pieces for one in found]
    for label, times, color in (
        ("p50", [one.p50_ms for one in found], BLUE),
        ("p90", [one.p90_ms for one in found], VERMILLION),
    ):
        drawn.add_trace(
            Scatter(x=pieces, y=times, name=label, mode="lines+markers", line={"color": color}, marker={"size": 8})
        )
    laid_out(drawn, height=320, x="pieces", y="ms", legend=True)
    drawn.update_yaxes(rangemode="tozero")
    return drawn
