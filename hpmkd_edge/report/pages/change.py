"""A comparison's page: both distributions, the ratio with its interval, the verdict; of a model or of a matrix."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpmkd_edge.bench_change import SCHEMA, BenchChange, CellChange
from hpmkd_edge.benched import ChangeRecord, read_change, schema_of
from hpmkd_edge.json_file import read_json
from hpmkd_edge.report.csv_text import records_to_csv
from hpmkd_edge.report.markdown import escaped
from hpmkd_edge.report.markdown import table as written
from hpmkd_edge.report.matrix import (
    Interval,
    bench_change_grid,
    bench_change_sentences,
    change_grid,
    change_sentence,
    points,
)
from hpmkd_edge.report.pages.frame import banner, figure, joined, page, paragraph, section, table
from hpmkd_edge.report.pages.latency import steps
from hpmkd_edge.report.pages.plots import BLUE, LEGEND, VERMILLION, Estimate, forest, laid_out, shortened
from hpmkd_edge.report.pages.profile import environment, without_samples
from hpmkd_edge.report.rows import Grid
from hpmkd_edge.verdict import Outcome

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

OUTCOMES: Final = {0: Outcome.MET, 1: Outcome.BROKEN, 5: Outcome.INCONCLUSIVE}
WORDS: Final = {"no change": "no difference"}
UNIT: Final = "% of time, more is slower"
# Of the p90; single runs that are far slower would squeeze both curves into a line.
DRAWN: Final = 1.25


def read(path: Path) -> ChangeRecord | BenchChange:
    """Read the comparison at *path*, of two profiles or of two benchmarks.

    Raises:
        BadReport: it is none.
    """
    if schema_of(path) != SCHEMA:
        return read_change(path)
    found: BenchChange = read_json(BenchChange, SCHEMA, path)
    return found


def to_html(record: ChangeRecord | BenchChange) -> str:
    """Return *record* as a page."""
    return _of_matrix(record) if isinstance(record, BenchChange) else _of_one(record)


def to_markdown(record: ChangeRecord | BenchChange) -> str:
    """Return *record* in Markdown."""
    if isinstance(record, BenchChange):
        said = "\n".join(f"- {escaped(one)}" for one in bench_change_sentences(record))
        parts = [f"# {_headline(record)}", *([written(bench_change_grid(record))] if record.cells else []), said]
    else:
        parts = [
            f"# {escaped(_title(record))}",
            escaped(change_sentence(record)),
            written(change_grid(record.before, record.after)),
        ]
    return "\n\n".join(parts) + "\n"


def to_csv(record: ChangeRecord | BenchChange) -> str:
    """Return a row for each pair that was compared."""
    if isinstance(record, BenchChange):
        return records_to_csv([_row(one) for one in record.cells])
    before, after = record.before, record.after
    return records_to_csv(
        [
            {
                "before": before.model,
                "after": after.model,
                "verdict": record.verdict,
                "ratio": record.ratio,
                "low": record.low,
                "high": record.high,
                "p50_before_ms": before.p50_ms,
                "p50_after_ms": after.p50_ms,
            }
        ]
    )


def distributions(record: ChangeRecord) -> Figure:
    """Draw the share of runs that take at most so long, before and after."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    ends = []
    for side, profile, color, dash in (
        ("before", record.before, BLUE, "dot"),
        ("after", record.after, VERMILLION, "solid"),
    ):
        ms, shares = steps(profile.samples_ns)
        p90 = profile.p90_ms
        ends.append(ms[-1] if p90 is None else min(ms[-1], DRAWN * p90))
        figure.add_trace(
            Scatter(
                x=ms,
                y=[100 * share for share in shares],
                mode="lines",
                name=f"{side}: {shortened(profile.model, LEGEND)}",
                line={"color": color, "width": 2.5, "dash": dash, "shape": "hv"},
                hovertext=[
                    f"{side}\n{100 * share:.1f} % take at most {one:.4g} ms"
                    for one, share in zip(ms, shares, strict=True)
                ],
                hoverinfo="text",
            )
        )
    laid_out(figure, height=320, x="ms", y="% of runs", legend=True)
    least = min(min(record.before.samples_ns), min(record.after.samples_ns)) / 1e6
    room = 0.1 * (max(ends) - least) or 0.1 * least
    figure.update_xaxes(range=[least - room, max(ends) + room])
    return figure


def _of_one(record: ChangeRecord) -> str:
    title = _title(record)
    estimate = _estimate(f"{record.after.model} against {record.before.model}", record, record.verdict)
    parts = [
        banner(OUTCOMES[record.exit_code], change_sentence(record)),
        section("How much longer", figure(forest([estimate], UNIT), "interval", _caption(record.tolerance))),
        section(
            "Both distributions",
            figure(distributions(record), "distributions", _BOTH),
            table(change_grid(record.before, record.after), name="sides", sortable=False),
        ),
    ]
    for side, profile in (("Before", record.before), ("After", record.after)):
        parts += [paragraph(f"{side}, not valid for a gate: {flag}", "note") for flag in profile.flags]
    parts.append(section("Environment", table(_environments(record), name="environment", sortable=False)))
    data = asdict(record)
    data |= {side: without_samples(data[side]) for side in ("before", "after")}
    return page(title, joined(parts), data=data, name="change")


_BOTH: Final = "Share of runs that take at most so long; the few that take far longer are not drawn."


def _environments(record: ChangeRecord) -> Grid:
    """Set what the numbers hang on side by side."""
    before, after = environment(record.before), environment(record.after)
    return Grid(
        title=before.title,
        header=("what", "before", "after"),
        rows=tuple((what, old, new) for (what, old), (_, new) in zip(before.rows, after.rows, strict=True)),
    )


def _of_matrix(record: BenchChange) -> str:
    told = [
        _estimate(f"{one.model} on {one.target} in {one.precision}", one.change, one.verdict)
        for one in record.cells
        if one.change is not None
    ]
    parts = [banner(OUTCOMES[record.exit_code], _headline(record))]
    if told:
        parts.append(section("How much longer", figure(forest(told, UNIT), "interval", _caption(record.tolerance))))
    if record.cells:
        parts.append(section("Every cell", table(bench_change_grid(record), name="cells")))
    parts += [paragraph(one) for one in bench_change_sentences(record)]
    return page("Two benchmarks", joined(parts), data=asdict(record), name="change")


def _headline(record: BenchChange) -> str:
    found = [one.verdict for one in record.cells]
    counts = [f"{found.count(word)} {word}" for word in dict.fromkeys(found)]
    return f"{len(found)} compared: {', '.join(counts)}" if found else "Nothing was measured in both"


def _estimate(name: str, change: Interval, verdict: str) -> Estimate:
    value, low, high = (100 * (one - 1) for one in (change.ratio, change.low, change.high))
    return Estimate(
        name=name,
        value=value,
        low=low,
        high=high,
        word=WORDS.get(verdict, verdict),
        shown=f"{points(change)} %, {verdict}",
        brief=f"{value:+.1f} %, {verdict}".replace("-", "−"),
    )


def _caption(tolerance: float) -> str:
    return (
        f"The ratio of the medians with its 95 % interval. A change is told where the whole interval lies beyond"
        f" {tolerance:.0%}."
    )


def _title(record: ChangeRecord) -> str:
    return f"{record.after.model} against {record.before.model}"


def _row(one: CellChange) -> dict[str, object]:
    change = one.change
    return {
        "model": one.model,
        "target": one.target,
        "precision": one.precision,
        "verdict": one.verdict,
        "ratio": change.ratio if change else None,
        "low": change.low if change else None,
        "high": change.high if change else None,
        "p50_before_ms": one.p50_before_ms,
        "p50_after_ms": one.p50_after_ms,
        "reason": one.reason,
    }
