"""The history's page: how the latency of each model went, by target, precision and machine, and with which versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

from markupsafe import Markup

from hpmkd_edge.errors import BadReport
from hpmkd_edge.history import Entry, HistoryRecord, open_history
from hpmkd_edge.report.csv_text import records_to_csv
from hpmkd_edge.report.figures import NONE, quantity
from hpmkd_edge.report.markdown import section as chapter
from hpmkd_edge.report.pages.frame import badge, figure, folded, joined, page, paragraph, section, table
from hpmkd_edge.report.pages.plots import BLUE, GRAY, GREEN, LEGEND, PURPLE, VERMILLION, laid_out, shortened
from hpmkd_edge.report.pages.profile import moment
from hpmkd_edge.report.rows import Grid
from hpmkd_edge.verdict import Provenance

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLORS: Final = (BLUE, VERMILLION, GREEN, PURPLE, GRAY)
SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "x")
Measure = Literal["p90_bound_ms", "relative"]
AXES: Final[dict[Measure, str]] = {"p90_bound_ms": "p90 ≤ ms", "relative": "times the reference"}
CAPTIONS: Final[dict[Measure, str]] = {
    "p90_bound_ms": "Up to where the p90 may lie, with 99 % confidence. On a shared machine it moves by 10 to 20 % when"
    " nothing has changed.",
    "relative": "The median over that of the fixed reference model, timed in turn: what can be compared between days on"
    " a shared machine.",
}
_MARKS: Final = " A hollow mark is a record that is not valid for a gate; a dotted line is a change of version."
# Of a model on a target; what is open at once.
OPEN: Final = 6
_SINGLE: Final = "Measured once in each precision and on each machine:"
# Around what is drawn; measurements of one minute would be all over the axis.
LEAST_ROOM: Final = timedelta(minutes=1)


def read(*, model: str | None = None, target: str | None = None) -> tuple[Entry, ...]:
    """Return the user's history of a model, of a target, or all of it.

    Raises:
        BadReport: nothing of the kind is kept.
        EdgeError: the memory cannot be opened.
    """
    history = open_history()
    found = history.entries(model=model, target=target)
    if found:
        return found
    wanted = [f"{what} {name!r}" for what, name in (("of", model), ("on", target)) if name is not None]
    known = sorted({entry.model for entry in (history.entries() if wanted else ())})
    kept = f"it has {', '.join(known)}" if known else "profile, bench and compress keep what they measure"
    raise BadReport(f"the history has no measurement {' '.join(wanted)}".rstrip() + f"; {kept}.")


def to_html(entries: Sequence[Entry]) -> str:
    """Return *entries*, oldest first, as a page."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.subject, []).append(entry)
    trends = {key: own for key, own in groups.items() if any(len(one) > 1 for one in series_of(own).values())}
    parts: list[Markup] = []
    for place, own in enumerate(trends.values(), 1):
        name = Markup("{} {}").format(heading(own[0]), badge(own[0].provenance))
        under = [
            figure(trend(own, measure), f"{measure.split('_')[0]}-{place}", CAPTIONS[measure] + _MARKS)
            for measure in AXES
            if any(getattr(entry, measure) is not None for entry in own)
        ]
        if (changes := versions(own)).rows:
            under.append(table(_unbroken(changes), sortable=False, titled=True))
        parts.append(section(name, *under) if place <= OPEN else folded(name, *under))
    if len(trends) < len(groups):
        single = "; ".join(heading(own[0]) for key, own in groups.items() if key not in trends)
        parts.append(section("No trend yet", paragraph(f"{_SINGLE} {single}.")))
    parts.append(section("Every measurement", table(_unbroken(listed(entries)), name="measurements")))
    return page(
        "History of measurements",
        joined(parts),
        lead=f"Measurements: {len(entries):,}; models: {len({entry.model for entry in entries}):,}; from"
        f" {entries[0].taken_at[:10]} to {entries[-1].taken_at[:10]}.",
        data=asdict(HistoryRecord(measurements=tuple(entries))),
        name="history",
    )


def to_markdown(entries: Sequence[Entry]) -> str:
    """Return *entries* in Markdown: each measurement, and each change of version."""
    parts = ["# History of measurements", *chapter(listed(entries)), *chapter(versions(entries))]
    return "\n\n".join(parts) + "\n"


def to_csv(entries: Sequence[Entry]) -> str:
    """Return a row for each measurement."""
    return records_to_csv(
        [{**asdict(one), "provenance": one.provenance.value, "flags": " ".join(one.flags)} for one in entries]
    )


def heading(entry: Entry) -> str:
    """Say of what, for what and where measurements are, and whether that is the target."""
    said = f"{entry.model} for {entry.target}, measured on {entry.host}"
    if entry.provenance is Provenance.MEASURED:
        return said
    return f"{said}, not {entry.target}{' as it is set' * (entry.provenance is Provenance.TRANSFERRED)}"


def series_of(entries: Sequence[Entry]) -> dict[tuple[str | int, ...], list[Entry]]:
    """Part *entries* into lines: by model, target, machine, precision, what was fed, and runtime."""
    found: dict[tuple[str | int, ...], list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.series, []).append(entry)
    return dict(sorted(found.items()))


def trend(entries: Sequence[Entry], measure: Measure) -> Figure:
    """Draw the *measure* of one subject over time, a line for each series; a mark is empty where a record is flagged.

    A dotted line stands where a version changed.
    """
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for place, (name, own) in enumerate(_named(series_of(entries))):
        whole = [entry for entry in own if getattr(entry, measure) is not None]
        symbol, color = SYMBOLS[place // len(COLORS) % len(SYMBOLS)], COLORS[place % len(COLORS)]
        figure.add_trace(
            Scatter(
                x=[moment(entry.taken_at) for entry in whole],
                y=[getattr(entry, measure) for entry in whole],
                mode="lines+markers",
                name=shortened(name, LEGEND),
                line={"color": color, "width": 1.5},
                marker={
                    "size": 9,
                    "color": color,
                    "symbol": [f"{symbol}-open" if entry.flags else symbol for entry in whole],
                },
                hovertext=[_told(entry) for entry in whole],
                hoverinfo="text",
            )
        )
    for when in dict.fromkeys(when for when, *_ in _changes(entries)):
        figure.add_vline(x=when, line={"color": GRAY, "width": 1.5, "dash": "dot"})
    laid_out(figure, height=300, x="UTC", y=AXES[measure], legend=True)
    ends = [datetime.fromisoformat(moment(entry.taken_at)) for entry in (entries[0], entries[-1])]
    room = max(LEAST_ROOM, (ends[1] - ends[0]) / 20)
    figure.update_xaxes(type="date", nticks=4, range=[f"{ends[0] - room}", f"{ends[1] + room}"])
    return figure.update_yaxes(rangemode="tozero")


def versions(entries: Sequence[Entry]) -> Grid:
    """List where a version of the tool, of the runtime or of the file changed between two measurements of a series."""
    return Grid(
        title="Changes of version",
        header=("since, UTC", "model", "target", "precision", "what"),
        rows=tuple(_changes(entries)),
    )


def listed(entries: Sequence[Entry]) -> Grid:
    """List every measurement, the latest first."""
    numbers = ("p50 ms", "p90 ≤ ms", "relative", "memory MB", "MB")
    return Grid(
        title="Every measurement",
        header=("taken, UTC", "model", "target", "is", *numbers, *_FACTS),
        numbers=(*numbers, "threads", "batch", "flags"),
        rows=tuple(
            (
                moment(entry.taken_at),
                entry.model,
                entry.target,
                entry.precision,
                quantity(entry.p50_ms, ""),
                quantity(entry.p90_bound_ms, ""),
                quantity(entry.relative, ""),
                quantity(entry.peak_memory_mb, ""),
                quantity(entry.model_bytes / 1e6, ""),
                entry.host,
                entry.provenance.value,
                f"{entry.threads}",
                f"{entry.batch}",
                entry.shapes or NONE,
                f"{entry.runtime} {entry.runtime_version}",
                entry.tool_version,
                entry.model_sha256[:12],
                f"{len(entry.flags)}",
            )
            for entry in reversed(entries)
        ),
    )


_FACTS: Final = ("machine", "on the target", "threads", "batch", "fed", "runtime", "tool", "file", "flags")


def _named(series: dict[tuple[str | int, ...], list[Entry]]) -> list[tuple[str, list[Entry]]]:
    """Name each line by its precision, and by what else tells it from another."""
    tails = [(f"{one.precision}", one.runtime, f"batch {one.batch}", one.shapes or NONE)
             for one, *_ in series.values()]  # fmt: skip
    telling = [place for place in range(4) if place == 0 or len({tail[place] for tail in tails}) > 1]
    return [(", ".join(tail[at] for at in telling), own) for tail, own in zip(tails, series.values(), strict=True)]


def _unbroken(grid: Grid) -> Grid:
    """Keep the times, in the first column, on one line each."""
    kept = Markup('<span style="white-space: nowrap">{}</span>')
    return replace(grid, rows=tuple((kept.format(first), *rest) for first, *rest in grid.rows))


def _changes(entries: Sequence[Entry]) -> list[tuple[str, str, str, str, str]]:
    found = []
    lines: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        lines.setdefault((entry.subject, entry.feed), []).append(entry)
    for own in lines.values():
        for before, after in pairwise(own):
            what = [
                f"{name}{old} → {new}"
                for name, old, new in (
                    ("hpmkd-edge ", before.tool_version, after.tool_version),
                    ("", f"{before.runtime} {before.runtime_version}", f"{after.runtime} {after.runtime_version}"),
                    ("file ", before.model_sha256[:8], after.model_sha256[:8]),
                    ("threads ", f"{before.threads}", f"{after.threads}"),
                )
                if old != new
            ]
            if what:
                found.append((moment(after.taken_at), after.model, after.target, after.precision, ", ".join(what)))
    return sorted(found)


def _told(entry: Entry) -> str:
    lines = [
        f"{moment(entry.taken_at)} UTC, {entry.precision}, a batch of {entry.batch}",
        f"p50 {quantity(entry.p50_ms, ' ms')}, p90 ≤ {quantity(entry.p90_bound_ms, ' ms')}",
        f"{quantity(entry.relative, '×')} the reference model",
        f"{entry.runtime} {entry.runtime_version}, hpmkd-edge {entry.tool_version}",
        *entry.flags,
    ]
    return "\n".join(lines)
