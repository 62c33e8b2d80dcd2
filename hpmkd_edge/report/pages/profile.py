"""A measurement's page: how long the runs took, how that went over time, and on what machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hpmkd_edge.bench.profile import Profile, State, read_profile
from hpmkd_edge.report.csv_text import records_to_csv
from hpmkd_edge.report.figures import NONE, quantity
from hpmkd_edge.report.markdown import escaped
from hpmkd_edge.report.markdown import section as chapter
from hpmkd_edge.report.pages import latency
from hpmkd_edge.report.pages.frame import figure, joined, page, paragraph, section, table
from hpmkd_edge.report.pages.plots import BLUE, GRAY, LEGEND, laid_out, shortened
from hpmkd_edge.report.rows import Grid

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BLOCKS: Final = 300
LEAST_LINE: Final = 3  # points, below which a line is nothing to see
RAW: Final = ("samples_ns", "reference_ns")


def read(path: Path) -> Profile:
    """Read the profile at *path*.

    Raises:
        BadReport: it is none.
    """
    return read_profile(path)


def to_html(profile: Profile) -> str:
    """Return *profile* as a page."""
    runs = profile.samples_ns
    parts = [paragraph(f"Not valid for a gate: {flag}", "note") for flag in profile.flags]
    drawn = [figure(latency.distribution(profile), "distribution", latency.caption(profile))] if runs else []
    parts.append(section("Latency", *drawn, table(latency.statistics(profile), name="latency", sortable=False)))
    if runs:
        parts.append(section("Over time", figure(over_time(profile), "over-time", caption(profile))))
    parts.append(section("Memory and size", table(memory(profile), name="memory", sortable=False)))
    if profile.states:
        parts.append(section("The machine meanwhile", table(states(profile), name="states", sortable=False)))
    parts.append(section("Environment", table(environment(profile), name="environment", sortable=False)))
    return page(
        f"{profile.model} on {profile.host.model}",
        joined(parts),
        lead=f"{profile.precision} in {profile.runtime} {profile.runtime_version}: {_summary(profile)}.",
        data=without_samples(asdict(profile)),
        name="profile",
    )


def to_markdown(profile: Profile) -> str:
    """Return *profile* in Markdown, in full but for the single runs."""
    parts = [
        f"# {escaped(profile.model)} on {escaped(profile.host.model)}",
        f"{profile.precision} in {profile.runtime} {profile.runtime_version}: {_summary(profile)}.",
        *(f"> Not valid for a gate: {escaped(flag)}" for flag in profile.flags),
    ]
    for grid in (latency.statistics(profile), memory(profile), states(profile), environment(profile)):
        parts += chapter(grid)
    return "\n\n".join(parts) + "\n"


def to_csv(profile: Profile) -> str:
    """Return every timed run, with the run of the reference model that followed it."""
    processes = [place for place, count in enumerate(_counts(profile), 1) for _ in range(count)]
    return records_to_csv(
        [
            {"run": number, "process": process, "ms": ns / 1e6, "reference_ms": reference / 1e6}
            for number, (process, ns, reference) in enumerate(
                zip(processes, profile.samples_ns, profile.reference_ns, strict=True), 1
            )
        ]
    )


def without_samples(record: dict[str, Any]) -> dict[str, Any]:
    """Return a profile as a page holds it: without the times of its single runs, which its file has."""
    return {key: item for key, item in record.items() if key not in RAW}


def moment(taken_at: str) -> str:
    """Return a time as people read it; records have UTC's."""
    return taken_at[:19].replace("T", " ")


def over_time(profile: Profile) -> Figure:
    """Draw the medians of consecutive runs, of the model and of the reference model, each over that of all."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for name, samples, color, dash in (
        ("reference model", profile.reference_ns, GRAY, "dot"),
        (profile.model, profile.samples_ns, BLUE, "solid"),
    ):
        ends, medians = blocks(samples)
        middle = blocks(samples, 1)[1][0] if samples else 1.0
        figure.add_trace(
            Scatter(
                x=ends,
                y=[one / middle for one in medians],
                mode="lines+markers" if len(ends) < LEAST_LINE else "lines",
                name=shortened(name, LEGEND),
                # Each is the end of its block, and its median that of the runs before.
                line={"color": color, "width": 2, "dash": dash, "shape": "vh"},
                hovertext=[f"{name}\nup to run {end:,}: {one:.4g} ms" for end, one in zip(ends, medians, strict=True)],
                hoverinfo="text",
            )
        )
    at = 0
    for count in _counts(profile)[:-1]:
        at += count
        figure.add_vline(x=at, line={"color": GRAY, "width": 1, "dash": "dash"})
    return laid_out(figure, height=300, x="run", y="times its median", legend=True)


def blocks(samples_ns: Sequence[int], most: int = BLOCKS) -> tuple[list[int], list[float]]:
    """Return at most so many blocks of consecutive runs: the number of the last of each, and their median in ms."""
    import numpy as np

    if not samples_ns:
        return [], []
    parts = np.array_split(np.asarray(samples_ns, np.float64), min(most, len(samples_ns)))
    ends = np.cumsum([len(part) for part in parts]).tolist()
    return ends, [float(np.median(part)) / 1e6 for part in parts]


def caption(profile: Profile) -> str:
    """Say what is drawn over time."""
    count = len(profile.samples_ns)
    each = -(-count // min(BLOCKS, count))
    text = f"Medians of {each:,} consecutive runs, over the median of all. " if each > 1 else "Runs over their median. "
    text += "What disturbs the machine moves both lines; what moves one of them is its model's."
    return text + (" A dashed line begins a fresh process." if len(_counts(profile)) > 1 else "")


def memory(profile: Profile) -> Grid:
    """List what the file takes."""
    before = profile.preprocessing
    rows = [
        ("peak memory, above the runtime's own", quantity(profile.peak_memory_mb, " MB")),
        ("the process before the model", quantity(profile.baseline_memory_mb, " MB")),
        ("activations, by the graph", _megabytes(profile.activation_bytes)),
        ("file", _megabytes(profile.model_bytes)),
    ]
    if before is not None:
        rows.append((f"of it {before.file}", _megabytes(before.bytes)))
    return Grid(title="Memory and size", header=("", "value"), numbers=("value",), rows=tuple(rows))


def states(profile: Profile) -> Grid:
    """List the machine before and after the timing of each process."""
    header = ("process", "when", "clock MHz", "GPU MHz", "°C", "load", "cores it may use")
    return Grid(
        title="The machine meanwhile",
        header=header,
        numbers=header[2:6],
        rows=tuple(
            (f"{place // 2 + 1}", "after" if place % 2 else "before", *_state(state))
            for place, state in enumerate(profile.states)
        ),
    )


def environment(profile: Profile) -> Grid:
    """List what the numbers hang on."""
    host = profile.host
    shapes = ", ".join(f"{one.name} {'×'.join(map(str, one.sizes))}" for one in profile.shapes)
    return Grid(
        title="Environment",
        header=("what", "value"),
        rows=(
            ("model", f"{profile.model}, sha256 {profile.model_sha256}"),
            ("runtime", f"{profile.runtime} {profile.runtime_version}, {', '.join(profile.providers)}"),
            ("precision", profile.precision),
            ("input", f"{shapes or NONE}; a batch of {profile.batch}, {profile.io}"),
            ("threads", f"{profile.threads} within an operator, {profile.inter_threads} beside each other"),
            ("protocol", f"{profile.protocol}: {len(profile.samples_ns):,} runs in {profile.processes} processes"),
            ("warm-up", f"{quantity(profile.warmup_ms, ' ms')}, {'' if profile.warmup_settled else 'not '}settled"),
            ("machine", f"{host.model}, {host.cores} cores, {host.memory_mb:,.0f} MB, called {host.name}"),
            ("system", f"{host.system}, Python {host.python}"),
            ("power", f"mode {host.power_mode or NONE}, governor {host.governor or NONE}"),
            ("taken", f"{moment(profile.taken_at)} UTC, by hpmkd-edge {profile.tool_version}"),
        ),
    )


def _summary(profile: Profile) -> str:
    bound = profile.percentile_bound_ms(90)
    if bound is None:
        return f"{len(profile.samples_ns)} runs, too few for a bound of the p90"
    return f"the p90 is at most {quantity(bound, ' ms')}, the median {quantity(profile.p50_ms, ' ms')}"


def _counts(profile: Profile) -> tuple[int, ...]:
    count = len(profile.samples_ns)
    return profile.runs if sum(profile.runs) == count and profile.runs else (count,)


def _megabytes(size: int | None) -> str:
    return NONE if size is None else quantity(size / 1e6, " MB")


def _state(state: State) -> tuple[str, ...]:
    return (
        NONE if state.clock_mhz is None else f"{state.clock_mhz:,.0f}",
        NONE if state.gpu_clock_mhz is None else f"{state.gpu_clock_mhz:,.0f}",
        NONE if state.temperature_c is None else f"{state.temperature_c:.0f}",
        f"{state.load_average:.2f}",
        ", ".join(map(str, state.affinity)),
    )
