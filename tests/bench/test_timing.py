"""The loop warms up, takes turns, and counts by the clock it is given."""

import gc
from itertools import groupby, pairwise

import numpy as np
import pytest

from hpmkd_edge.bench.timing import LONG_NS, LOOKS, TURN_NS, sample, time_run, warm_up


class Watch:
    """A clock that only moves when told; calling it reads it."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


class Fake:
    """A run that takes as long as it is told, by the watch, and keeps a diary."""

    def __init__(self, watch, durations_ns, name="", diary=None):
        self.watch, self.durations, self.name = watch, iter(durations_ns), name
        self.last, self.diary, self.collecting = 0, [] if diary is None else diary, set()

    def __call__(self):
        self.last = next(self.durations, self.last)
        self.watch.now += self.last
        self.diary.append(self.name)
        self.collecting.add(gc.isenabled())


def test_a_run_takes_what_the_clock_says():
    """One reading before, one after."""
    watch = Watch()

    assert time_run(Fake(watch, [123]), watch) == 123


def test_long_models_take_turns_run_by_run(brief):
    """A, B, B, A, A, B, …: what disturbs one disturbs the other, and each runs as often behind the other."""
    watch, diary = Watch(), []
    runs = [Fake(watch, [LONG_NS + 1], name=name, diary=diary) for name in "ab"]
    samples = sample(runs, brief(least_runs=70), watch)

    looked = 2 * LOOKS
    assert "".join(diary[looked:]) == "abba" * 35
    assert [len(one) for one in samples] == [70, 70]


def test_short_models_take_turns_of_some_milliseconds(brief):
    """What a run costs right behind the other model is not among the samples."""

    class Cold(Fake):
        def __call__(self):
            cold = bool(self.diary) and self.diary[-1] != self.name
            super().__call__()
            self.watch.now += 100_000 if cold else 0

    watch, diary = Watch(), []
    runs = [Cold(watch, [ns], name=name, diary=diary) for name, ns in (("a", 100_000), ("b", 400_000))]
    first, second = sample(runs, brief(least_runs=400), watch)

    assert set(first) == {100_000}
    assert set(second) == {400_000}
    stretches = ["".join(stretch) for _, stretch in groupby(diary[2 * LOOKS :])]
    assert max(map(len, stretches)) <= 2 * (TURN_NS // 500_000 + 2)
    assert len(stretches) > 20


def test_samples_stay_with_their_model(brief):
    """Every run is kept, in order, under its own model, but for the looks before."""
    watch = Watch()
    start = 10 * LONG_NS
    runs = [Fake(watch, range(start + base, start + base + 100 + LOOKS)) for base in (0, 1000)]
    first, second = sample(runs, brief(least_runs=100), watch)

    np.testing.assert_array_equal(first, start + LOOKS + np.arange(100))
    np.testing.assert_array_equal(second, start + 1000 + LOOKS + np.arange(100))


def test_both_minima_must_be_reached(brief):
    """Runs of 10 ms for half a second are 50; at least 64 are asked for; runs of 6 ms must go on to 84."""
    for run_ms, runs in [(10, 64), (6, 84)]:
        watch = Watch()
        (samples,) = sample([Fake(watch, [run_ms * 10**6])], brief(least_seconds=0.5), watch)

        assert len(samples) == runs


def test_processes_share_the_minima(brief):
    """Each of three reaches a third, rounded up."""
    watch = Watch()
    (samples,) = sample([Fake(watch, [2 * LONG_NS])], brief(least_runs=64, processes=3), watch)

    assert len(samples) == 22


@pytest.mark.parametrize("runs", [64, 65, 127, 128, 129, 1000])
def test_what_is_too_much_is_thinned_evenly(brief, runs):
    """What is kept lies at even steps from the first run to the last; at least half of what may be."""
    watch = Watch()
    start = 2 * LONG_NS
    lasting = range(start, start + runs)
    run = Fake(watch, [start] * LOOKS + list(lasting))
    sampling = brief(least_runs=64, least_seconds=sum(lasting) / 1e9, most_samples=64)
    (samples,) = sample([run], sampling, watch)
    samples -= start

    steps = {b - a for a, b in pairwise(samples.tolist())}
    assert len(steps) == 1
    assert samples[0] == 0
    assert 32 <= len(samples) <= 64
    assert samples[-1] + steps.pop() >= runs - 1


def test_the_collector_is_off_while_timing_and_on_afterwards(brief):
    """Also when a run fails in the middle."""
    watch = Watch()
    run = Fake(watch, [100_000])
    sample([run], brief(), watch)

    assert run.collecting == {False}
    assert gc.isenabled()

    def broken():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        sample([broken], brief(), watch)
    assert gc.isenabled()


def test_a_steady_model_is_warm_after_the_least(brief):
    """20 runs and a second: two blocks of ten runs, or of half a second."""
    for run_ms, runs in [(100, 20), (1, 1000)]:
        watch = Watch()
        sampling = brief(warmup_seconds=1.0, warmup_limit_seconds=10.0, settled=0.02)
        warmup = warm_up(Fake(watch, [run_ms * 10**6]), sampling, watch)

        assert (warmup.runs, warmup.settled) == (runs, True)
        assert warmup.ms == runs * run_ms


def test_a_model_that_still_gets_faster_is_warmed_further(brief):
    """Ten runs of 4, 3 and 2 ms, then 1 ms: the fifth block is the first that is like the one before."""
    watch = Watch()
    durations = [ms * 10**6 for ms in (4, 3, 2) for _ in range(10)] + [10**6]
    warmup = warm_up(Fake(watch, durations), brief(warmup_limit_seconds=10.0, settled=0.02), watch)

    assert (warmup.runs, warmup.settled) == (50, True)


def test_a_model_that_never_settles_ends_at_the_limit(brief):
    """The limit is kept to within a run, and it is said."""
    watch = Watch()
    doubling = [10**6 * 2**i for i in range(60)]
    warmup = warm_up(Fake(watch, doubling), brief(warmup_limit_seconds=1.0, settled=0.02), watch)

    assert not warmup.settled
    assert 1000 <= warmup.ms < 3000


def test_a_model_slower_than_the_limit_runs_once(brief):
    """One run is needed to know that it is slow."""
    watch = Watch()
    warmup = warm_up(Fake(watch, [20 * 10**9]), brief(warmup_limit_seconds=10.0), watch)

    assert (warmup.runs, warmup.settled) == (1, False)
