"""Judge recorded runs again: by their own numbers, by other budgets, or with a board's measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from hpmkd_edge.bench.prediction import unknown_because
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.errors import BadConfiguration, BadReport
from hpmkd_edge.foretold import Foretold
from hpmkd_edge.record import Report
from hpmkd_edge.targets import Target, find_target
from hpmkd_edge.verdict import Provenance, Verdict, judge, provenance_of


def gate(
    reports: Sequence[Report],
    targets: Mapping[str, Target] | None = None,
    profiles: Sequence[Profile] = (),
    *,
    allow_predicted: bool = False,
) -> tuple[Verdict, ...]:
    """Return a verdict for each of *reports*.

    Each is judged anew, on test rows as before, by the best measurement there is: one of *profiles* or the
    recorded one.
    Without targets and without a profile of its student, a report's own verdict must come out again.

    Args:
        targets: budgets to judge by, found by the report's target name; None for the recorded ones.
        profiles: taken of the very student.onnx of a report, on its board.
        allow_predicted: judge a latency that was not measured there by the upper bound of its prediction.

    Raises:
        BadConfiguration: a report's target is not among *targets*, or a profile is of another model.
        BadReport: a recorded verdict does not follow from the report's numbers, or there is no budget.
    """
    students = {report.student_sha256 for report in reports}
    for profile in profiles:
        if profile.model_sha256 not in students:
            raise BadConfiguration(
                f"the profile of {profile.model} is of a model with sha256 {profile.model_sha256[:12]}…; "
                f"one of a report's student is needed: {', '.join(sorted(sha[:12] for sha in students))}…"
            )
        if profile.files not in {report.profile.files for report in reports}:
            raise BadConfiguration(
                f"the profile of {profile.model} was taken with another preprocessing file than the report's, or"
                " without one; measure with the files of one run, the first of them as --preprocessing."
            )
    return tuple(_gate_one(report, targets, profiles, allow_predicted) for report in reports)


def exit_code_of(verdicts: Sequence[Verdict]) -> int:
    """Return 1 if any verdict is broken, else 5 if any is inconclusive, else 0."""
    codes = {verdict.exit_code for verdict in verdicts}
    return next((code for code in (1, 5) if code in codes), 0)


def _gate_one(
    report: Report, targets: Mapping[str, Target] | None, profiles: Sequence[Profile], allow_predicted: bool
) -> Verdict:
    fitting = [profile for profile in profiles if profile.model_sha256 == report.student_sha256]
    target = report.judged_against if targets is None else find_target(report.target, targets)
    ranks = list(Provenance)
    best = min((*fitting, report.profile), key=lambda profile: ranks.index(provenance_of(profile, target)))
    judge_again = partial(
        judge,
        target,
        profile=best,
        model_bytes=report.student.cost.file_bytes,
        accuracy=report.student.test_accuracy,
        teacher_accuracy=report.best_teacher.test_accuracy,
        goal=report.data.goal,
        mae=report.student.misses.mae if report.student.misses else None,
        foretold=_foretold(report, target),
    )
    verdict = judge_again()
    if not verdict.judgements:
        raise BadReport(f"the report of run {report.run_id} is judged by no budget; at least one is needed.")
    if targets is None and not fitting:
        _check_follows(report, verdict)
    return judge_again(allow_predicted=True) if allow_predicted else verdict


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
