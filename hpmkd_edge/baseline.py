"""Whether a report is worse than its baseline, by what their two records can tell apart."""

# Shape suffixes: N = test rows.

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hpmkd_edge.answers import right_in
from hpmkd_edge.bench.change import change_between
from hpmkd_edge.bench.comparison import NORMAL_95
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.errors import BadConfiguration, BadReport
from hpmkd_edge.record import AnswersRecord, Cost, Report
from hpmkd_edge.verdict import TOLERANCE, Judgement, Outcome, Provenance

ACCURACY: Final = "accuracy vs baseline"
LATENCY: Final = "latency vs baseline"
SIZE: Final = "size vs baseline"
UNITS: Final = {ACCURACY: "points", LATENCY: "%", SIZE: "%"}
_WORDS: Final = {ACCURACY: ("lower", "higher"), LATENCY: ("slower", "faster"), SIZE: ("larger", "smaller")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """By how much a report may be worse than its baseline; each limit is allowed itself.

    Attributes:
        accuracy_drop: in points, hundredths of accuracy or of R².
        latency_growth, size_growth: in percent; the size is not judged where that is None.
    """

    accuracy_drop: float = 1.0
    latency_growth: float = 10.0
    size_growth: float | None = None

    def __post_init__(self) -> None:
        for flag, number in (
            ("--max-accuracy-drop", self.accuracy_drop),
            ("--max-latency-growth", self.latency_growth),
            ("--max-size-growth", self.size_growth),
        ):
            if number is not None and not 0 <= number < math.inf:
                raise BadConfiguration(f"{flag} is {number:g}; a number from 0 up is needed.")

    @property
    def limits(self) -> dict[str, float]:
        """What is judged, by the name of its budget."""
        asked = {ACCURACY: self.accuracy_drop, LATENCY: self.latency_growth, SIZE: self.size_growth}
        return {budget: limit for budget, limit in asked.items() if limit is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much worse a report is than its baseline in one respect.

    Attributes:
        budget: "accuracy vs baseline", "latency vs baseline" or "size vs baseline".
        before, after: accuracies as shares, or R²; medians in ms; sizes in MB. None is what was not recorded.
        worse: points lost, or percent grown; negative where it is better; None where the records cannot be compared.
        low, high: its 95 % interval.
        how: a phrase: by what they were compared, or why they cannot be.
    """

    budget: str
    before: float | None
    after: float | None
    worse: float | None = None
    low: float | None = None
    high: float | None = None
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A report beside its baseline; *run_id* and *baseline* are the runs', the latter None where there is none."""

    target: str
    data: str
    run_id: str
    baseline: str | None
    differences: tuple[Difference, ...]


def partner_of(report: Report, baselines: Sequence[Report]) -> Report | None:
    """Return the baseline of *report*: of its target and its data, by their names.

    Raises:
        BadConfiguration: there are several.
    """
    found = [one for one in baselines if (one.target, one.data.name) == (report.target, report.data.name)]
    if len(found) > 1:
        runs = ", ".join(one.run_id for one in found)
        where = f"{report.data.name} on {report.target}"
        raise BadConfiguration(f"{where} has {len(found)} baselines, of runs {runs}; one is needed.")
    return found[0] if found else None


def accuracy_drop(before: Report, after: Report) -> Difference:
    """Return the points that *after* has lost on test rows.

    Of the very same rows the answers are paired, row by row; else both accuracies are taken for independent, which they
    are at most: the interval is then wider than it need be. That of R² is by both standard errors, and a little too
    narrow where the labels have a long tail; see `grading.standard_error`.

    Raises:
        BadReport: recorded answers are not those that the recorded accuracy is of.
    """
    old, new = before.student.test_accuracy, after.student.test_accuracy
    points = 100 * (old - new)
    low: float | None
    high: float | None
    if before.data.goal != after.data.goal:
        return _difference(ACCURACY, old, new, how="one has learned classes and the other values")
    if before.answers is not None and after.answers is not None and before.answers.sha256 == after.answers.sha256:
        low, high, how = _paired(before, before.answers, after, after.answers)
    elif old == new and _is_repeated(before, after):
        low, high, how = 0.0, 0.0, "the same file on the same rows"
    elif after.data.goal == "classes":
        low, high = _newcombe(old, before.data.test_rows, new, after.data.test_rows)
        how = f"{before.data.test_rows:,} and {after.data.test_rows:,} rows, unpaired"
    else:
        errors = before.student.test_standard_error, after.student.test_standard_error
        if errors[0] is None or errors[1] is None:
            return _difference(ACCURACY, old, new, how="one of the records has no standard error of its R²")
        half = 100 * NORMAL_95 * math.hypot(errors[0], errors[1])
        low, high, how = points - half, points + half, "by both standard errors"
    return _difference(ACCURACY, old, new, (points, low, high), how=how)


def latency_growth(before: Profile, after: Profile) -> Difference:
    """Return by how many percent the median of *after* is longer; see `bench.change`."""
    try:
        change = change_between(before, after)
    except BadConfiguration as error:
        return _difference(LATENCY, before.p50_ms, after.p50_ms, how=str(error).rstrip("."))
    worse = 100 * (change.ratio - 1), 100 * (change.low - 1), 100 * (change.high - 1)
    how = "timed in turn" if change.interleaved else "each over its record's reference model"
    return _difference(LATENCY, before.p50_ms, after.p50_ms, worse, how=how)


def size_growth(before: Cost, after: Cost) -> Difference:
    """Return by how many percent the model file is larger."""
    old, new = (None if size is None else size / 1e6 for size in (before.file_bytes, after.file_bytes))
    if old is None or new is None:
        return _difference(SIZE, old, new, how="a file's size was not recorded")
    worse = 100 * (new - old) / old
    return _difference(SIZE, old, new, (worse, worse, worse), how="bytes of the files")


def judge_difference(found: Difference, limit: float) -> Judgement:
    """Judge *found*: broken if its whole interval is above *limit*, met if none of it is, else inconclusive."""
    if found.worse is None or found.low is None or found.high is None:
        return _judgement(found.budget, limit, Outcome.INCONCLUSIVE, found.how, provenance=Provenance.UNKNOWN)
    if found.low > limit + TOLERANCE:
        outcome = Outcome.BROKEN
    else:
        outcome = Outcome.MET if found.high <= limit + TOLERANCE else Outcome.INCONCLUSIVE
    allowed = f"at most {limit:g} allowed"
    if outcome is Outcome.INCONCLUSIVE:
        allowed += ", which it may or may not be above"
    return _judgement(found.budget, limit, outcome, f"{worded(found)}, {allowed}", value=found.worse)


def judge_elsewhere(found: Difference, limit: float, *, target: str, where: Provenance, allowed: bool) -> Judgement:
    """Judge a latency that grew elsewhere than on the target as it is set up.

    Args:
        where: what the records are worth on *target*. Of another machine than its device they say nothing of it.
        allowed: to take the growth in another mode of that device for that in the target's, by its upper bound.
    """
    judged = judge_difference(found, limit)
    if found.worse is None or found.high is None:
        return judged
    if allowed and where is Provenance.TRANSFERRED:
        outcome = Outcome.BROKEN if found.high > limit + TOLERANCE else Outcome.MET
        reason = f"predicted from another mode of {target}'s device: {worded(found)}, at most {limit:g} allowed"
        return Judgement(
            budget=found.budget,
            outcome=outcome,
            provenance=Provenance.PREDICTED,
            value=found.high,
            limit=limit,
            warn=None,
            unit=UNITS[found.budget],
            here=found.worse,
            reason=reason,
            low=found.low,
            high=found.high,
        )
    reason = f"unknown on {target}, {worded(found)} where both were measured"
    return _judgement(found.budget, limit, Outcome.INCONCLUSIVE, reason, here=found.worse, provenance=where)


def no_baseline(report: Report, allowance: Allowance) -> tuple[Judgement, ...]:
    """Answer each budget of *allowance* for a report that has no baseline."""
    reason = f"no baseline of {report.data.name} on {report.target}"
    return tuple(
        _judgement(budget, limit, Outcome.INCONCLUSIVE, reason, provenance=Provenance.UNKNOWN)
        for budget, limit in allowance.limits.items()
    )


def worded(found: Difference) -> str:
    """Return by how much it is worse, with the interval, as a phrase."""
    if found.worse is None or found.low is None or found.high is None:
        return found.how
    if found.worse == found.low == found.high == 0:
        return f"unchanged ({found.how})"
    unit, (worse, better) = UNITS[found.budget], _WORDS[found.budget]
    amount = f"{abs(found.worse):.3g} {unit} {worse if found.worse >= 0 else better}"
    if found.low == found.high:
        return amount
    return f"{amount} (95 % from {found.low:+.3g} to {found.high:+.3g}; {found.how})"


def _difference(
    budget: str,
    before: float | None,
    after: float | None,
    worse: tuple[float, float, float] | None = None,
    *,
    how: str,
) -> Difference:
    if worse is not None and not all(map(math.isfinite, worse)):
        worse, how = None, "their difference is no finite number, and cannot be compared"
    amount, low, high = worse or (None, None, None)
    return Difference(budget=budget, before=before, after=after, worse=amount, low=low, high=high, how=how)


def _judgement(
    budget: str,
    limit: float,
    outcome: Outcome,
    reason: str,
    *,
    value: float | None = None,
    here: float | None = None,
    provenance: Provenance = Provenance.MEASURED,
) -> Judgement:
    return Judgement(
        budget=budget,
        outcome=outcome,
        provenance=provenance,
        value=value,
        limit=limit,
        warn=None,
        unit=UNITS[budget],
        here=here,
        reason=reason,
    )


def _is_repeated(before: Report, after: Report) -> bool:
    """Tell whether both scored the same files on the same rows."""
    data = [(one.data.sha256, one.data.split_rule, one.data.test_rows, one.seed) for one in (before, after)]
    return before.profile.files == after.profile.files and data[0] == data[1]


def _paired(before: Report, old: AnswersRecord, after: Report, new: AnswersRecord) -> tuple[float, float, str]:
    """Return the 95 % interval of the points lost on the same rows, and how it was taken.

    It is that of Bonett and Price (Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on
    Paired Data, 2012): closed, so that it comes out the same each time, and mirrored where the two change places.
    """
    old_N, new_N = right_in(before, old), right_in(after, new)
    if len(old_N) != len(new_N):
        raise BadReport(
            f"the reports of runs {before.run_id} and {after.run_id} name the same rows, and have"
            f" {len(old_N):,} and {len(new_N):,} answers; as many are needed."
        )
    rows = len(old_N)
    lost, won = int((old_N & ~new_N).sum()), int((new_N & ~old_N).sum())
    how = f"{rows:,} rows, paired; {lost} lost and {won} won"
    if lost == won == 0:
        return 0.0, 0.0, how
    down, up = (lost + 1) / (rows + 2), (won + 1) / (rows + 2)
    half = NORMAL_95 * math.sqrt((down + up - (down - up) ** 2) / (rows + 2))
    return 100 * (down - up - half), 100 * (down - up + half), how


def _newcombe(old: float, old_rows: int, new: float, new_rows: int) -> tuple[float, float]:
    """Return the 95 % interval of the points lost between two independent samples of rows.

    Source: Newcombe, Interval Estimation for the Difference Between Independent Proportions, 1998, method 10: Wilson's
    intervals of both, set together. It does not vanish where a model has all rows right.
    """
    (old_low, old_high), (new_low, new_high) = _wilson(old, old_rows), _wilson(new, new_rows)
    away = old - new
    return (
        100 * (away - math.hypot(old - old_low, new_high - new)),
        100 * (away + math.hypot(old_high - old, new - new_low)),
    )


def _wilson(share: float, rows: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of *rows*."""
    square = NORMAL_95**2 / rows
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return middle - half, middle + half
