"""How figures look: their frame, their colors and symbols, and estimates with intervals, one under the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Of Okabe and Ito's palette, those that stand out by 3 to 1 from white and from near-black alike; each goes with a
# symbol of its own. Source: M. Okabe, K. Ito, "Color Universal Design", 2008.
BLUE: Final = "#0072B2"
GREEN: Final = "#009E73"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#B8659A"  # darker than theirs, which white swallows
GRAY: Final = "#7A828E"

ROW_PX: Final = 46
LINE_PX: Final = 18
ROOM: Final = 46  # letters that a phone shows in a line
LEGEND: Final = 34  # and in a line of a legend
FOOT_PX: Final = 56


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A color and a symbol, which go together, so that neither alone tells."""

    color: str
    symbol: str


WORDS: Final = {
    "gain": Look(color=GREEN, symbol="triangle-up"),
    "faster": Look(color=GREEN, symbol="triangle-up"),
    "no gain": Look(color=GRAY, symbol="square"),
    "no difference": Look(color=GRAY, symbol="diamond-open"),
    "inconclusive": Look(color=PURPLE, symbol="circle-open"),
    "loss": Look(color=VERMILLION, symbol="triangle-down"),
    "slower": Look(color=VERMILLION, symbol="triangle-down"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its interval.

    Attributes:
        word: what it says; a key of WORDS.
        shown: the number, its interval and the word, as they are read.
        brief: the number and the word, with which the name fits the width of a phone; None where *shown* does.
        parts: what it is the mean of, each with a text; drawn as dots.
    """

    name: str
    value: float
    low: float
    high: float
    word: str
    shown: str
    brief: str | None = None
    parts: tuple[tuple[float, str], ...] = ()


def forest(estimates: Sequence[Estimate], unit: str, *, origin: float = 0.0) -> Figure:
    """Draw *estimates* one under the other, each under its name, beside a line at *origin*, where nothing differs."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for row, one in enumerate(estimates):
        look = WORDS[one.word]
        figure.add_trace(
            Scatter(
                x=[one.value],
                y=[row],
                mode="markers",
                marker={
                    "color": look.color,
                    "size": 13,
                    "symbol": look.symbol,
                    "line": {"width": 2, "color": look.color},
                },
                error_x={
                    "type": "data",
                    "array": [one.high - one.value],
                    "arrayminus": [one.value - one.low],
                    "color": look.color,
                    "thickness": 2.5,
                    "width": 5,
                },
                hovertext=[f"{one.name}\n{one.shown}"],
                hoverinfo="text",
            )
        )
        if one.parts:
            figure.add_trace(
                Scatter(
                    x=[number for number, _ in one.parts],
                    y=[row] * len(one.parts),
                    mode="markers",
                    marker={"color": GRAY, "size": 6, "opacity": 0.75},
                    hovertext=[text for _, text in one.parts],
                    hoverinfo="text",
                )
            )
    figure.add_vline(x=origin, line={"color": GRAY, "width": 1.5, "dash": "dot"})
    return in_rows(figure, [(one.name, one.brief or one.shown) for one in estimates], unit)


def shortened(name: str, most: int = ROOM) -> str:
    """Return *name* in at most so many letters; what is left out is in its middle, since names differ at both ends."""
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[len(name) - end :]}"


def in_rows(figure: Figure, rows: Sequence[tuple[str, str]], unit: str) -> Figure:
    """Lay out a figure whose rows are 0, 1, …, each under its name: on a phone there is no room beside them.

    Args:
        rows: each with its name, and with its value or "", which is never cut; both on one line where there is room.
    """
    texts = [f"{name}: {value}" if value else name for name, value in rows]
    long = any(value and len(text) > ROOM for text, (_, value) in zip(texts, rows, strict=True))
    for row, (text, (name, value)) in enumerate(zip(texts, rows, strict=True)):
        figure.add_annotation(
            x=0,
            xref="paper",
            xanchor="left",
            y=row,
            yanchor="bottom",
            yshift=8,
            text=text if len(text) <= ROOM else "\n".join(filter(None, (shortened(name), value))),
            showarrow=False,
            align="left",
            font={"size": 13},
            bgcolor="#fff",  # the page's own in its place; lines do not run through the name
        )
    laid_out(figure, height=FOOT_PX + (ROW_PX + LINE_PX * long) * max(len(rows), 1), x=unit)
    figure.update_yaxes(range=[max(len(rows), 1) - 0.6, -0.85], visible=False)
    return figure


def laid_out(figure: Figure, *, height: int, x: str = "", y: str = "", legend: bool = False) -> Figure:
    """Give *figure* the frame of all: no ground of its own, nothing that moves, room for what is written beside it."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 16, "t": 8, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        hoverlabel={"align": "left", "namelength": -1},
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
        dragmode=False,
        template="none",
    )
    axis: dict[str, Any] = {"automargin": True, "fixedrange": True, "zeroline": False, "showgrid": True}
    figure.update_xaxes(title={"text": x, "standoff": 8}, nticks=7, **axis)
    figure.update_yaxes(title={"text": y, "standoff": 8}, nticks=7, **axis)
    return figure
