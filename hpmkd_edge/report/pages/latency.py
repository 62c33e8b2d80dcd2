"""How long single runs take: their distribution, with the percentiles, the bound that is judged, and the budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.report.figures import quantity
from hpmkd_edge.report.pages.plots import BLUE, PURPLE, VERMILLION, laid_out
from hpmkd_edge.report.rows import Grid

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

STEPS: Final = 1000
SHOWN: Final = (50.0, 90.0, 99.0)
# A budget farther off than this many times what is drawn would squeeze the runs into a line.
IN_REACH: Final = 2.0
FAR: Final = 2.0


def steps(samples_ns: Sequence[int]) -> tuple[list[float], list[float]]:
    """Return the distribution as ms and the share of the runs that take at most that: at most STEPS points.

    Of more runs every so many are left out, but never those between which a percentile of SHOWN lies: all are read off
    the curve as they are of all runs.
    """
    import numpy as np

    ordered, count = np.sort(samples_ns), len(samples_ns)
    kept = set(np.linspace(0, count - 1, min(count, STEPS - 2 * len(SHOWN))).astype(int).tolist())
    for p in SHOWN:
        rank = (count - 1) * p / 100
        kept |= {int(rank), min(int(rank) + 1, count - 1)}
    ranks = sorted(kept)
    return [float(ordered[rank]) / 1e6 for rank in ranks], [(rank + 1) / count for rank in ranks]


def distribution(profile: Profile, limit_ms: float | None = None) -> Figure:
    """Draw the runs of *profile*, which has some; *limit_ms* is the budget of the p90 on the machine that ran them."""
    from plotly.graph_objects import Figure, Scatter

    times, shares = steps(profile.samples_ns)
    figure = Figure(
        Scatter(
            x=times,
            y=[100 * share for share in shares],
            mode="lines",
            showlegend=False,
            line={"shape": "hv", "color": BLUE, "width": 2.5},
            hovertext=[
                f"{100 * share:.1f} % take at most {ms:.4g} ms" for ms, share in zip(times, shares, strict=True)
            ],
            hoverinfo="text",
        )
    )
    bound = profile.percentile_bound_ms(90)
    marks = [(p, ms, f"p{p:.0f}  {quantity(ms, ' ms')}") for p in SHOWN if (ms := profile.percentile_ms(p)) is not None]
    ends = _ends(profile, limit_ms)
    for (p, ms, text), symbol in zip(marks, ("circle", "square", "diamond"), strict=False):
        if ms <= ends[1]:
            figure.add_trace(_mark(text, ms, p, symbol, BLUE))
    if bound is not None:
        figure.add_trace(_mark(f"bound of the p90  {quantity(bound, ' ms')}", bound, 90, "line-ns", PURPLE))
    if limit_ms is not None and limit_ms <= ends[1]:
        figure.add_trace(
            Scatter(
                x=[limit_ms, limit_ms],
                y=[0, 106],
                mode="lines",
                name=f"budget  {quantity(float(limit_ms), ' ms')}",
                line={"color": VERMILLION, "width": 2, "dash": "dash"},
                hoverinfo="name",
            )
        )
    laid_out(figure, height=360, x="ms", y="% of runs", legend=True)
    figure.update_xaxes(range=ends)
    figure.update_yaxes(range=[0, 106], tickvals=[0, 25, 50, 75, 100])
    return figure


def caption(profile: Profile, limit_ms: float | None = None, *, elsewhere: str = "") -> str:
    """Say what the figure of *profile*, which has runs, shows, and what lies outside of it.

    Args:
        elsewhere: where the runs were, as "on X, not Y", if no budget is judged by them.
    """
    text = f"Share of {len(profile.samples_ns):,} runs that take at most so long{', ' * bool(elsewhere)}{elsewhere}."
    text += f" The slowest took {quantity(max(profile.samples_ns) / 1e6, ' ms')}."
    most, p99 = _ends(profile, limit_ms)[1], profile.p99_ms
    if p99 is not None and p99 > most:
        text += f" The p99, {quantity(p99, ' ms')}, is far off and not drawn."
    if profile.percentile_bound_ms(90) is not None and not elsewhere:
        text += " A budget is judged by the bound: the p90 lies below it with 99 % confidence."
    if limit_ms is not None:
        how = "dashed" if limit_ms <= most else "far off and not drawn"
        text += f" The budget, {quantity(float(limit_ms), ' ms')}, is {how}."
    return text


def statistics(profile: Profile) -> Grid:
    """List what the runs come to; – is what so few do not tell."""
    ms = " ms"
    return Grid(
        title="Latency",
        header=("", "value"),
        numbers=("value",),
        rows=(
            ("fastest", quantity(profile.min_ms, ms)),
            ("p50", quantity(profile.p50_ms, ms)),
            ("p90", quantity(profile.p90_ms, ms)),
            ("p90, bound at 99 %", quantity(profile.percentile_bound_ms(90), ms)),
            ("p99", quantity(profile.p99_ms, ms)),
            ("p99, bound at 99 %", quantity(profile.percentile_bound_ms(99), ms)),
            ("mean", quantity(profile.mean_ms, ms)),
            ("spread (deviation over mean)", "–" if profile.cv is None else f"{100 * profile.cv:.1f} %"),
            ("p50 over the reference model's", quantity(profile.relative, "×")),
            ("load", quantity(profile.load_ms, ms)),
            ("first run", quantity(profile.first_run_ms, ms)),
        ),
    )


def _ends(profile: Profile, limit_ms: float | None) -> tuple[float, float]:
    """Return the times between which runs are drawn, and the budget where it is in reach."""
    least, most = min(profile.samples_ns) / 1e6, _end(profile)
    room = 0.1 * (most - least or most)
    most += room
    if limit_ms is not None and limit_ms <= IN_REACH * most:
        most = max(most, 1.05 * limit_ms)
    return least - room, most


def _end(profile: Profile) -> float:
    """Return the time up to which the runs are drawn: the p99, or where few are far slower, not much above the p90."""
    p90, p99 = profile.percentile_ms(90), profile.percentile_ms(99)
    bound = profile.percentile_bound_ms(90)
    if p90 is None or bound is None:
        return max(profile.samples_ns) / 1e6
    return max(bound, p99 if p99 is not None and p99 < FAR * p90 else 1.1 * p90)


def _mark(text: str, ms: float, p: float, symbol: str, color: str) -> dict[str, object]:
    line = {"width": 3, "color": color}
    return {
        "type": "scatter",
        "x": [ms],
        "y": [p],
        "mode": "markers",
        "name": text,
        "marker": {"symbol": symbol, "size": 15 if symbol == "line-ns" else 9, "color": color, "line": line},
        "hoverinfo": "name",
    }
