"""A benchmark's page: every model, target and precision, as a table by targets, as plots, and in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from hpmkd_edge.benched import BenchRecord, Cell, read_bench
from hpmkd_edge.report.csv_text import records_to_csv
from hpmkd_edge.report.figures import NONE, quantity
from hpmkd_edge.report.markdown import escaped
from hpmkd_edge.report.markdown import section as chapter
from hpmkd_edge.report.matrix import flags_of, matrix_grid, times
from hpmkd_edge.report.pages.frame import badge, banner, figure, joined, page, paragraph, section, table
from hpmkd_edge.report.pages.plots import BLUE, GRAY, GREEN, LEGEND, PURPLE, VERMILLION, in_rows, laid_out, shortened
from hpmkd_edge.report.pages.profile import environment, moment, without_samples
from hpmkd_edge.report.rows import Grid, worded
from hpmkd_edge.verdict import Outcome

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

OUTCOMES: Final = {0: Outcome.MET, 1: Outcome.BROKEN, 4: Outcome.BROKEN}
SYMBOLS: Final = {"fp32": "circle", "fp16": "square", "int8": "diamond"}
COLORS: Final = (BLUE, VERMILLION, GREEN, PURPLE, GRAY)
# The slowest of a target is so much blue, and its text still stands out by 4.5 to 1.
DEEPEST: Final = 40


def read(path: Path) -> BenchRecord:
    """Read the record at *path*.

    Raises:
        BadReport: it is none, or contradicts itself.
    """
    return read_bench(path)


def to_html(record: BenchRecord) -> str:
    """Return *record* as a page."""
    parts = [banner(OUTCOMES.get(record.exit_code, Outcome.INCONCLUSIVE), headline(record))]
    parts += [paragraph(note, "note") for note in (*_flagged(record), *record.notes)]
    timed = [target for target in record.targets if any(_is_timed(cell) for cell in record.of_target(target))]
    parts.append(section("p50 by target", table(by_target(record), name="by-target"), paragraph(_HEAT, "soft")))
    for place, target in enumerate(timed, 1):
        cells = [cell for cell in record.of_target(target) if _is_timed(cell)]
        parts.append(
            section(
                Markup("{} {}").format(matrix_grid(record, target).title, _badges(cells)),
                figure(dots(cells), f"times-{place}", _DOTS.format(target)),
                figure(against_size(cells), f"sizes-{place}", _size_caption(target)),
                table(where(cells[0]), name=f"environment-{place}", sortable=False),
                name=f"target-{place}",
            )
        )
    said = [(target, sentence) for target in record.targets for sentence in flags_of(record, target)]
    if said:
        spoken = Grid(title="What speaks against them", header=("target", "what"), rows=tuple(said))
        parts.append(section(spoken.title, table(spoken, name="flags")))
    parts.append(section("Every cell", table(listed(record), name="cells")))
    return page(
        title(record),
        joined(parts),
        lead=f"{record.protocol} protocol, {moment(record.taken_at)} UTC, by hpmkd-edge {record.tool_version}.",
        data=shown(record),
        name="bench",
    )


def to_markdown(record: BenchRecord) -> str:
    """Return *record* in Markdown: a table for each target, and every sentence."""
    parts = [f"# {escaped(title(record))}", escaped(headline(record)), *(f"> {escaped(one)}" for one in record.notes)]
    for target in record.targets:
        parts += chapter(matrix_grid(record, target))
        parts += ["\n".join(f"- {escaped(flag)}" for flag in flags)] if (flags := flags_of(record, target)) else []
    return "\n\n".join(parts) + "\n"


def to_csv(record: BenchRecord) -> str:
    """Return a row for each cell."""
    return records_to_csv([_plain(cell) for cell in record.cells])


def where(cell: Cell) -> Grid:
    """List what the measured cells of a target have alike, of one of them."""
    assert cell.profile is not None
    found = environment(cell.profile)
    return replace(
        found,
        title=f"Environment of {cell.target}",
        rows=tuple(row for row in found.rows if row[0] in ("runtime", "threads", "machine", "system", "power")),
    )


def title(record: BenchRecord) -> str:
    """Return what was measured, in a line."""
    return f"{_count(len(record.models), 'model')} on {', '.join(record.targets)}"


def headline(record: BenchRecord) -> str:
    """Say how many cells were measured, and how their budgets came out."""
    measured = [cell.outcome for cell in record.cells if cell.outcome is not None]
    found = [f"{measured.count(one)} {one.value}" for one in Outcome if one in measured]
    states = [cell.state for cell in record.cells]
    found += [f"{states.count(state)} {state}" for state in ("unavailable", "failed") if state in states]
    return f"{len(measured)} of {len(states)} measured: {', '.join(found)}"


def shown(record: BenchRecord) -> dict[str, Any]:
    """Return what the page holds as data: the record without the times of single runs."""
    plain = asdict(record)
    for cell in plain["cells"]:
        cell["profile"] = cell["profile"] and without_samples(cell["profile"])
    return plain


def by_target(record: BenchRecord) -> Grid:
    """Set the medians of all targets beside each other; the slower of a target, the darker."""
    cells = {cell.key: cell for cell in record.cells}
    slowest = {
        target: max((cell.p50_ms or 0.0 for cell in record.of_target(target)), default=0.0) for target in record.targets
    }
    return Grid(
        title="p50 by target",
        header=("model", "is", *(f"{target}, ms" for target in record.targets)),
        numbers=tuple(f"{target}, ms" for target in record.targets),
        rows=tuple(
            (
                model,
                precision,
                *(_heated(cells[model, target, precision], slowest[target]) for target in record.targets),
            )
            for model, precision in dict.fromkeys((cell.model, cell.precision) for cell in record.cells)
        ),
    )


_DOTS: Final = "{}: the median, and up to where the p90 may lie, with 99 % confidence."
_HEAT: Final = (
    "The darker, the slower, each target by itself. The mark is how its cost budgets came out; accuracy is not measured"
    " here."
)


def dots(cells: Sequence[Cell]) -> Figure:
    """Draw the median of each, and the bound of its p90."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for row, cell in enumerate(cells):
        assert cell.p50_ms is not None
        bound = cell.p90_bound_ms
        figure.add_trace(
            Scatter(
                x=[cell.p50_ms],
                y=[row],
                mode="markers",
                marker={"symbol": SYMBOLS[cell.precision], "size": 12, "color": BLUE},
                error_x={
                    "type": "data",
                    "array": [0 if bound is None else max(0.0, bound - cell.p50_ms)],
                    "arrayminus": [0],
                    "color": BLUE,
                    "thickness": 2.5,
                    "width": 6,
                },
                hovertext=[_told(cell)],
                hoverinfo="text",
            )
        )
    in_rows(figure, [(_name(cell), _brief(cell)) for cell in cells], "ms")
    return figure.update_xaxes(rangemode="tozero")


def against_size(cells: Sequence[Cell]) -> Figure:
    """Draw the median over the size, a color for each model and a symbol for each precision; a line joins the best."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    best = undominated(cells)
    figure.add_trace(
        Scatter(
            x=[_size_mb(cell) for cell in best],
            y=[cell.p50_ms for cell in best],
            mode="lines",
            line={"color": GRAY, "width": 1.5, "dash": "dot", "shape": "hv"},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    models = list(dict.fromkeys(cell.model for cell in cells))
    for place, model in enumerate(models):
        own = [cell for cell in cells if cell.model == model]
        figure.add_trace(
            Scatter(
                x=[_size_mb(cell) for cell in own],
                y=[cell.p50_ms for cell in own],
                mode="markers+text",
                text=[cell.precision for cell in own],
                textposition="top center",
                name=shortened(model, LEGEND),
                marker={
                    "symbol": [SYMBOLS[cell.precision] for cell in own],
                    "size": 12,
                    "color": COLORS[place % len(COLORS)],
                },
                hovertext=[_told(cell) for cell in own],
                hoverinfo="text",
                cliponaxis=False,
            )
        )
    laid_out(figure, height=340, x="MB", y="p50 ms", legend=True)
    figure.update_xaxes(rangemode="tozero")
    return figure.update_yaxes(rangemode="tozero")


def undominated(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the cells that no other beats in both time and size, the smallest first."""
    found: list[Cell] = []
    for cell in sorted(cells, key=lambda one: (_size_mb(one), one.p50_ms or 0.0)):
        if not found or (cell.p50_ms or 0.0) < (found[-1].p50_ms or 0.0):
            found.append(cell)
    return tuple(found)


def listed(record: BenchRecord) -> Grid:
    """List every cell in full."""
    numbers = ("p50 ms", "p90 ≤ ms", "ratio", "MB", "memory MB")
    return Grid(
        title="Every cell",
        header=("target", "model", "is", *numbers, "budgets", "how it was made, or why it was not measured"),
        numbers=numbers,
        rows=tuple(
            (
                cell.target,
                cell.model,
                cell.precision,
                quantity(cell.p50_ms, ""),
                quantity(cell.p90_bound_ms, ""),
                NONE if cell.against_first is None else times(cell.against_first),
                NONE if cell.profile is None else quantity(cell.profile.model_bytes / 1e6, ""),
                NONE if cell.profile is None else quantity(cell.profile.peak_memory_mb, ""),
                cell.state if cell.outcome is None else worded(cell.outcome),
                cell.reason or cell.made or "",
            )
            for cell in record.cells
        ),
    )


def _flagged(record: BenchRecord) -> list[str]:
    measured = [cell for cell in record.cells if cell.profile is not None]
    count = sum(bool(cell.flags) for cell in measured)
    return [f"{count} of {len(measured)} latencies are not valid for a gate; why is told below."] if count else []


def _badges(cells: Sequence[Cell]) -> Markup:
    """Return what the times are worth on their target; older records do not say."""
    return Markup(" ").join(badge(one) for one in dict.fromkeys(cell.provenance for cell in cells) if one is not None)


def _heated(cell: Cell, slowest: float) -> Markup:
    if cell.p50_ms is None or cell.outcome is None or not slowest:
        return Markup('<span class="soft">{}</span>').format(cell.state if cell.outcome is None else "too few runs")
    share = round(DEEPEST * cell.p50_ms / slowest)
    style = f"background: color-mix(in srgb, {BLUE} {share}%, transparent); padding: .15em .5em; border-radius: .3em"
    symbol = worded(cell.outcome)[0]
    return Markup('<span style="{}" title="{}">{} {}</span>').format(
        style, cell.outcome.value, quantity(cell.p50_ms, ""), symbol
    )


def _is_timed(cell: Cell) -> bool:
    return cell.p50_ms is not None


def _size_mb(cell: Cell) -> float:
    assert cell.profile is not None
    return cell.profile.model_bytes / 1e6


def _name(cell: Cell) -> str:
    return f"{cell.model}, {cell.precision}"


def _brief(cell: Cell) -> str:
    return f"{quantity(cell.p50_ms, ' ms')}, p90 ≤ {quantity(cell.p90_bound_ms, '')}"


def _told(cell: Cell) -> str:
    return f"{_name(cell)}\n{_brief(cell)}\n{quantity(_size_mb(cell), ' MB')}, {cell.made}"


def _size_caption(target: str) -> str:
    return f"{target}: the median over the size of the file; left and low is better. The line joins what nothing beats."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _plain(cell: Cell) -> dict[str, object]:
    profile, change = cell.profile, cell.against_first
    return {
        "target": cell.target,
        "model": cell.model,
        "precision": cell.precision,
        "state": cell.state,
        "outcome": cell.outcome.value if cell.outcome else None,
        "p50_ms": cell.p50_ms,
        "p90_bound_ms": cell.p90_bound_ms,
        "ratio": change.ratio if change else None,
        "ratio_low": change.low if change else None,
        "ratio_high": change.high if change else None,
        "relative": profile.relative if profile else None,
        "model_bytes": profile.model_bytes if profile else None,
        "peak_memory_mb": profile.peak_memory_mb if profile else None,
        "runtime": f"{profile.runtime} {profile.runtime_version}" if profile else None,
        "host": profile.host.model if profile else None,
        "provenance": cell.provenance.value if cell.provenance else None,
        "model_sha256": profile.model_sha256 if profile else None,
        "made": cell.made,
        "reason": cell.reason,
        "flags": " ".join(cell.flags),
    }
