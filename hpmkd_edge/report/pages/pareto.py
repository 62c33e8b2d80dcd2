"""Every model of a run as a point: how accurate beside how fast, its size as its area; and as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hpmkd_edge.record import Report
from hpmkd_edge.report.figures import SCORES, megabytes, quantity, score
from hpmkd_edge.report.pages.plots import BLUE, GREEN, PURPLE, VERMILLION, Look, laid_out
from hpmkd_edge.report.points import Point, Role, dominated
from hpmkd_edge.verdict import Goal, Provenance, provenance_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# The last lies on top.
LOOKS: Final[dict[Role, Look]] = {
    "teacher": Look(color=BLUE, symbol="diamond"),
    "chain member": Look(color=GREEN, symbol="square"),
    "candidate": Look(color=PURPLE, symbol="circle"),
    "shipped": Look(color=VERMILLION, symbol="star"),
}
# Where the slowest takes this many times as long as the fastest, a linear axis would show the slowest only.
SPREAD: Final = 8.0
DIM: Final = 0.35
LARGEST_PX: Final = 44
LABEL: Final = 28  # letters, of which two lie side by side on a phone


def pareto(report: Report, points: Sequence[Point]) -> Figure:
    """Draw the whole ones of *points*: a trace for each role, whose `customdata` are the places in *points*."""
    from plotly.graph_objects import Figure, Scatter

    goal, beaten = report.data.goal, dict(dominated(points))
    times = 100 if goal == "classes" else 1
    whole = [one for one in points if one.is_whole]
    largest = max((one.file_bytes or 0 for one in whole), default=1)
    figure = Figure()
    for role, look in LOOKS.items():
        own = [(place, one) for place, one in enumerate(points) if one.role == role and one.is_whole]
        if not own:
            continue
        # In the legend none is pale.
        figure.add_trace(Scatter(x=[None], y=[None], mode="markers", name=role, marker=_legend_mark(look)))
        figure.add_trace(
            Scatter(
                x=[one.p90_ms for _, one in own],
                y=[times * one.accuracy for _, one in own],
                customdata=[place for place, _ in own],
                mode="markers",
                showlegend=False,
                marker={
                    "symbol": look.symbol,
                    "color": look.color,
                    "size": [one.file_bytes for _, one in own],
                    "sizemode": "area",
                    "sizeref": 2 * largest / LARGEST_PX**2,
                    "sizemin": 8 if role == "shipped" else 5,
                    "opacity": [DIM if one in beaten and role != "shipped" else 0.9 for _, one in own],
                    "line": {"width": 1, "color": look.color},
                },
                hovertext=[_told(one, goal) for _, one in own],
                hoverinfo="text",
            )
        )
    laid_out(
        figure,
        height=440,
        x="p90 latency, bound at 99 %, ms",
        y=f"{SCORES[goal]}{', %' if goal == 'classes' else ''}",
        legend=True,
    )
    if whole:
        _frame(figure, whole, limit_ms(report), _floor(report), times)
        _label(figure, whole, times, largest)
    return figure


def limit_ms(report: Report) -> float | None:
    """Return the p90 that the target allows, where the machine of the times is the target; else they do not compare."""
    if provenance_of(report.profile, report.judged_against) is not Provenance.MEASURED:
        return None
    budgets = report.judged_against.budgets.latency_ms
    return next((one.limit.fail for one in budgets if one.percentile == "p90"), None)


def title(points: Sequence[Point]) -> str:
    """Say whether another model of the run would have been the better choice."""
    beaten = dict(dominated(points))
    shipped = next(one for one in points if one.role == "shipped")
    if not shipped.is_whole:
        return "Every model of the run"
    if shipped not in beaten:
        timed = "" if all(one.is_whole for one in points) else "timed "
        return f"No other {timed}model beats the one that ships in accuracy, speed and size at once"
    return f"{beaten[shipped].name} is no worse in accuracy, speed and size than the one that ships"


def caption(report: Report, points: Sequence[Point]) -> str:
    """Say what the figure shows, and what it cannot."""
    untimed = sum(not one.is_whole for one in points)
    floor, limit = _floor(report), limit_ms(report)
    is_there = report.judged_against.device.recognizes(report.host.model, report.host.memory_mb)
    asked = [f"at most {quantity(float(limit), ' ms')}"] if limit is not None else []
    asked += [f"at least {score(floor, report.data.goal)}"] if floor is not None else []
    parts = [
        f"Up is more accurate, left is faster, a larger area is a larger file. {_capital(SCORES[report.data.goal])} is"
        f" that of validation rows; times are bounds of the p90 at 99 % confidence, on {report.host.model}"
        + ("." if is_there else f", not {report.target}.")
    ]
    if asked:
        parts.append(f"Shaded: the budget{'s' if len(asked) > 1 else ''}, {' and '.join(asked)}.")
    if limit is None and any(one.percentile == "p90" for one in report.judged_against.budgets.latency_ms):
        parts.append("The latency budget is not drawn: it is of another machine, or a warning alone.")
    if dominated(points):
        parts.append("Pale: another is no worse in all three and better in one.")
    if untimed:
        parts.append(f"{untimed} of {len(points)} were not timed and are in the table alone.")
    return " ".join(parts)


def _legend_mark(look: Look) -> dict[str, object]:
    return {"symbol": look.symbol, "color": look.color, "size": 11}


def _told(one: Point, goal: Goal) -> str:
    lines = [
        f"{one.role}: {one.name}",
        f"{score(one.accuracy, goal)} {SCORES[goal]}, p90 ≤ {quantity(one.p90_ms, ' ms')}, "
        f"{quantity(megabytes(one.file_bytes), ' MB')}",
    ]
    return "\n".join([*lines, f"time and size: {one.cost_of}"] if one.cost_of else lines)


def _floor(report: Report) -> float | None:
    """Return the least accuracy, or R², that validation rows were held to."""
    judged = report.rounds[-1].verdict.judgements if report.rounds else ()
    return next((one.limit for one in judged if one.budget in ("accuracy", "r2")), None)


def _frame(figure: Figure, whole: Sequence[Point], limit: float | None, floor: float | None, times: float) -> None:
    """Set the axes around the points and the budgets, and shade where all budgets are kept."""
    found = [one.p90_ms for one in whole if one.p90_ms is not None] + ([limit] if limit is not None else [])
    least, most = min(found), max(found)
    is_log = most > SPREAD * least
    if is_log:
        room = 0.12 * math.log10(most / least)
        left, right = least / 10**room, most * 10**room
        ticks = _round_numbers(left, right)
        figure.update_xaxes(
            type="log",
            range=[math.log10(left), math.log10(right)],
            tickvals=ticks,
            ticktext=[f"{one:g}" for one in ticks],
        )
    else:
        room = 0.15 * (most - least) or 0.15 * most
        left, right = max(0.0, least - room), most + room
        figure.update_xaxes(range=[left, right])
    heights = [times * one.accuracy for one in whole] + ([times * floor] if floor is not None else [])
    space = 0.18 * (max(heights) - min(heights)) or 0.01 * times
    bottom, top = min(heights) - space, max(heights) + space
    figure.update_yaxes(range=[bottom, top])
    if limit is None and floor is None:
        return
    figure.add_shape(
        type="rect",
        layer="below",
        x0=left,
        x1=right if limit is None else limit,
        y0=bottom if floor is None else times * floor,
        y1=top,
        fillcolor=GREEN,
        opacity=0.13,
        line_width=0,
    )
    edge = {"color": GREEN, "width": 1.5, "dash": "dash"}
    quiet = {"showarrow": False, "font": {"size": 12}}
    if limit is not None:
        figure.add_vline(x=limit, line=edge)
        x = math.log10(limit) if is_log else limit
        text = f"≤ {quantity(float(limit), ' ms')}"
        figure.add_annotation(x=x, y=1, yref="paper", text=text, xanchor="right", yanchor="top", xshift=-3, **quiet)
    if floor is not None:
        figure.add_hline(y=times * floor, line=edge)
        text = f"≥ {100 * floor:.2f} %" if times == 100 else f"≥ {floor:.4g}"
        figure.add_annotation(
            x=1, xref="paper", y=times * floor, text=text, xanchor="right", yanchor="top", bgcolor="#fff", **quiet
        )


def _label(figure: Figure, whole: Sequence[Point], times: float, largest: int) -> None:
    """Name what ships and its best teacher, on the side that has room."""
    axis = figure.layout.xaxis
    teachers = [one for one in whole if one.role == "teacher"]
    named = [one for one in whole if one.role == "shipped"]
    named += sorted(teachers, key=lambda one: -one.accuracy)[:1]
    for one in named:
        assert one.p90_ms is not None
        x = math.log10(one.p90_ms) if axis.type == "log" else one.p90_ms
        is_left = x < sum(axis.range) / 2
        above = one.role == "shipped"
        # Beside the diamond of a teacher, whose file is large, and above the star of what ships.
        aside = 0 if above else 4 + 0.7 * LARGEST_PX * math.sqrt((one.file_bytes or 0) / largest)
        figure.add_annotation(
            x=x,
            y=times * one.accuracy,
            text=_short(one.name),
            showarrow=False,
            xanchor="left" if is_left else "right",
            yanchor="bottom" if above else "middle",
            yshift=9 if above else 0,
            xshift=aside if is_left else -aside,
        )


def _round_numbers(least: float, most: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten between *least* and *most*; of many only the powers."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    steps = (1, 2, 5) if len(powers) <= 3 else (1, 3) if len(powers) <= 4 else (1,)
    return [value for power in powers for step in steps if least <= (value := float(f"{step}e{power}")) <= most]


def _short(name: str) -> str:
    first = name.split(",", 1)[0]
    return first if len(first) <= LABEL else first[: LABEL - 1] + "…"


def _capital(word: str) -> str:
    return word[0].upper() + word[1:]
