"""Budgets are met, warned of, broken, or cannot be told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_records import BOARD, FULL, HERE, make_foretold, make_host, make_profile, make_target

from hpmkd_edge.accuracy_curve import CurvePoint
from hpmkd_edge.bench.prediction import unknown_because
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.foretold import Foretold
from hpmkd_edge.targets import AccuracyLimit, Budgets, ErrorLimit, LatencyLimit, Limit, PlacementLimit, Target
from hpmkd_edge.verdict import (
    Goal,
    Judgement,
    Outcome,
    Provenance,
    Verdict,
    judge,
    judge_cost,
    provenance_of,
)

ON_BOARD = make_host(model="Maker Board 9 rev 1", memory_mb=7600.0, power_mode="15W")


def latency(fail: float | None, warn: float | None = None) -> Target:
    limit = Limit(fail=fail, warn=warn)
    return make_target(budgets=Budgets(latency_ms=(LatencyLimit(percentile="p90", limit=limit),)))


def only(verdict: Verdict) -> Judgement:
    (judgement,) = verdict.judgements
    return judgement


def judge_latency(target: Target, profile: Profile) -> Judgement:
    return only(judge_cost(target, profile=profile, model_bytes=1))


def judge_accuracy(limit: AccuracyLimit, accuracy: float | None, teacher: float | None) -> Judgement:
    target = make_target(budgets=Budgets(accuracy=limit))
    return only(judge(target, profile=None, model_bytes=1, accuracy=accuracy, teacher_accuracy=teacher))


def test_a_student_exactly_at_every_limit_passes():
    """Limits are inclusive, 0.92 − 0.02 against 0.90 too."""
    budgets = replace(
        FULL,
        latency_ms=(LatencyLimit(percentile="p90", limit=Limit(fail=8.0)),),
        accuracy=AccuracyLimit(min=0.9, max_drop=0.02),
        placement=PlacementLimit(min_macs_share=0.95),
    )
    profile = make_profile(ms=8.0, peak_memory_mb=64.0, placement_share=0.95, engine_build_s=600.0)
    # A share below 1 also flags the latency; the interval of equal samples is a point.
    verdict = judge(
        make_target(budgets=budgets),
        profile=profile,
        model_bytes=4_000_000,
        accuracy=0.9,
        teacher_accuracy=0.92,
    )

    assert len(verdict.judgements) == 6
    assert {judgement.outcome for judgement in verdict.judgements} == {Outcome.MET}
    assert verdict.exit_code == 0


@pytest.mark.parametrize(
    ("budget", "change"),
    [
        ("latency_ms.p90", {"samples_ns": (8_000_001,) * 1000}),
        ("peak_memory_mb", {"peak_memory_mb": 64.01}),
        ("placement", {"placement_share": 0.9499}),
        ("engine_build_s", {"engine_build_s": 601.0}),
        ("model_size_mb", {"model_bytes": 4_000_001}),
    ],
)
def test_a_hair_beyond_one_limit_breaks_that_budget_alone(budget, change):
    """Each number is held to its own limit."""
    good = make_profile(placement_share=1.0, engine_build_s=1.0)
    profile = replace(good, **change)
    verdict = judge_cost(make_target(budgets=FULL), profile=profile, model_bytes=profile.model_bytes)
    broken = [judgement.budget for judgement in verdict.judgements if judgement.outcome is Outcome.BROKEN]

    assert broken == [budget]
    assert verdict.exit_code == 1


def test_beyond_warn_is_warned_and_passes():
    """A warning is told, and does not fail."""
    judged = judge_latency(latency(8.0, 7.0), make_profile(ms=7.5))

    assert judged.outcome is Outcome.WARNED
    assert judged.reason == "7.5 ms p90 is above 7, the warn level"
    assert judge_latency(latency(8.0, 7.0), make_profile(ms=7.0)).outcome is Outcome.MET


def test_a_budget_without_fail_only_warns():
    """However far it is exceeded."""
    judged = judge_latency(latency(None, 1.0), make_profile(ms=500.0))

    assert judged.outcome is Outcome.WARNED
    assert judged.limit is None


def test_placement_warns_from_below():
    """Of the multiply-adds, more is better."""
    target = make_target(budgets=Budgets(placement=PlacementLimit(min_macs_share=0.9, warn_macs_share=0.95)))

    outcomes = [judge_latency(target, make_profile(placement_share=share)).outcome for share in (0.89, 0.9, 0.94, 0.95)]

    assert outcomes == [Outcome.BROKEN, Outcome.WARNED, Outcome.WARNED, Outcome.MET]


@pytest.mark.parametrize(
    ("slow", "outcome"),
    [(9.0, Outcome.INCONCLUSIVE), (6.0, Outcome.MET)],
)
def test_a_flagged_record_counts_only_if_its_whole_interval_lies_on_one_side(slow, outcome):
    """A busy host may have made the bound; 1 in 10 runs is slow, so the p90 is anywhere between."""
    samples = tuple(round(1e6 * (slow if place % 10 == 0 else 5.0)) for place in range(1000))
    profile = make_profile(samples_ns=samples, host=make_host(load_average=99.0))
    judged = judge_latency(latency(8.0), profile)

    assert profile.flags
    assert judged.outcome is outcome
    assert ("load average" in judged.reason) == (outcome is Outcome.INCONCLUSIVE)


def test_a_flagged_record_far_above_its_limit_is_broken():
    """No noise brings it down."""
    busy = make_profile(ms=9.0, host=make_host(load_average=99.0))

    assert judge_latency(latency(8.0), busy).outcome is Outcome.BROKEN


def test_a_valid_record_is_judged_by_its_upper_bound():
    """What a flagged record leaves open, a valid one decides."""
    samples = tuple(round(1e6 * (5.3 if place % 10 == 0 else 5.0)) for place in range(1000))
    profile = make_profile(samples_ns=samples)

    assert not profile.flags
    assert judge_latency(latency(5.2), profile).outcome is Outcome.BROKEN
    assert judge_latency(latency(5.2), profile).value == profile.percentile_bound_ms(90)


def test_too_few_runs_tell_nothing():
    """A percentile that the runs do not support is not extrapolated."""
    judged = judge_latency(latency(8.0), make_profile(samples_ns=(1_000_000,) * 63))

    assert judged.outcome is Outcome.INCONCLUSIVE
    assert judged.value is None
    assert "63 runs" in judged.reason


@pytest.mark.parametrize(
    ("runtime", "threads", "host", "provenance"),
    [
        ("onnxruntime", 1, ON_BOARD, Provenance.MEASURED),
        ("onnxruntime", 1, replace(ON_BOARD, power_mode="7W"), Provenance.TRANSFERRED),
        ("onnxruntime", 1, replace(ON_BOARD, power_mode=None), Provenance.TRANSFERRED),
        ("onnxruntime", 4, ON_BOARD, Provenance.TRANSFERRED),
        ("tensorrt", 1, ON_BOARD, Provenance.UNKNOWN),
        ("onnxruntime", 1, replace(ON_BOARD, memory_mb=3900.0), Provenance.UNKNOWN),
        ("onnxruntime", 1, make_host(), Provenance.UNKNOWN),
    ],
)
def test_provenance_follows_device_mode_and_runtime(runtime, threads, host, provenance):
    """Measured is this device, mode and runtime; another mode is transferred; all else unknown."""
    target = make_target(device=BOARD, power_mode="15W")

    assert provenance_of(make_profile(runtime=runtime, threads=threads, host=host), target) is provenance


def test_any_machine_is_the_host():
    """The target `host` is wherever the tool runs; a target without a power mode takes any."""
    assert provenance_of(make_profile(), make_target()) is Provenance.MEASURED
    assert provenance_of(make_profile(host=ON_BOARD), make_target(device=BOARD)) is Provenance.MEASURED


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (make_host(), "unknown on board, 1 ms p90 on this host"),
        (replace(ON_BOARD, power_mode="7W"), "unknown on board, 1 ms p90 on its module in 7W with 1 threads"),
    ],
)
def test_a_number_from_elsewhere_is_shown_and_not_judged(host, reason):
    """Neither pass nor fail, even where it is far beyond the limit."""
    target = replace(latency(0.5), name="board", device=BOARD, power_mode="15W")
    judged = judge_latency(target, make_profile(host=host))

    assert judged.outcome is Outcome.INCONCLUSIVE
    assert (judged.value, judged.here) == (None, 1.0)
    assert judged.reason == reason


def test_size_and_accuracy_are_the_same_everywhere():
    """A file's size and its answers do not hang on the board."""
    verdict = judge(
        make_target(device=BOARD), profile=make_profile(), model_bytes=1, accuracy=0.9, teacher_accuracy=0.9
    )
    found = {judgement.budget: judgement for judgement in verdict.judgements}

    assert found["model_size_mb"].provenance is Provenance.MEASURED
    assert found["accuracy"].outcome is Outcome.MET
    assert verdict.exit_code == 5


@pytest.mark.parametrize(
    ("limit", "accuracy", "teacher", "outcome"),
    [
        (AccuracyLimit(max_drop=0.02), 0.9, 0.92, Outcome.MET),
        (AccuracyLimit(max_drop=0.02), 0.899, 0.92, Outcome.BROKEN),
        (AccuracyLimit(min=0.95, max_drop=0.02), 0.92, 0.92, Outcome.BROKEN),
        (AccuracyLimit(min=0.8), 0.9, None, Outcome.MET),
        (AccuracyLimit(max_drop=0.02), 0.9, None, Outcome.INCONCLUSIVE),
        (AccuracyLimit(min=0.8, max_drop=0.02), 0.9, None, Outcome.INCONCLUSIVE),
        (AccuracyLimit(min=0.95, max_drop=0.02), 0.9, None, Outcome.BROKEN),
        (AccuracyLimit(max_drop=0.02), 0.9, float("nan"), Outcome.INCONCLUSIVE),
        (AccuracyLimit(min=0.0), float("nan"), 0.9, Outcome.INCONCLUSIVE),
        (AccuracyLimit(min=0.0), None, 0.9, Outcome.INCONCLUSIVE),
    ],
)
def test_accuracy_must_keep_all_of_its_limits(limit, accuracy, teacher, outcome):
    """A floor, a drop against the teacher, or both; what is missing cannot be met."""
    assert judge_accuracy(limit, accuracy, teacher).outcome is outcome


@pytest.mark.parametrize("number", [float("nan"), float("inf"), None])
def test_a_number_that_is_none_is_never_met(number):
    """NaN compares false with everything; it must not pass for that."""
    profile = make_profile(peak_memory_mb=number, placement_share=number, engine_build_s=number)
    verdict = judge_cost(make_target(budgets=replace(FULL, latency_ms=())), profile=profile, model_bytes=None)

    assert {judgement.outcome for judgement in verdict.judgements} == {Outcome.INCONCLUSIVE}
    assert {judgement.reason for judgement in verdict.judgements} == {"not measured"}


def test_without_a_profile_costs_are_inconclusive():
    """Nothing was measured, so nothing is known."""
    verdict = judge_cost(make_target(device=HERE), profile=None, model_bytes=1)

    assert [judgement.outcome for judgement in verdict.judgements] == [
        Outcome.INCONCLUSIVE,
        Outcome.INCONCLUSIVE,
        Outcome.MET,
    ]


FLAGS = st.sampled_from([0.0, 99.0])
SAMPLES = st.lists(st.integers(1, 20_000_000), min_size=100, max_size=300).map(tuple)


@settings(max_examples=60, deadline=None)
@given(samples=SAMPLES, load=FLAGS, limits=st.tuples(st.floats(0.001, 30), st.floats(0.001, 30)))
def test_loosening_a_budget_never_breaks_it_and_tightening_never_meets_it(samples, load, limits):
    """Outcomes are ordered as limits are, whether the record is flagged or not."""
    profile = make_profile(samples_ns=samples, host=make_host(load_average=load))
    order = [Outcome.MET, Outcome.INCONCLUSIVE, Outcome.BROKEN]
    loose, tight = (
        order.index(judge_latency(latency(limit), profile).outcome) for limit in sorted(limits, reverse=True)
    )

    assert loose <= tight


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_allowed_drop_never_breaks_accuracy(accuracy, teacher, drop, other):
    """As for costs."""
    loose, tight = sorted((drop, other), reverse=True)
    if judge_accuracy(AccuracyLimit(max_drop=tight), accuracy, teacher).outcome is Outcome.MET:
        assert judge_accuracy(AccuracyLimit(max_drop=loose), accuracy, teacher).outcome is Outcome.MET


def judge_quality(budgets: Budgets, **given: object) -> list[tuple[str, Outcome]]:
    measured = {"accuracy": 0.75, "teacher_accuracy": 0.76, "goal": "value", "mae": 3.5} | given
    verdict = judge(make_target(budgets=budgets), profile=None, model_bytes=1, **measured)  # type: ignore[arg-type]
    return [(judgement.budget, judgement.outcome) for judgement in verdict.judgements]


def test_values_are_judged_by_r2_and_mae():
    """Limits are inclusive; what is unknown is inconclusive."""
    budgets = Budgets(r2=AccuracyLimit(min=0.75), mae=ErrorLimit(max=3.5))

    assert judge_quality(budgets) == [("r2", Outcome.MET), ("mae", Outcome.MET)]
    assert judge_quality(budgets, accuracy=0.74, mae=3.6) == [("r2", Outcome.BROKEN), ("mae", Outcome.BROKEN)]
    assert judge_quality(budgets, accuracy=None, mae=None) == [
        ("r2", Outcome.INCONCLUSIVE),
        ("mae", Outcome.INCONCLUSIVE),
    ]


def test_a_drop_of_accuracy_is_one_of_r2_where_values_have_no_other_budget():
    """With r2 it is left to that; a least accuracy says nothing of values."""
    drop, both = AccuracyLimit(max_drop=0.02), AccuracyLimit(max_drop=0.02, min=0.9)

    assert judge_quality(Budgets(accuracy=drop)) == [("accuracy", Outcome.MET)]
    assert judge_quality(Budgets(accuracy=drop), accuracy=0.7) == [("accuracy", Outcome.BROKEN)]
    assert judge_quality(Budgets(accuracy=drop, r2=AccuracyLimit(min=0.8))) == [("r2", Outcome.BROKEN)]
    assert judge_quality(Budgets(accuracy=both)) == [
        ("accuracy", Outcome.MET),
        ("accuracy.min", Outcome.INCONCLUSIVE),
    ]


def test_budgets_of_values_are_never_met_by_classes():
    """Nor broken: they say nothing of them."""
    budgets = Budgets(r2=AccuracyLimit(min=0.1), mae=ErrorLimit(max=1e9))

    assert judge_quality(budgets, goal="classes", mae=None) == [
        ("r2", Outcome.INCONCLUSIVE),
        ("mae", Outcome.INCONCLUSIVE),
    ]


FAR = {"name": "board", "device": BOARD}


def judge_foretold(
    limit: float, *foretold: Foretold, allowed: bool = True, profile: Profile | None = None
) -> Judgement:
    target = replace(latency(limit), **FAR)  # type: ignore[arg-type]
    profile = profile or make_profile()
    return only(judge_cost(target, profile=profile, model_bytes=1, foretold=foretold, allow_predicted=allowed))


def test_what_is_foretold_is_shown_with_its_interval_and_left_open():
    """It is no measurement: inconclusive, on whichever side of the limit it lies."""
    judged = judge_foretold(8.0, make_foretold(2.5, 3.1, 4.2), allowed=False)

    assert (judged.outcome, judged.provenance) == (Outcome.INCONCLUSIVE, Provenance.PREDICTED)
    assert (judged.low, judged.value, judged.high, judged.here) == (2.5, 4.2, 4.2, 1.0)
    assert judged.reason == "predicted 3.1 ms (2.5 to 4.2) from 8 records, 8 ms allowed"
    assert judge_foretold(2.0, make_foretold(2.5, 3.1, 4.2), allowed=False).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("limit", "outcome"), [(4.2, Outcome.MET), (4.19, Outcome.BROKEN), (3.1, Outcome.BROKEN)])
def test_where_it_is_allowed_the_upper_bound_is_judged(limit, outcome):
    """Exactly at the limit is met; below it the number in the middle does not help."""
    judged = judge_foretold(limit, make_foretold(2.5, 3.1, 4.2))

    assert (judged.outcome, judged.provenance) == (outcome, Provenance.PREDICTED)
    assert judged.reason.startswith("predicted 3.1 ms (2.5 to 4.2) from 8 records: 4.2 ms p90 is ")


INTERVAL = st.tuples(*[st.floats(0.001, 100)] * 3).map(sorted)


@given(INTERVAL, INTERVAL, st.floats(0.001, 100))
def test_a_higher_upper_bound_never_comes_out_better(first, second, limit):
    """Outcomes are ordered as upper bounds are, whatever lies below them."""
    order = [Outcome.MET, Outcome.BROKEN]
    near, far = (
        order.index(judge_foretold(limit, make_foretold(*one)).outcome)
        for one in sorted((first, second), key=lambda one: one[2])
    )

    assert near <= far


HOSTS = [
    (make_host(), Provenance.PREDICTED),
    (replace(ON_BOARD, power_mode="7W"), Provenance.PREDICTED),
    (ON_BOARD, Provenance.MEASURED),
]


@given(host=st.sampled_from(HOSTS), interval=INTERVAL, limit=st.floats(0.001, 100), load=st.sampled_from([0.0, 99.0]))
def test_a_prediction_never_overrides_a_measurement(host, interval, limit, load):
    """Not a noisy one either; it speaks only where nothing was measured on the target, in its mode."""
    machine, provenance = host
    target = replace(latency(limit), power_mode="15W", **FAR)
    profile = make_profile(host=replace(machine, load_average=load))
    foretold = (make_foretold(*interval),)
    asked = {"profile": profile, "model_bytes": 1}
    judged = only(judge_cost(target, **asked, foretold=foretold, allow_predicted=True))

    assert judged.provenance is provenance
    if provenance is Provenance.MEASURED:
        assert judged == only(judge_cost(target, **asked))


def test_the_median_of_others_is_judged_as_such_and_decides_no_other_percentile():
    """Transferred, in its interval; of a p90 it is told, which stays unknown."""
    found = make_foretold(1.2, 3.1, 9.8, provenance="transferred", percentile="p50", source="published figures")
    median, tail = judge_cost(
        make_target(device=BOARD, budgets=replace(FULL, peak_memory_mb=None, placement=None, engine_build_s=None)),
        profile=make_profile(),
        model_bytes=1,
        foretold=(found,),
        allow_predicted=True,
    ).judgements[:2]

    assert (median.outcome, median.provenance) == (Outcome.WARNED, Provenance.TRANSFERRED)
    assert (tail.outcome, tail.provenance, tail.value) == (Outcome.INCONCLUSIVE, Provenance.UNKNOWN, None)
    assert tail.reason == (
        "unknown on board, 1 ms p90 on this host; its p50 is transferred 3.1 ms (1.2 to 9.8) from published figures"
    )


@pytest.mark.parametrize("allowed", [False, True])
def test_what_cannot_be_foretold_says_why_and_stays_open(allowed):
    """Outside the records, or too few of them: neither pass nor fail."""
    none = Foretold(percentile="p90", source="4 records", prediction=unknown_because("5 are needed."))
    judged = judge_foretold(1e9, none, allowed=allowed)

    assert (judged.outcome, judged.provenance, judged.value) == (Outcome.INCONCLUSIVE, Provenance.UNKNOWN, None)
    assert judged.reason == "unknown on board, 1 ms p90 on this host; not predicted: 5 are needed"


CURVE = (CurvePoint(model_size_mb=0.1, min=0.85), CurvePoint(model_size_mb=1.0, min=0.9))


def judge_for_size(model_bytes: int | None, accuracy: float | None, goal: Goal = "classes") -> Judgement:
    target = make_target(budgets=Budgets(accuracy_for_size=CURVE))
    return only(
        judge(target, profile=None, model_bytes=model_bytes, accuracy=accuracy, teacher_accuracy=None, goal=goal)
    )


@pytest.mark.parametrize("goal", ["classes", "value"])
@pytest.mark.parametrize(
    ("model_bytes", "accuracy", "outcome", "limit"),
    [
        (50_000, 0.85, Outcome.MET, 0.85),
        (50_000, 0.849, Outcome.BROKEN, 0.85),
        (1_000_000, 0.89, Outcome.BROKEN, 0.9),
        (9_000_000, 0.9, Outcome.MET, 0.9),
        (50_000, None, Outcome.INCONCLUSIVE, 0.85),
        (None, 0.99, Outcome.INCONCLUSIVE, None),
        (0, 0.99, Outcome.INCONCLUSIVE, None),
    ],
)
def test_a_larger_file_must_be_more_accurate(goal, model_bytes, accuracy, outcome, limit):
    """By the limit at its own size; of classes, and of values by R²."""
    judged = judge_for_size(model_bytes, accuracy, goal)

    assert (judged.budget, judged.outcome, judged.limit) == ("accuracy_for_size", outcome, limit)


def test_the_reason_says_which_size_asks_for_it():
    """The limit is of that file alone."""
    assert judge_for_size(1_000_000, 0.89).reason == "0.89 is below 0.9, the least at 1 MB"


@given(st.floats(0, 1), st.integers(1, 10**8), st.integers(1, 10**8))
def test_a_smaller_file_of_the_same_accuracy_never_comes_out_worse(accuracy, one, other):
    """The curve does not fall."""
    order = [Outcome.MET, Outcome.BROKEN]
    small, large = (order.index(judge_for_size(size, accuracy).outcome) for size in sorted((one, other)))

    assert small <= large
