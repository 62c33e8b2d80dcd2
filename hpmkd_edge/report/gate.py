"""Judge recorded runs again: by their own numbers, by other budgets, with a board's measurement, beside a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from hpmkd_edge.baseline import (
    LATENCY,
    Allowance,
    Comparison,
    Difference,
    accuracy_drop,
    judge_difference,
    judge_elsewhere,
    latency_growth,
    no_baseline,
    partner_of,
    size_growth,
)
from hpmkd_edge.bench.prediction import unknown_because
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.errors import BadConfiguration, BadReport
from hpmkd_edge.foretold import Foretold
from hpmkd_edge.record import Report
from hpmkd_edge.report.points import Point, dominated, points_of
from hpmkd_edge.report.soundness import check_profile, check_report
from hpmkd_edge.targets import Target, find_target
from hpmkd_edge.verdict import Judgement, Provenance, Verdict, judge, provenance_of

ExitCode = Literal[0, 1, 5]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """A report, judged again.

    Attributes:
        verdict: of its budgets, and after them of what it may be worse by than its baseline.
        comparison: with that baseline; None where none was asked for.
        dominated: each candidate, or what ships, that another model of the run beats, with the first such; see
            `points.dominated`.
    """

    report: Report
    verdict: Verdict
    comparison: Comparison | None
    dominated: tuple[tuple[Point, Point], ...]


def reports_at(path: Path) -> tuple[Path, ...]:
    """Return the report.json that *path* is or holds; of a run's folder with several targets each one's.

    Raises:
        BadReport: a folder holds none, or an interrupted run.
    """
    if not path.is_dir():
        return (path,)
    if path.absolute().name.endswith(".partial"):
        raise BadReport(f"{path} holds an interrupted run; a finished one is needed.")
    own = path / "report.json"
    found = (own,) if own.is_file() else tuple(sorted(path.glob("*/report.json")))
    if not found:
        raise BadReport(f"{path} holds no report.json, nor does a folder in it; the folder of a run is needed.")
    return found


def gate(
    reports: Sequence[Report],
    targets: Mapping[str, Target] | None = None,
    profiles: Sequence[Profile] = (),
    *,
    allow_predicted: bool = False,
) -> tuple[Verdict, ...]:
    """Return a verdict for each of *reports*; see `judge_again`."""
    judged = judge_again(reports, targets, profiles, allow_predicted=allow_predicted)
    return tuple(one.verdict for one in judged)


def judge_again(
    reports: Sequence[Report],
    targets: Mapping[str, Target] | None = None,
    profiles: Sequence[Profile] = (),
    *,
    allow_predicted: bool = False,
    baselines: Sequence[Report] | None = None,
    allowance: Allowance | None = None,
) -> tuple[Gated, ...]:
    """Judge each of *reports* anew, on test rows as before.

    By the best measurement there is: one of *profiles* or the recorded one. Without targets, baselines and a profile
    of its student, a report's own verdict must come out again.

    Args:
        targets: budgets to judge by, found by the report's target name; None for the recorded ones.
        profiles: taken of the very student.onnx of a report or a baseline, on its board.
        allow_predicted: judge a latency that was not measured there by the upper bound of its prediction.
        baselines: reports to compare with, one of the same target and data for each; None compares with nothing.
        allowance: what a report may be worse by than its baseline.

    Raises:
        BadConfiguration: a report's target is not among *targets*, a profile is of another model, or a report has
            several baselines.
        BadReport: a recorded verdict does not follow from the report's numbers, a number in one cannot be, or there
            is no budget.
    """
    _check(reports, baselines or (), profiles)
    judged = []
    for report in reports:
        target = report.judged_against if targets is None else find_target(report.target, targets)
        verdict = _verdict(report, target, targets is None, profiles, allow_predicted)
        comparison = None
        if baselines is not None:
            before = partner_of(report, baselines)
            comparison, more = _beside(report, before, target, profiles, allowance or Allowance(), allow_predicted)
            verdict = replace(verdict, judgements=(*verdict.judgements, *more))
        beaten = tuple(pair for pair in dominated(points_of(report)) if pair[0].role in ("candidate", "shipped"))
        judged.append(Gated(report=report, verdict=verdict, comparison=comparison, dominated=beaten))
    return tuple(judged)


def exit_code_of(verdicts: Sequence[Verdict]) -> ExitCode:
    """Return 1 if any verdict is broken, else 5 if any is inconclusive, else 0."""
    codes = {verdict.exit_code for verdict in verdicts}
    if 1 in codes:
        return 1
    return 5 if 5 in codes else 0


def _check(reports: Sequence[Report], baselines: Sequence[Report], profiles: Sequence[Profile]) -> None:
    """Stop where a record cannot be what it says, or a profile is of no student of theirs."""
    known = (*reports, *baselines)
    for report in known:
        check_report(report)
    for baseline in baselines:
        _verdict(baseline, baseline.judged_against, True, (), False)
    students = {report.student_sha256 for report in known}
    for profile in profiles:
        if profile.model_sha256 not in students:
            raise BadConfiguration(
                f"the profile of {profile.model} is of a model with sha256 {profile.model_sha256[:12]}…; "
                f"one of a report's student is needed: {', '.join(sorted(sha[:12] for sha in students))}…"
            )
        if profile.files not in {report.profile.files for report in known}:
            raise BadConfiguration(
                f"the profile of {profile.model} was taken with another preprocessing file than the report's, or"
                " without one; measure with the files of one run, the first of them as --preprocessing."
            )
        check_profile(profile, f"the profile of {profile.model}")


def _best_profile(report: Report, target: Target, profiles: Sequence[Profile]) -> Profile:
    """Return the measurement of the report's student that is worth most on *target*; of equals one of *profiles*."""
    fitting = [profile for profile in profiles if profile.model_sha256 == report.student_sha256]
    ranks = list(Provenance)
    return min((*fitting, report.profile), key=lambda profile: ranks.index(provenance_of(profile, target)))


def _verdict(
    report: Report, target: Target, by_its_own: bool, profiles: Sequence[Profile], allow_predicted: bool
) -> Verdict:
    judge_it = partial(
        judge,
        target,
        profile=_best_profile(report, target, profiles),
        model_bytes=report.student.cost.file_bytes,
        accuracy=report.student.test_accuracy,
        teacher_accuracy=report.best_teacher.test_accuracy,
        goal=report.data.goal,
        mae=report.student.misses.mae if report.student.misses else None,
        foretold=_foretold(report, target),
    )
    verdict = judge_it()
    if not verdict.judgements:
        raise BadReport(f"the report of run {report.run_id} is judged by no budget; at least one is needed.")
    if by_its_own and not any(profile.model_sha256 == report.student_sha256 for profile in profiles):
        _check_follows(report, verdict)
    return judge_it(allow_predicted=True) if allow_predicted else verdict


def _beside(
    report: Report,
    before: Report | None,
    target: Target,
    profiles: Sequence[Profile],
    allowance: Allowance,
    allow_predicted: bool,
) -> tuple[Comparison, tuple[Judgement, ...]]:
    """Compare *report* with its baseline, and judge the differences that *allowance* limits."""
    found: tuple[Difference, ...] = ()
    judged = no_baseline(report, allowance)
    if before is not None:
        after = _best_profile(report, target, profiles)
        found = (
            accuracy_drop(before, report),
            latency_growth(_best_profile(before, target, profiles), after),
            size_growth(before.student.cost, report.student.cost),
        )
        where = provenance_of(after, target)
        judged = tuple(
            judge_elsewhere(one, limit, target=target.name, where=where, allowed=allow_predicted)
            if one.budget == LATENCY and where is not Provenance.MEASURED
            else judge_difference(one, limit)
            for one in found
            if (limit := allowance.limits.get(one.budget)) is not None
        )
    comparison = Comparison(
        target=report.target,
        data=report.data.name,
        run_id=report.run_id,
        baseline=None if before is None else before.run_id,
        differences=found,
    )
    return comparison, judged


def _foretold(report: Report, target: Target) -> tuple[Foretold, ...]:
    """Return what *report* foretells, where that is of *target* as it is now."""
    if _place(target) == _place(report.judged_against):
        return report.foretold
    other = unknown_because("the report's prediction is for another device, runtime, power mode or number of threads.")
    return tuple(replace(one, prediction=other) for one in report.foretold)


def _place(target: Target) -> tuple[object, ...]:
    device = target.device
    return (device.name, device.identity, device.memory_mb, target.runtime, target.threads, target.power_mode)


def _check_follows(report: Report, verdict: Verdict) -> None:
    """Stop where the recorded verdict is not the one that the record's own numbers give."""
    recorded, derived = (
        {one.budget: (one.outcome.value, one.low, one.high) for one in judged.judgements}
        for judged in (report.verdict, verdict)
    )
    denied = sorted(budget for budget in {*recorded, *derived} if recorded.get(budget) != derived.get(budget))
    if report.verdict.target != verdict.target or report.target != verdict.target:
        denied.append("target")
    if denied:
        raise BadReport(
            f"the verdict in the report of run {report.run_id} does not follow from its numbers"
            f" ({', '.join(denied)}); a report as the run wrote it is needed."
        )
