"""A report against its baseline: what is lost, with the noise of both records."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_gate import dropped
from sample_records import make_answers, make_host, make_profile, make_report

from hpmkd_edge.answers import compare_answers
from hpmkd_edge.baseline import (
    ACCURACY,
    Allowance,
    Difference,
    accuracy_drop,
    judge_difference,
    judge_elsewhere,
    latency_growth,
    partner_of,
    size_growth,
)
from hpmkd_edge.bench.comparison import paired_gain
from hpmkd_edge.errors import BadConfiguration, BadReport
from hpmkd_edge.record import Report
from hpmkd_edge.verdict import Outcome, Provenance

REPORT = make_report(profile=make_profile(samples_ns=(1_000_000,) * 100, reference_ns=(300_000,) * 100))


def scored(right_N, *, rows_of: str = "b") -> Report:
    """Return a report of a student that is right on these rows."""
    right_N = np.asarray(right_N, bool)
    labels = np.zeros(len(right_N), int)
    answers = compare_answers(labels, labels, (~right_N).astype(int), ("cat", "dog"), sha256=rows_of * 64)
    student = replace(REPORT.student, test_accuracy=float(right_N.mean()))
    return replace(REPORT, student=student, answers=answers, data=replace(REPORT.data, test_rows=len(right_N)))


def of_values(r2: float, error: float | None, name: str = "1") -> Report:
    """Return a report of values with the standard error of its R²."""
    student = replace(REPORT.student, test_accuracy=r2, test_standard_error=error)
    profile = replace(REPORT.profile, model_sha256=name * 64)
    data = replace(REPORT.data, goal="value")
    return replace(REPORT, student=student, data=data, answers=None, profile=profile, student_sha256=name * 64)


ROWS = st.integers(1, 200).flatmap(lambda n: st.tuples(*[st.lists(st.booleans(), min_size=n, max_size=n)] * 2))
OTHERS = st.sampled_from(["b", "c"])


def ends(found: Difference) -> tuple[float, float, float]:
    assert found.worse is not None
    assert found.low is not None
    assert found.high is not None
    return found.worse, found.low, found.high


@settings(max_examples=50, deadline=None)
@given(ROWS, OTHERS)
def test_changing_places_mirrors_the_drop(rows, other):
    """What one has lost the other has won, with the same doubt; paired or not."""
    before, after = scored(rows[0]), scored(rows[1], rows_of=other)
    (worse, low, high), back = ends(accuracy_drop(before, after)), ends(accuracy_drop(after, before))

    np.testing.assert_allclose((worse, low, high), (-back[0], -back[2], -back[1]), rtol=0, atol=1e-9)
    assert low <= worse + 1e-9 or other == "b"  # the paired interval is drawn a little towards 0


@settings(max_examples=50, deadline=None)
@given(ROWS, OTHERS, st.floats(0, 100))
def test_a_drop_is_judged_as_its_slow_twin_judges_it(rows, other, limit):
    """The twin counts pairs from the bits as text, and solves Wilson's equation."""
    before, after = scored(rows[0]), scored(rows[1], rows_of=other)
    outcome = judge_difference(accuracy_drop(before, after), limit).outcome
    words = {Outcome.MET: "met", Outcome.BROKEN: "broken", Outcome.INCONCLUSIVE: "open"}

    assert words[outcome] == dropped(asdict(after), asdict(before), limit)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_identical_answers_lose_exactly_nothing(right):
    """Met, even where no drop at all is allowed; also without the answers, of the same file on the same rows."""
    report = scored(right)
    for one in (report, replace(report, answers=None)):
        found = accuracy_drop(one, one)

        assert ends(found) == (0, 0, 0)
        assert judge_difference(found, 0.0).outcome is Outcome.MET


def test_the_paired_interval_is_that_of_a_bootstrap_over_rows():
    """On some thousand rows both are normal."""
    generator = np.random.default_rng(0)
    old = generator.random(4000) < 0.9
    new = np.where(generator.random(4000) < 0.03, ~old, old)
    found, drawn = ends(accuracy_drop(scored(old), scored(new))), paired_gain(old, new, seed=0)

    np.testing.assert_allclose(found, (drawn.points, drawn.low, drawn.high), rtol=0, atol=0.06)


def test_the_paired_interval_holds_as_often_as_it_says():
    """In 95 of 100 samples of 150 rows the true drop lies in it, also where few rows differ."""
    generator = np.random.default_rng(0)
    for lost, won in ((0.02, 0.01), (0.1, 0.05)):
        counts = generator.multinomial(150, (lost, won, 1 - lost - won), size=400)
        inside = 0
        for down, up, _ in counts:
            old = np.arange(150) >= up
            new = np.where(np.arange(150) < up, True, np.arange(150) < 150 - down)
            _, low, high = ends(accuracy_drop(scored(old), scored(new)))
            inside += low <= 100 * (lost - won) <= high

        assert inside / 400 > 0.92


def test_newcombe_s_published_example():
    """56 of 70 against 48 of 80: 0.2, from 0.0524 to 0.3339 (Newcombe 1998, table II, method 10)."""
    before, after = scored(np.arange(70) < 56, rows_of="b"), scored(np.arange(80) < 48, rows_of="c")

    np.testing.assert_allclose(ends(accuracy_drop(before, after)), (20.0, 5.24, 33.39), rtol=0, atol=0.006)


def test_values_are_compared_by_their_standard_errors():
    """R² has no counts; without an error nothing can be told."""
    found = accuracy_drop(of_values(0.9, 0.003), of_values(0.88, 0.004, "2"))

    np.testing.assert_allclose(ends(found), (2.0, 2 - 0.98, 2 + 0.98), rtol=0, atol=1e-9)
    unknown = accuracy_drop(of_values(0.9, None), of_values(0.88, 0.004, "2"))
    assert (unknown.worse, judge_difference(unknown, 1.0).outcome) == (None, Outcome.INCONCLUSIVE)
    assert "one has learned classes" in accuracy_drop(REPORT, of_values(0.9, 0.1)).how


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (make_answers(right=4_000), "4,000 of 5,000 answers right and an accuracy of 0.9124"),
        (make_answers(student_right="é"), "cannot be read"),
        (make_answers(student_right=""), "0 bytes were found for 5000 rows; 625 are needed"),
        (replace(make_answers(), rows=0, student_right=""), "has 0 of 0 answers right|cannot be read"),
    ],
)
def test_answers_that_deny_the_accuracy_are_refused(answers, sentence):
    """They would prove anything."""
    with pytest.raises(BadReport, match=sentence):
        accuracy_drop(REPORT, replace(REPORT, answers=answers))


def test_the_same_rows_have_the_same_number():
    """A sha256 is of one set of rows."""
    with pytest.raises(BadReport, match="4 and 5 answers; as many are needed"):
        accuracy_drop(scored([True] * 4), scored([True] * 5))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.7, 1.4), st.floats(0, 40))
def test_a_latency_is_judged_by_its_ratio_to_the_reference(ratio, limit):
    """Twice as slow a machine, with both models, changes nothing."""
    before = make_profile(samples_ns=(1_000_000,) * 100, reference_ns=(300_000,) * 100)
    after = make_profile(samples_ns=(round(2e6 * ratio),) * 100, reference_ns=(600_000,) * 100)
    found = latency_growth(before, after)
    worse, low, high = ends(found)
    outcome = judge_difference(found, limit).outcome

    assert math.isclose(worse, 100 * (ratio - 1), abs_tol=1e-3)
    assert low < worse < high
    assert outcome is (Outcome.BROKEN if low > limit else Outcome.MET if high <= limit else Outcome.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (make_profile(host=make_host(model="Another CPU")), "different machines"),
        (make_profile(runtime_version="1.0"), "different runtimes"),
        (make_profile(threads=4), "different settings"),
        (make_profile(samples_ns=(1_000_000,) * 20), "20 runs; 64 are needed"),
    ],
)
def test_records_that_cannot_be_compared_are_inconclusive(other, sentence):
    """With the sentence that says why; never an error, never 0."""
    found = latency_growth(make_profile(), other)
    judged = judge_difference(found, 10.0)

    assert (found.worse, found.low, found.high) == (None, None, None)
    assert judged.outcome is Outcome.INCONCLUSIVE
    assert sentence in judged.reason


def test_sizes_are_compared_by_bytes():
    """Exactly; a size that is not known is not 0."""
    cost = REPORT.student.cost
    larger, unknown = replace(cost, file_bytes=1_050_000), replace(cost, file_bytes=None)

    assert judge_difference(size_growth(cost, larger), 5.0).outcome is Outcome.MET
    assert judge_difference(size_growth(cost, larger), 4.999).outcome is Outcome.BROKEN
    assert judge_difference(size_growth(cost, unknown), 5.0).outcome is Outcome.INCONCLUSIVE
    assert judge_difference(size_growth(unknown, cost), 5.0).outcome is Outcome.INCONCLUSIVE


INTERVALS = st.tuples(*[st.floats(-50, 50)] * 3).map(sorted)


@given(INTERVALS, st.floats(0, 60), st.floats(0, 60))
def test_a_larger_allowance_never_comes_out_worse(interval, one, other):
    """Met stays met, and what was not broken is not."""
    order = [Outcome.MET, Outcome.INCONCLUSIVE, Outcome.BROKEN]
    low, worse, high = interval
    found = Difference(budget=ACCURACY, before=0.9, after=0.8, worse=worse, low=low, high=high, how="")
    tight, loose = (order.index(judge_difference(found, limit).outcome) for limit in sorted((one, other)))

    assert loose <= tight


@pytest.mark.parametrize("r2", [-1e308, 0.9])
def test_a_difference_beyond_all_numbers_is_inconclusive(r2):
    """It cannot be compared, and breaks nothing: neither a sum nor a file of JSON."""
    found = accuracy_drop(of_values(0.9, 0.01), of_values(r2, 1e308, "2"))

    assert (found.worse, found.low, found.high) == (None, None, None)
    assert judge_difference(found, 1.0).outcome is Outcome.INCONCLUSIVE
    assert "no finite number" in found.how


@pytest.mark.parametrize("allowed", [True, False])
def test_a_growth_on_another_machine_says_nothing_of_the_target(allowed):
    """However small it is: there the same change may be a slowdown."""
    found = latency_growth(make_profile(), make_profile(ms=1.01))
    judged = judge_elsewhere(found, 50.0, target="board", where=Provenance.UNKNOWN, allowed=allowed)

    assert (judged.outcome, judged.provenance, judged.value) == (Outcome.INCONCLUSIVE, Provenance.UNKNOWN, None)


def test_a_growth_in_another_mode_counts_only_where_it_is_allowed():
    """Then by its upper bound, and as predicted."""
    found = latency_growth(make_profile(), make_profile(ms=1.08, reference_ns=(301_000,) * 1000))
    how = {"target": "board", "where": Provenance.TRANSFERRED}
    shut = judge_elsewhere(found, 10.0, allowed=False, **how)
    broken, met = (judge_elsewhere(found, limit, allowed=True, **how) for limit in (10.0, 15.0))

    assert (shut.outcome, shut.value, shut.here) == (Outcome.INCONCLUSIVE, None, found.worse)
    assert "unknown on board, 7.64 % slower" in shut.reason
    assert (broken.outcome, met.outcome) == (Outcome.BROKEN, Outcome.MET)
    assert (met.provenance, met.value, met.high) == (Provenance.PREDICTED, found.high, found.high)


def test_a_baseline_is_of_the_same_target_and_data():
    """By their names; two of them are one too many."""
    other = replace(REPORT, target="jetson")
    foreign = replace(REPORT, data=replace(REPORT.data, name="birds"))

    assert partner_of(REPORT, [other, foreign, REPORT]) is REPORT
    assert partner_of(REPORT, [other, foreign]) is None
    with pytest.raises(BadConfiguration, match=r"on host has 2 baselines, of runs 3f5a9c1d, 3f5a9c1d; one is needed"):
        partner_of(REPORT, [REPORT, REPORT])


@pytest.mark.parametrize("number", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["accuracy_drop", "latency_growth", "size_growth"])
def test_an_allowance_is_a_number_from_0_up(name, number):
    """By the name of its flag."""
    with pytest.raises(BadConfiguration, match=f"--max-{name.replace('_', '-')} is .*; a number from 0 up is needed"):
        Allowance(**{name: number})
