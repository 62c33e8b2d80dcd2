"""A report as rows of text, which the formats lay out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from hpmkd_edge.bench.grading import Misses
from hpmkd_edge.distilled import Distilled
from hpmkd_edge.record import (
    ComponentRecord,
    Cost,
    GainRecord,
    Report,
    RivalRecord,
    RoundRecord,
    TeacherRecord,
)
from hpmkd_edge.report.figures import NONE, SCORES, in_unit, megabytes, quantity, ratio, score, signed
from hpmkd_edge.targets import Target
from hpmkd_edge.verdict import AT_LEAST, Goal, Judgement, Outcome, Verdict

# A symbol beside the word, so that neither color nor a language alone carries it.
SYMBOLS: Final = {
    Outcome.MET: "✓",
    Outcome.WARNED: "!",
    Outcome.INCONCLUSIVE: "?",
    Outcome.BROKEN: "✗",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table of text cells; all rows are as long as the header.

    Attributes:
        numbers: the names of the columns that are set flush right.
    """

    title: str
    header: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...]


def headline(verdict: Verdict) -> str:
    """Return the outcome, and how many budgets came out how; what was predicted never passes for measured."""
    found = [judgement.outcome for judgement in verdict.judgements]
    rest = [
        f", {found.count(outcome)} {outcome.value}"
        for outcome in Outcome
        if outcome is not Outcome.MET and outcome in found
    ]
    foretold = sum(one.high is not None and one.outcome is not Outcome.INCONCLUSIVE for one in verdict.judgements)
    judged = f", {foretold} judged by a prediction" if foretold else ""
    summary = f"{found.count(Outcome.MET)} of {len(found)} budgets met{''.join(rest)}{judged}"
    return f"{verdict.target}: {worded(verdict.outcome)} ({summary})"


def worded(outcome: Outcome) -> str:
    """Return *outcome* as a symbol and a word."""
    return f"{SYMBOLS[outcome]} {outcome.value}"


def against_teacher(report: Report) -> Grid:
    """Set the student beside its best teacher."""
    student = report.student
    after = (student.test_accuracy, student.validation_accuracy)
    return _beside(report.best_teacher, student.size, after, student.cost, student.misses, report.data.goal)


def distilled_against_teacher(distilled: Distilled) -> Grid:
    """Set a student that was not timed beside its best teacher."""
    after = (distilled.test_accuracy, distilled.validation_accuracy)
    cost = Cost(parameters=distilled.parameters, file_bytes=distilled.file_bytes)
    return _beside(distilled.teachers[0], distilled.size, after, cost, distilled.misses, distilled.data.goal)


def _beside(
    teacher: TeacherRecord,
    size: str,
    accuracies: tuple[float, float],
    after: Cost,
    misses: Misses | None,
    goal: Goal,
) -> Grid:
    before, name = teacher.cost, SCORES[goal]
    errors: tuple[tuple[str, float, float], ...] = ()
    if misses is not None and teacher.misses is not None:
        errors = (("MAE, test", teacher.misses.mae, misses.mae), ("RMSE, test", teacher.misses.rmse, misses.rmse))
    costs = (
        ("parameters", "", before.parameters, after.parameters, ("fewer", "more")),
        ("file", " MB", megabytes(before.file_bytes), megabytes(after.file_bytes), ("smaller", "larger")),
        ("latency, p50", " ms", before.p50_ms, after.p50_ms, ("faster", "slower")),
        ("latency, p90", " ms", before.p90_ms, after.p90_ms, ("faster", "slower")),
        ("peak memory", " MB", before.peak_memory_mb, after.peak_memory_mb, ("less", "more")),
    )
    numbers = (f"teacher {teacher.name}", f"student {size}", "change")
    return Grid(
        title="Student and teacher",
        header=("", *numbers),
        numbers=numbers,
        rows=(
            _accuracy(f"{name}, test", teacher.test_accuracy, accuracies[0], goal),
            *(
                (what, quantity(old, ""), quantity(new, ""), ratio(old, new, ("less", "more")))
                for what, old, new in errors
            ),
            _accuracy(f"{name}, validation", teacher.validation_accuracy, accuracies[1], goal),
            *(
                (name, quantity(old, unit), quantity(new, unit), ratio(old, new, words))
                for name, unit, old, new, words in costs
                if not old is new is None
            ),
        ),
    )


def teachers(report: Report) -> Grid:
    """List the teachers."""
    return Grid(
        title="Teachers",
        header=("teacher", "kind", "validation", "test", "inputs", "trained here", "sha256"),
        numbers=("validation", "test"),
        rows=tuple(
            (
                teacher.name,
                teacher.kind,
                score(teacher.validation_accuracy, report.data.goal),
                score(teacher.test_accuracy, report.data.goal),
                teacher.preprocessing,
                "yes" if teacher.trained_here else "no",
                teacher.sha256[:12],
            )
            for teacher in report.teachers
        ),
    )


class Raced(Protocol):
    """A record that holds a race."""

    @property
    def rivals(self) -> tuple[RivalRecord, ...]:
        """In the order of their start."""
        ...

    @property
    def gains(self) -> tuple[GainRecord, ...]:
        """Of rivals over others."""
        ...

    @property
    def components(self) -> tuple[ComponentRecord, ...]:
        """What each did."""
        ...


def round_title(turn: RoundRecord) -> str:
    """Name a round by its number and its chain."""
    return f"Round {turn.number}: {' → '.join(turn.chain)}"


def rivals(turn: Raced, title: str, goal: Goal) -> Grid:
    """List a race's rivals; accuracies, or R², are those on validation rows."""
    name = SCORES[goal]
    return Grid(
        title=title,
        header=("rival", "method", "epochs", name, "loss", "time", ""),
        numbers=("epochs", name, "loss", "time"),
        rows=tuple(
            (
                rival.name,
                rival.method,
                f"{rival.epochs}",
                score(rival.validation_accuracy, goal),
                f"{rival.validation_loss:.4f}",
                f"{rival.seconds:.1f} s",
                "won" if rival.won else "",
            )
            for rival in turn.rivals
        ),
    )


def gains(turn: Raced) -> Grid:
    """List what rivals gained over others in a round."""
    return Grid(
        title="Gains on validation rows",
        header=("of", "over", "points", "95 % interval", "verdict"),
        numbers=("points", "95 % interval"),
        rows=tuple(
            (
                gain.of,
                gain.over,
                signed(gain.points),
                f"{signed(gain.low)} to {signed(gain.high)}",
                gain.verdict,
            )
            for gain in turn.gains
        ),
    )


def components(turn: Raced) -> Grid:
    """List what each component did in a round, and its gain over what was best before it."""
    return Grid(
        title="Components",
        header=("component", "what it did", "points", "verdict"),
        numbers=("points",),
        rows=tuple(
            (
                one.component,
                one.sentence,
                ""
                if one.gain is None
                else f"{signed(one.gain.points)} ({signed(one.gain.low)} to {signed(one.gain.high)})",
                "" if one.gain is None else one.gain.verdict,
            )
            for one in turn.components
        ),
    )


def judgements(verdict: Verdict) -> Grid:
    """List a verdict's budgets, shortly; the reasons of those not met are for `reasons`."""
    return Grid(
        title=headline(verdict),
        header=("verdict", "budget", "value", "limit", "provenance"),
        numbers=("value", "limit"),
        rows=tuple(
            (
                worded(judgement.outcome),
                judgement.budget,
                value(judgement, 4),
                limit(judgement, 4),
                judgement.provenance.value,
            )
            for judgement in verdict.judgements
        ),
    )


def judgements_in_full(verdict: Verdict) -> Grid:
    """List a verdict's budgets with every number, to six digits, and every reason."""
    return Grid(
        title=headline(verdict),
        header=("verdict", "budget", "value", "limit", "warn", "this host", "provenance", "reason"),
        numbers=("value", "limit", "warn", "this host"),
        rows=tuple(
            (
                worded(judgement.outcome),
                judgement.budget,
                value(judgement, 6),
                limit(judgement, 6),
                in_unit(judgement.warn, judgement.unit, 6),
                in_unit(judgement.here, judgement.unit, 6),
                judgement.provenance.value,
                judgement.reason,
            )
            for judgement in verdict.judgements
        ),
    )


def reasons(verdict: Verdict) -> tuple[str, ...]:
    """Return a line for each budget that is not simply met by what was measured."""
    return tuple(
        f"{judgement.budget}: {judgement.reason}"
        for judgement in verdict.judgements
        if judgement.outcome is not Outcome.MET or judgement.high is not None
    )


def probes(report: Report) -> Grid:
    """List the sizes that were measured untrained."""
    return Grid(
        title="Sizes measured untrained",
        header=("size", "parameters", "file", "p90 bound", "peak memory", "fits", "reason"),
        numbers=("parameters", "file", "p90 bound", "peak memory"),
        rows=tuple(
            (
                probe.size,
                f"{probe.parameters:,}",
                quantity(megabytes(probe.file_bytes), " MB"),
                quantity(probe.p90_bound_ms, " ms"),
                quantity(probe.peak_memory_mb, " MB"),
                "yes" if probe.fits else "no",
                probe.reason,
            )
            for probe in report.probes
        ),
    )


def environment(report: Report) -> Grid:
    """List where the run's numbers come from."""
    data, profile, host = report.data, report.profile, report.host
    learned = f"{len(report.classes)} classes" if report.classes else "values"
    return Grid(
        title="Environment",
        header=("", ""),
        rows=(
            ("command", report.command),
            (
                "run",
                f"{report.run_id}, started {report.started_at}, {report.seconds:.1f} s, seed {report.seed}",
            ),
            ("tool", f"hpmkd-edge {report.tool_version}, Python {host.python}"),
            ("data", f"{data.name} ({data.kind}, {learned}) from {data.source}"),
            ("data sha256", data.sha256),
            (
                "split",
                f"{data.train_rows:,} train, {data.validation_rows:,} validation, "
                f"{data.test_rows:,} test rows: {data.split_rule}",
            ),
            ("target", target_line(report.judged_against)),
            (
                "runtime",
                f"{profile.runtime} {profile.runtime_version}, {', '.join(profile.providers)}, "
                f"{profile.precision}, batch {profile.batch}, threads {profile.threads}",
            ),
            (
                "timing",
                f"{profile.protocol}: {len(profile.samples_ns):,} runs, processes {profile.processes}, "
                f"load {quantity(profile.load_ms, ' ms')}, first run {quantity(profile.first_run_ms, ' ms')}",
            ),
            ("timing flags", " ".join(profile.flags) or "none"),
            (
                "host",
                f"{host.model}, {host.system}, {host.cores} cores, {host.memory_mb:,.0f} MB, "
                f"load {host.load_average:.2f}, governor {host.governor or NONE}, "
                f"power mode {host.power_mode or NONE}",
            ),
            ("student sha256", report.student_sha256),
        ),
    )


def target_line(target: Target) -> str:
    """Return a target's device and how it is run, in one line."""
    mode = f", power mode {target.power_mode}" if target.power_mode else ""
    return f"{target.name}: {target.device.description}, {target.runtime}, threads {target.threads}{mode}"


def value(judgement: Judgement, digits: int) -> str:
    """Return what was measured, or the interval of what was predicted."""
    if judgement.low is None or judgement.high is None:
        return in_unit(judgement.value, judgement.unit, digits)
    return f"{in_unit(judgement.low, '', digits)} to {in_unit(judgement.high, judgement.unit, digits)}"


def limit(judgement: Judgement, digits: int) -> str:
    """Return a judgement's limit with its direction."""
    sign = "≥" if judgement.budget in AT_LEAST else "≤"
    return NONE if judgement.limit is None else f"{sign} {in_unit(judgement.limit, judgement.unit, digits)}"


def _accuracy(name: str, teacher: float, student: float, goal: Goal) -> tuple[str, ...]:
    return (name, score(teacher, goal), score(student, goal), f"{signed(100 * (student - teacher))} points")
