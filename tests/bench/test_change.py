"""A change is one where the whole interval says so; what cannot be told is said to be so."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.bench.change import Change, change_between
from hpmkd_edge.bench.profile import Preprocessing, Shape
from hpmkd_edge.errors import BadConfiguration

SHAPES = (Shape(name="ids", sizes=(1, 64)), Shape(name="mask", sizes=(1, 64)))
FIRST = Preprocessing(file="p.onnx", sha256="2" * 64, bytes=9, runtime="onnxruntime", runtime_version="1")
PROCESSES, RUNS = 5, 100


def beside(profile, factor, *, noise=0.02, seed=0, gusts=0):
    """Return two profiles timed in turn, the second *factor* times as slow; a gust slows some runs of both tenfold."""
    generator = np.random.default_rng(seed)
    total = PROCESSES * RUNS
    weather = np.repeat(generator.lognormal(0, 0.1, PROCESSES * 10), RUNS // 10)
    weather[generator.integers(0, total, gusts)] *= 10
    before, after, reference = (
        tuple((base * weather * generator.lognormal(0, noise, total)).astype(int).tolist())
        for base in (1_000_000, 1_000_000 * factor, 300_000)
    )
    rest = {"reference_ns": reference, "runs": (RUNS,) * PROCESSES}
    return profile(samples_ns=before, **rest), profile(samples_ns=after, **rest)


@pytest.mark.parametrize(
    ("low", "high", "verdict", "code"),
    [
        (1.06, 1.2, "slower", 1),
        (0.8, 0.94, "faster", 0),
        (0.96, 1.05, "no change", 0),
        (1.04, 1.06, "inconclusive", 5),
        (0.94, 0.96, "inconclusive", 0),
        (0.9, 1.1, "inconclusive", 5),
    ],
)
def test_the_whole_interval_decides(low, high, verdict, code):
    """Beyond the tolerance, within it, or neither; 5 only where it may be slower."""
    change = Change(ratio=(low + high) / 2, low=low, high=high, tolerance=0.05, interleaved=True)

    assert (change.verdict, change.exit_code) == (verdict, code)


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.1, "slower"), (1.0, "no change"), (0.9, "faster"), (1.02, "no change")]
)
def test_a_tenth_is_found_whatever_the_weather(profile, factor, verdict):
    """Eight times out of eight, while the machine itself varies by a tenth and a run in ten is hit by a gust."""
    found = [change_between(*beside(profile, factor, seed=seed, gusts=50)) for seed in range(8)]

    assert {change.verdict for change in found} == {verdict}
    assert np.mean([change.ratio for change in found]) == pytest.approx(factor, rel=0.01)


def test_the_interval_covers_the_truth(profile):
    """In 38 of 40; a few more or fewer by chance."""
    changes = [change_between(*beside(profile, 1.1, noise=0.1, seed=seed)) for seed in range(40)]

    assert sum(change.low <= 1.1 <= change.high for change in changes) >= 34


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.5, 2.0), seed=st.integers(0, 100))
def test_the_other_way_round_is_the_inverse(profile, factor, seed):
    """What is slower by a factor is faster by it from the other side, interval included."""
    before, after = beside(profile, factor, seed=seed)
    there, back = change_between(before, after), change_between(after, before)

    assert there.ratio == pytest.approx(1 / back.ratio, rel=1e-9)
    assert there.low <= there.ratio <= there.high
    assert there.low == pytest.approx(1 / back.high, rel=2e-3)


def test_records_are_compared_by_their_reference(profile):
    """A machine that is twice as slow today changes nothing; the interval is wider than that of one session."""
    first, second = beside(profile, 1.5)
    slow = profile(
        samples_ns=tuple(2 * ns for ns in second.samples_ns),
        reference_ns=tuple(2 * ns for ns in second.reference_ns),
        runs=second.runs,
    )
    together, apart = change_between(first, second), change_between(first, slow)

    assert not apart.interleaved
    assert apart.ratio == pytest.approx(1.5, rel=0.01)
    assert apart.high - apart.low > together.high - together.low
    assert apart.verdict == "slower"


@pytest.mark.parametrize(("runs", "count"), [((250, 250), 500), ((500, 0), 500), ((), 500), ((), 80)])
def test_records_of_other_processes_were_not_timed_in_turn(profile, runs, count):
    """Though the times of their reference models are the same; each is then taken over its own."""
    before, after = beside(profile, 1.5)
    before = replace(before, runs=runs, samples_ns=before.samples_ns[:count], reference_ns=before.reference_ns[:count])
    change = change_between(before, after)

    assert not change.interleaved
    assert change.ratio == pytest.approx(1.5, rel=0.02)


def test_each_run_has_one_of_the_reference_model(profile):
    """Else no ratio can be taken block by block."""
    before, after = beside(profile, 1.5)

    with pytest.raises(BadConfiguration, match="500 runs and 400 of the reference model; as many of each are needed"):
        change_between(before, replace(after, reference_ns=after.reference_ns[:400]))


def test_a_tenth_between_records_cannot_be_told_from_nothing(profile, host):
    """So it is inconclusive, and neither passed nor failed."""
    first, _ = beside(profile, 1.0)
    _, second = beside(profile, 1.06, seed=1)

    assert change_between(first, second).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"threads": 2}, r"different settings, 1 threads.* and 2 threads"),
        ({"runtime_version": "2"}, r"different runtimes"),
        ({"shapes": SHAPES}, r"different inputs, some that it does not name and ids=1,64 mask=1,64, and cannot"),
        ({"io": "bound"}, r"different ways to hand inputs over, copied and bound"),
        ({"preprocessing": FIRST}, r"different preprocessing, none and p\.onnx 222222222222… in onnxruntime 1"),
        ({"samples_ns": (1,) * 63}, r"has 63 runs; 64 are needed"),
    ],
)
def test_what_cannot_be_compared_is_refused(profile, changes, reason):
    """Another setting or runtime, too few runs."""
    with pytest.raises(BadConfiguration, match=reason):
        change_between(profile(), profile(**changes))


def test_the_order_of_inputs_does_not_matter(profile):
    """Names and sizes do."""
    first, second = beside(profile, 1.0)
    there = change_between(replace(first, shapes=SHAPES), replace(second, shapes=SHAPES[::-1]))

    assert there.verdict == "no change"
    with pytest.raises(BadConfiguration, match=r"inputs, ids=1,64 mask=1,64 and ids=1,64,"):
        change_between(replace(first, shapes=SHAPES), replace(second, shapes=SHAPES[:1]))


def test_profiles_of_two_power_modes_are_refused(profile, host):
    """A board of 7 watts is another than one of 15."""
    seven, fifteen = (profile(host=host(power_mode=mode)) for mode in ("7W", "15W"))

    with pytest.raises(BadConfiguration, match="different power modes, 7W and 15W"):
        change_between(seven, fifteen)


def test_profiles_of_two_machines_are_refused(profile, host):
    """Their ratio would be one of the machines."""
    with pytest.raises(BadConfiguration, match=r"different machines, .* cannot be compared"):
        change_between(profile(), profile(host=host(model="Another CPU")))
