"""Judge what was measured against a target's budgets, with the provenance of each number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Literal

from hpmkd_edge.accuracy_curve import CurvePoint, least_at
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.foretold import Foretold
from hpmkd_edge.targets import AccuracyLimit, Budgets, Limit, Target

_SCORES: Final = frozenset({"accuracy", "r2", "accuracy_for_size"})
# Budgets that ask for at least their limit; all others ask for at most.
AT_LEAST: Final = _SCORES | {"placement"}

# Accuracies are ratios of counts: 0.92 − 0.02 must not miss 0.90 by a rounding.
TOLERANCE: Final = 1e-9

Goal = Literal["classes", "value"]


class Provenance(str, Enum):
    """Where a number comes from, best first."""

    MEASURED = "measured"
    TRANSFERRED = "transferred"
    PREDICTED = "predicted"
    UNKNOWN = "unknown"


class Outcome(str, Enum):
    """How one budget, or all of them together, came out."""

    MET = "met"
    WARNED = "warned"  # met, but beyond the warn level
    INCONCLUSIVE = "inconclusive"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One budget's answer.

    Attributes:
        budget: as in targets.yaml: "latency_ms.p90", "model_size_mb", "placement", "accuracy", "r2", …; or that of a
            comparison: "accuracy vs baseline", …
        value: the number that was judged (the upper bound for a latency), or None if unknown.
        limit: the fail level, or for accuracy and placement the least that is allowed; same unit
            as value. None where the budget only warns, or hangs on an unknown accuracy.
        warn: the warn level, or None.
        unit: "ms", "MB", "s", "share" (0 to 1), "points", "%" or "".
        here: what this host measured where the value on the target is unknown, else None.
        reason: a phrase, e.g. "unknown on jetson, 0.21 ms p90 on this host".
        low, high: the 90 % interval of what was not measured but predicted; its *value* is the upper bound.
    """

    budget: str
    outcome: Outcome
    provenance: Provenance
    value: float | None
    limit: float | None
    warn: float | None
    unit: str
    here: float | None
    reason: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All budgets of one target, judged."""

    target: str
    judgements: tuple[Judgement, ...]

    @property
    def outcome(self) -> Outcome:
        """Broken if any budget is; else inconclusive if any is; else warned; else met."""
        found = {judgement.outcome for judgement in self.judgements}
        for outcome in (Outcome.BROKEN, Outcome.INCONCLUSIVE, Outcome.WARNED):
            if outcome in found:
                return outcome
        return Outcome.MET

    @property
    def exit_code(self) -> int:
        """0 met or warned, 1 broken, 5 inconclusive."""
        return {Outcome.BROKEN: 1, Outcome.INCONCLUSIVE: 5}.get(self.outcome, 0)


def judge(
    target: Target,
    *,
    profile: Profile | None,
    model_bytes: int | None,
    accuracy: float | None,
    teacher_accuracy: float | None,
    goal: Goal = "classes",
    mae: float | None = None,
    foretold: Sequence[Foretold] = (),
    allow_predicted: bool = False,
) -> Verdict:
    """Judge a model against every budget of *target*. Limits are inclusive; NaN never meets one.

    A budget for classes is never met by values, nor the other way round. But where *target* has no r2, its
    `accuracy.max_drop` is read as points of R² for values, as its reason says.

    Args:
        profile: of the model file, taken on the target or elsewhere; None if not taken.
        model_bytes: of the exported file; its size, as its accuracy, is the same everywhere.
        accuracy, teacher_accuracy: shares on the same rows, of the exported file and the best teacher; of values R².
        goal: what a label is.
        mae: mean absolute error of values on those rows, in the label's units.
        foretold, allow_predicted: see `judge_cost`.
    """
    judgements = judge_cost(
        target, profile=profile, model_bytes=model_bytes, foretold=foretold, allow_predicted=allow_predicted
    ).judgements
    quality = _judge_classes if goal == "classes" else _judge_values
    judgements += quality(target.budgets, accuracy, teacher_accuracy, mae)
    if target.budgets.accuracy_for_size is not None:
        judgements += (_judge_for_size(target.budgets.accuracy_for_size, accuracy, model_bytes),)
    return Verdict(target=target.name, judgements=judgements)


def judge_cost(
    target: Target,
    *,
    profile: Profile | None,
    model_bytes: int | None,
    foretold: Sequence[Foretold] = (),
    allow_predicted: bool = False,
) -> Verdict:
    """Judge every budget but accuracy, as for a probe that was never trained.

    A latency is judged by its upper bound at 99 % confidence. Where the profile is flagged (noisy runs,
    busy host), it counts only if its whole interval lies on one side of the limit.

    Args:
        foretold: of the same file on *target*; it says something only where nothing was measured there.
        allow_predicted: judge what is foretold by its upper bound, instead of leaving it open.
    """
    budgets = target.budgets
    judgements = []
    measured = profile is not None and provenance_of(profile, target) is Provenance.MEASURED
    for latency in budgets.latency_ms:
        p = float(latency.percentile[1:])
        asked = _most(f"latency_ms.{latency.percentile}", "ms", latency.limit, f" {latency.percentile}")
        judged = _judge_profiled(
            asked,
            target,
            profile,
            value=profile.percentile_bound_ms(p) if profile else None,
            best=profile.percentile_lower_bound_ms(p) if profile and profile.flags else None,
            flags=profile.flags if profile else (),
        )
        if foretold and not measured:
            own = next((one for one in foretold if one.percentile == latency.percentile), None)
            judged = _tell(judged, foretold[0]) if own is None else _judge_foretold(asked, judged, own, allow_predicted)
        judgements.append(judged)
    if budgets.peak_memory_mb is not None:
        asked = _most("peak_memory_mb", "MB", budgets.peak_memory_mb)
        memory = profile.peak_memory_mb if profile else None
        judgements.append(_judge_profiled(asked, target, profile, value=memory))
    if budgets.model_size_mb is not None:
        asked = _most("model_size_mb", "MB", budgets.model_size_mb)
        judgements.append(_judge_measured(asked, None if model_bytes is None else model_bytes / 1e6))
    if budgets.placement is not None:
        least, warn = budgets.placement.min_macs_share, budgets.placement.warn_macs_share
        asked = _Budget(name="placement", unit="share", noun=" of the multiply-adds", limit=least, warn=warn)
        share = profile.placement_share if profile else None
        judgements.append(_judge_profiled(asked, target, profile, value=share))
    if budgets.engine_build_s is not None:
        asked = _most("engine_build_s", "s", budgets.engine_build_s)
        build = profile.engine_build_s if profile else None
        judgements.append(_judge_profiled(asked, target, profile, value=build))
    return Verdict(target=target.name, judgements=tuple(judgements))


def provenance_of(profile: Profile, target: Target) -> Provenance:
    """Return what *profile* is worth on *target*.

    Measured: of the target's device, runtime, threads and power mode (any mode, if it sets none).
    Transferred: of that device and runtime, in another power mode or with other threads. Else unknown.
    """
    host = profile.host
    if profile.runtime != target.runtime or not target.device.recognizes(host.model, host.memory_mb):
        return Provenance.UNKNOWN
    if target.power_mode not in (None, host.power_mode) or profile.threads != target.threads:
        return Provenance.TRANSFERRED
    return Provenance.MEASURED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Budget:
    """A budget that asks for an answer; *noun* follows a number in a sentence."""

    name: str
    unit: str
    noun: str
    limit: float | None
    warn: float | None

    def answer(
        self,
        outcome: Outcome,
        reason: str,
        *,
        value: float | None = None,
        here: float | None = None,
        provenance: Provenance = Provenance.MEASURED,
    ) -> Judgement:
        return Judgement(
            budget=self.name,
            outcome=outcome,
            provenance=provenance,
            value=value,
            limit=self.limit,
            warn=self.warn,
            unit=self.unit,
            here=here,
            reason=reason,
        )


def _most(name: str, unit: str, limit: Limit, suffix: str = "") -> _Budget:
    return _Budget(name=name, unit=unit, noun=f" {unit}{suffix}", limit=limit.fail, warn=limit.warn)


def _judge_profiled(
    asked: _Budget,
    target: Target,
    profile: Profile | None,
    *,
    value: float | None,
    best: float | None = None,
    flags: tuple[str, ...] = (),
) -> Judgement:
    """Judge a number of a profile, which may come from another machine than the target."""
    if profile is None:
        return asked.answer(Outcome.INCONCLUSIVE, "not measured", provenance=Provenance.UNKNOWN)
    provenance = provenance_of(profile, target)
    if provenance is Provenance.MEASURED:
        return _judge_measured(asked, value, best=best, flags=flags)
    value = _finite(value)
    seen = "not measured" if value is None else f"{value:.4g}{asked.noun}"
    if provenance is Provenance.TRANSFERRED:
        mode = profile.host.power_mode or "an unknown power mode"
        reason = f"unknown on {target.name}, {seen} on its module in {mode} with {profile.threads} threads"
    else:
        reason = f"unknown on {target.name}, {seen} on this host"
    return asked.answer(Outcome.INCONCLUSIVE, reason, here=value, provenance=provenance)


def _judge_measured(
    asked: _Budget, value: float | None, *, best: float | None = None, flags: tuple[str, ...] = ()
) -> Judgement:
    """Judge *value*; with *flags*, the number may lie anywhere from *best* to *value*."""
    value = _finite(value)
    if value is None:
        reason = " ".join(("not measured:", *flags)) if flags else "not measured"
        return asked.answer(Outcome.INCONCLUSIVE, reason, provenance=Provenance.UNKNOWN)
    outcome = _compare(asked.name, value, asked.limit, asked.warn)
    reason = _reason(asked, outcome, value)
    best = _finite(best)
    if (
        outcome is Outcome.BROKEN
        and flags
        and (best is None or _compare(asked.name, best, asked.limit, None) is not Outcome.BROKEN)
    ):
        outcome = Outcome.INCONCLUSIVE
        low = "?" if best is None else f"{best:.4g}"
        reason = f"between {low} and {value:.4g}{asked.noun}: {' '.join(flags)}"
    return asked.answer(outcome, reason, value=value)


def _judge_foretold(asked: _Budget, judged: Judgement, foretold: Foretold, allowed: bool) -> Judgement:
    """Judge a percentile by what is foretold of it, or leave it open; *judged* is the answer without it."""
    if foretold.interval_ms is None:
        return replace(judged, reason=f"{judged.reason}; {foretold.phrase}")
    low, high = foretold.interval_ms
    if allowed:
        outcome = _compare(asked.name, high, asked.limit, asked.warn)
        reason = f"{foretold.phrase}: {_reason(asked, outcome, high)}"
    else:
        level, word = (asked.warn, "is the warn level") if asked.limit is None else (asked.limit, "allowed")
        outcome, reason = Outcome.INCONCLUSIVE, f"{foretold.phrase}, {level:g} ms {word}"
    return replace(
        judged,
        outcome=outcome,
        provenance=Provenance(foretold.prediction.provenance),
        value=high,
        low=low,
        high=high,
        reason=reason,
    )


def _tell(judged: Judgement, foretold: Foretold) -> Judgement:
    """Add what is foretold of another percentile, which decides nothing."""
    of = "" if foretold.interval_ms is None else f"its {foretold.percentile} is "
    return replace(judged, reason=f"{judged.reason}; {of}{foretold.phrase}")


def _judge_classes(
    budgets: Budgets, accuracy: float | None, teacher: float | None, _mae: float | None
) -> tuple[Judgement, ...]:
    found = [] if budgets.accuracy is None else [_judge_accuracy("accuracy", budgets.accuracy, accuracy, teacher)]
    for name, asked in (("r2", budgets.r2), ("mae", budgets.mae)):
        if asked is not None:
            found.append(_moot(name, "it is for values, and classes are learned"))
    return tuple(found)


def _judge_values(
    budgets: Budgets, r2: float | None, teacher: float | None, mae: float | None
) -> tuple[Judgement, ...]:
    found, accuracy = [], budgets.accuracy
    if budgets.r2 is not None:
        found.append(_judge_accuracy("r2", budgets.r2, r2, teacher))
    elif accuracy is not None and accuracy.max_drop is not None:
        drop = AccuracyLimit(max_drop=accuracy.max_drop)
        judged = _judge_accuracy("accuracy", drop, r2, teacher)
        found.append(replace(judged, reason=f"read as R², since values are learned: {judged.reason}"))
    if accuracy is not None and accuracy.min is not None:
        found.append(_moot("accuracy.min", "it is for classes, and values are learned; r2 is needed"))
    if budgets.mae is not None:
        asked = _Budget(name="mae", unit="", noun="", limit=budgets.mae.max, warn=None)
        found.append(_judge_measured(asked, mae))
    return tuple(found)


def _judge_for_size(curve: tuple[CurvePoint, ...], accuracy: float | None, model_bytes: int | None) -> Judgement:
    """Judge an accuracy, or R², by what the *curve* asks of a file of this size."""
    if model_bytes is None or model_bytes <= 0:
        return _moot("accuracy_for_size", "the file's size is not known")
    size_mb = model_bytes / 1e6
    asked = _Budget(name="accuracy_for_size", unit="share", noun="", limit=least_at(curve, size_mb), warn=None)
    judged = _judge_measured(asked, accuracy)
    if judged.value is None:
        return judged
    return replace(judged, reason=f"{judged.reason}, the least at {size_mb:.4g} MB")


def _moot(name: str, reason: str) -> Judgement:
    """Answer a budget that cannot be judged of such labels, or of such a file."""
    asked = _Budget(name=name, unit="", noun="", limit=None, warn=None)
    return asked.answer(Outcome.INCONCLUSIVE, reason, provenance=Provenance.UNKNOWN)


def _judge_accuracy(name: str, limit: AccuracyLimit, accuracy: float | None, teacher: float | None) -> Judgement:
    accuracy, teacher = _finite(accuracy), _finite(teacher)
    floors = [] if limit.min is None else [limit.min]
    if limit.max_drop is not None and teacher is not None:
        floors.append(teacher - limit.max_drop)
    asked = _Budget(name=name, unit="share", noun="", limit=max(floors, default=None), warn=None)
    judged = _judge_measured(asked, accuracy)
    if limit.max_drop is not None and teacher is None and judged.outcome is Outcome.MET:
        what = "R²" if name == "r2" else name
        reason = f"no teacher's {what} is known; a drop of at most {limit.max_drop:g} is needed"
        return replace(judged, outcome=Outcome.INCONCLUSIVE, reason=reason)
    return judged


def _compare(budget: str, value: float, limit: float | None, warn: float | None) -> Outcome:
    sign = -1 if budget in AT_LEAST else 1
    slack = TOLERANCE if budget in _SCORES else 0.0
    if limit is not None and sign * value > sign * limit + slack:
        return Outcome.BROKEN
    return Outcome.WARNED if warn is not None and sign * value > sign * warn + slack else Outcome.MET


def _reason(asked: _Budget, outcome: Outcome, value: float) -> str:
    beyond, within = ("below", "at least") if asked.name in AT_LEAST else ("above", "at most")
    level = asked.limit if outcome is Outcome.BROKEN or asked.warn is None else asked.warn
    relation = within if outcome is Outcome.MET else beyond
    suffix = ", the warn level" if outcome is Outcome.WARNED else ""
    found = f"{value:.4g}{asked.noun}"
    return found if level is None else f"{found} is {relation} {level:.4g}{suffix}"


def _finite(number: float | None) -> float | None:
    """Return *number*, or None for NaN and infinities, which no comparison can meet."""
    return number if number is not None and math.isfinite(number) else None
