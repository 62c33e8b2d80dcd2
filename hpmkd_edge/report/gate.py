"""Judge recorded runs again: by their own numbers, by other budgets, with a board's measurement, beside a baseline."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from hpmkd_edge.verdict import TOLERANCE, Judgement, Provenance, Verdict, judge, provenance_of

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

    By the best measurement there is: one of *profiles* or the recorded one. Before it is judged by anything else, a
    report's own verdict must come out again of its own numbers, and so must that of a baseline that is one's.

    Args:
        targets: budgets to judge by, found by the report's target name; None for the recorded ones.
        profiles: taken of the very student.onnx of a report or a baseline, on its board.
        allow_predicted: judge a latency that was not measured there by the upper bound of its prediction.
        baselines: reports to compare with, one of the same target and data for each; None compares with nothing.
        allowance: what a report may be worse by than its baseline.

    Raises:
        BadConfiguration: a report's target is not among *targets*, a profile is of another model, or a report has
            several baselines, or several profiles that are worth the same on its target.
        BadReport: a recorded verdict does not follow from the report's numbers, a number in one cannot be, or there
            is no budget.
    """
    partners = [partner_of(report, baselines or ()) for report in reports]
    for known in (*reports, *filter(None, partners)):
        check_report(known)
        _check_follows(known)
    _check_profiles(profiles, (*reports, *(baselines or ())))
    judged = []
    for report, before in zip(reports, partners, strict=True):
        target = report.judged_against if targets is None else find_target(report.target, targets)
        verdict = _verdict(report, target, _best_profile(report, target, profiles), allow_predicted=allow_predicted)
        comparison = None
        if baselines is not None:
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


def _check_profiles(profiles: Sequence[Profile], known: Sequence[Report]) -> None:
    """Stop where a profile is of no student of the *known* reports, or holds a number that cannot be."""
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
    """Return the measurement of the report's student that is worth most on *target*.

    Of equals it is one of *profiles*; the report's own stays where none of them says anything of *target*.

    Raises:
        BadConfiguration: several of *profiles* are worth most.
    """
    fitting = [profile for profile in profiles if profile.model_sha256 == report.student_sha256]
    for worth in (Provenance.MEASURED, Provenance.TRANSFERRED):
        best = [profile for profile in fitting if provenance_of(profile, target) is worth]
        if len(best) > 1:
            taken = " and ".join(f"on {one.host.name} at {one.taken_at}" for one in best)
            raise BadConfiguration(
                f"the student of run {report.run_id} has {len(best)} profiles that are {worth.value} on {target.name},"
                f" taken {taken}; one is needed."
            )
        if best:
            return best[0]
        if provenance_of(report.profile, target) is worth:
            break
    return report.profile


def _verdict(report: Report, target: Target, profile: Profile, *, allow_predicted: bool = False) -> Verdict:
    verdict = judge(
        target,
        profile=profile,
        model_bytes=report.student.cost.file_bytes,
        accuracy=report.student.test_accuracy,
        teacher_accuracy=report.best_teacher.test_accuracy,
        goal=report.data.goal,
        mae=report.student.misses.mae if report.student.misses else None,
        foretold=_foretold(report, target),
        allow_predicted=allow_predicted,
    )
    if not verdict.judgements:
        raise BadReport(f"the report of run {report.run_id} is judged by no budget; at least one is needed.")
    return verdict


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


def _check_follows(report: Report) -> None:
    """Stop where the recorded verdict is not the one that the record's own numbers give."""
    verdict = _verdict(report, report.judged_against, report.profile)
    recorded, derived = map(_by_budget, (report.verdict, verdict))
    denied = sorted(
        budget
        for budget in {*recorded, *derived}
        if len(recorded[budget]) != len(derived[budget]) or not all(map(_agree, recorded[budget], derived[budget]))
    )
    if report.verdict.target != verdict.target or report.target != verdict.target:
        denied.append("target")
    if denied:
        raise BadReport(
            f"the verdict in the report of run {report.run_id} does not follow from its numbers"
            f" ({', '.join(denied)}); a report as the run wrote it is needed."
        )


def _by_budget(verdict: Verdict) -> defaultdict[str, list[Judgement]]:
    """Return the answers to each budget: one, but in a report that names a budget twice."""
    found = defaultdict[str, list[Judgement]](list)
    for one in verdict.judgements:
        found[one.budget].append(one)
    return found


def _agree(one: Judgement, other: Judgement) -> bool:
    """Tell whether two answers to a budget say the same; numbers may differ by a rounding."""
    if (one.outcome, one.provenance) != (other.outcome, other.provenance):
        return False
    pairs = zip(_numbers(one), _numbers(other), strict=True)
    return all(
        a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE))
        for a, b in pairs
    )


def _numbers(one: Judgement) -> tuple[float | None, ...]:
    return (one.value, one.limit, one.warn, one.here, one.low, one.high)
