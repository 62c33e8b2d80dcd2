"""A run's page: the verdict of each target, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from hpmkd_edge.record import Report, RoundRecord
from hpmkd_edge.report.figures import SCORES, in_unit, quantity, share
from hpmkd_edge.report.model_rows import models
from hpmkd_edge.report.pages import latency, pareto
from hpmkd_edge.report.pages.answers import answers
from hpmkd_edge.report.pages.chain import diagram
from hpmkd_edge.report.pages.frame import (
    badge,
    banner,
    figure,
    folded,
    joined,
    page,
    paragraph,
    render,
    section,
    table,
    worded,
)
from hpmkd_edge.report.pages.lengths import lengths
from hpmkd_edge.report.pages.rounds import evidence, rounds
from hpmkd_edge.report.points import points_of
from hpmkd_edge.report.rows import Grid, against_teacher, environment, headline, limit, teachers, value
from hpmkd_edge.report.rows import worded as worded_plainly
from hpmkd_edge.verdict import Provenance, Verdict, provenance_of

# More models than this are folded: their plot says most of it.
OPEN: Final = 30
# What is large on the page: a row of `against_teacher`, and what follows its ratio in a title.
TILES: Final = ("accuracy, test", "R², test", "latency, p90", "file", "peak memory")
SAME: Final = "the same"
# What a student is that takes the same, by what was compared.
EQUAL: Final = {("latency, p90", "file"): "As costly as", ("latency, p90",): "As fast as", ("file",): "As large as"}
RAW: Final = ("samples_ns", "reference_ns")


def to_html(reports: Sequence[Report], *, links: Sequence[Sequence[str]] = ()) -> str:
    """Return *reports*, of one run and a target each, as one page.

    Args:
        links: for each report the files of its folder, as paths from where the page will lie.
    """
    names = [report.target for report in reports]
    several = len(reports) > 1
    banners = [
        banner(report.verdict.outcome, _linked(_said(report.verdict), f"#target-{place}" if several else ""))
        for place, report in enumerate(reports, 1)
    ]
    files = list(links) or [()] * len(reports)
    parts = [
        _target(report, own, place, level=3 if several else 2)
        for place, (report, own) in enumerate(zip(reports, files, strict=True), 1)
    ]
    first = reports[0]
    return page(
        f"{first.data.name} on {_listed(names)}",
        Markup('<div class="banners">{}</div>\n').format(joined(banners)) + joined(parts),
        lead="" if several else lead(first),
        data={"reports": [shown(report) for report in reports]},
        name="report",
    )


def shown(report: Report) -> dict[str, Any]:
    """Return what the page holds of *report* as data: its record with all points, without the single runs' times."""
    record = asdict(report)
    record["profile"] = {key: item for key, item in record["profile"].items() if key not in RAW}
    return {**record, "points": [asdict(point) for point in points_of(report)]}


def lead(report: Report) -> str:
    """Say what ships, and what it keeps."""
    student = report.student
    return (
        f"{student.size} in {student.precision}, trained by {student.won_by}, keeps {share(report.retention)} of its"
        f" teacher's {SCORES[report.data.goal]} on test rows."
    )


def _target(report: Report, files: Sequence[str], place: int, level: int) -> Markup:
    """Return all that is said of one target; where there are several, under a heading of its own."""
    points, limit_ms = points_of(report), pareto.limit_ms(report)
    notes = joined([paragraph(note, "note") for note in report.notes])
    listed = table(models(points, report.data.goal), name=f"points-{place}")
    found = [
        _verdict(report, level),
        _before_and_after(report, level),
        section(
            pareto.title(points),
            figure(pareto.pareto(report, points), f"pareto-{place}", pareto.caption(report, points)),
            listed if len(points) <= OPEN else folded(f"All {len(points)} models", listed),
            level=level,
        ),
        _latency(report, limit_ms, place, level),
        lengths(report.lengths, f"lengths-{place}", level),
        section("From teacher to student", diagram(report, _shipping(report)), level=level) if report.rounds else "",
        rounds(report, f"rounds-{place}", level),
        evidence(report, f"evidence-{place}", level),
        answers(report.answers, f"answers-{place}", level) if report.answers else "",
        section(
            "Where the numbers come from",
            table(environment(report), sortable=False),
            folded("Teachers", table(teachers(report))),
            folded("Settings", table(Grid(title="Settings", header=("setting", "value"), rows=report.settings))),
            level=level,
        ),
        _files(files, level),
    ]
    if level == 2:
        return notes + joined(found)
    title = Markup('<h2 class="target" id="target-{}">{}</h2>\n').format(place, report.target)
    return title + paragraph(lead(report), "lead") + notes + joined(found)


def _verdict(report: Report, level: int) -> Markup:
    verdict = report.verdict
    grid = Grid(
        title=headline(verdict),
        header=("verdict", "budget", "value", "limit", "from", "reason"),
        numbers=("value", "limit"),
        rows=tuple(
            (
                worded(one.outcome),
                one.budget,
                value(one, 4) if one.here is None else f"{in_unit(one.here, one.unit, 4)} on this host",
                limit(one, 4) + ("" if one.warn is None else f", warn {in_unit(one.warn, one.unit, 4)}"),
                badge(one.provenance),
                one.reason,
            )
            for one in verdict.judgements
        ),
    )
    parts: list[str] = [table(grid)]
    if report.board_command is not None:
        parts += [
            paragraph("To settle what is unknown, on the board:"),
            Markup("<pre>{}</pre>\n").format(report.board_command),
        ]
    if report.foretold:
        parts.append(table(_foretold(report), sortable=False, titled=True))
    return section("Budgets", *parts, level=level)


def _foretold(report: Report) -> Grid:
    return Grid(
        title=f"Latency foretold on {report.target}",
        header=("percentile", "foretold", "90 % interval", "from", "rests on"),
        numbers=("foretold", "90 % interval"),
        rows=tuple(
            (
                one.percentile,
                quantity(one.prediction.ms, " ms"),
                "–" if one.interval_ms is None else " to ".join(quantity(ms, " ms") for ms in one.interval_ms),
                badge(Provenance(one.prediction.provenance)),
                f"{one.source}: {one.prediction.reason}",
            )
            for one in report.foretold
        ),
    )


def _before_and_after(report: Report, level: int) -> Markup:
    grid = against_teacher(report)
    tiles = [row for row in grid.rows if row[0] in TILES and row[3] != "–"]
    source = Markup("{} Timed {}, in turn in one process; memory in a process of its own.").format(
        badge(provenance_of(report.profile, report.judged_against)), _elsewhere(report) or "on this run's machine"
    )
    return section(
        _compared(report, {row[0]: row[3] for row in tiles}),
        render("tiles.html.j2", tiles=tiles),
        table(grid, sortable=False),
        paragraph(source, "soft"),
        level=level,
    )


def _compared(report: Report, changes: Mapping[str, str]) -> str:
    """Say how the student compares with its teacher, what is not the same first."""
    known = tuple(what for what in ("latency, p90", "file") if what in changes)
    costs = [changes[what] for what in known if changes[what] != SAME]
    than = f"{_listed(costs)} than" if costs else EQUAL.get(known, "The student beside")
    points = next((change for what, change in changes.items() if what.endswith(", test")), None)
    said = f"{than} its teacher" if points is None else f"{than} its teacher, {points} of {SCORES[report.data.goal]}"
    elsewhere = _elsewhere(report)
    return f"{said}; timed {elsewhere}" if elsewhere and "latency, p90" in known else said


def _elsewhere(report: Report) -> str:
    """Return where the times were taken if that is not what the target asks for, as "on X, not Y"; else nothing."""
    target, host = report.judged_against, report.profile.host
    if provenance_of(report.profile, target) is Provenance.MEASURED:
        return ""
    if target.device.recognizes(host.model, host.memory_mb):
        return f"on {host.model}, in another runtime, power mode or number of threads than {report.target}'s"
    return f"on {host.model}, not {report.target}"


def _latency(report: Report, limit_ms: float | None, place: int, level: int) -> Markup:
    profile = report.profile
    if not profile.samples_ns:
        return Markup("")
    p90, elsewhere = profile.p90_ms, _elsewhere(report)
    title = "Latency" if p90 is None else f"9 of 10 runs take at most {quantity(p90, ' ms')}"
    text = latency.caption(profile, limit_ms, elsewhere=elsewhere)
    return section(
        f"{title} {elsewhere}".rstrip(),
        paragraph(badge(provenance_of(profile, report.judged_against))),
        joined([paragraph(flag[0].upper() + flag[1:], "note") for flag in profile.flags]),
        figure(latency.distribution(profile, limit_ms), f"latency-{place}", text),
        table(latency.statistics(profile), sortable=False),
        level=level,
    )


def _files(files: Sequence[str], level: int) -> Markup:
    if not files:
        return Markup("")
    # Behind "./" no name can be taken for another scheme than that of the page.
    items = [Markup('<li><a href="./{}">{}</a></li>').format(quote(file), file) for file in files]
    return section("Files", Markup("<ul>{}</ul>\n").format(joined(items)), level=level)


def _shipping(report: Report) -> RoundRecord:
    """Return the round whose student ships: the last that has its size and its way of training."""
    student = report.student
    own = [
        turn
        for turn in report.rounds
        if turn.chain[-1] == student.size and any(one.won and one.name == student.won_by for one in turn.rivals)
    ]
    return (own or list(report.rounds))[-1]


def _said(verdict: Verdict) -> str:
    """Return the headline without its symbol, which the banner has."""
    return headline(verdict).replace(worded_plainly(verdict.outcome), verdict.outcome.value, 1)


def _linked(text: str, href: str) -> str:
    return Markup('<a href="{}">{}</a>').format(href, text) if href else text


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
