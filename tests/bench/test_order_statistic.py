"""Bounds of percentiles hold with their confidence, for any distribution."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.bench.order_statistic import least_runs, rank_above, rank_below, runs_to_discard

DRAWS = 2000


def binomial_at_most(t, n, share):
    """The slow twin: exact sums."""
    return sum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(t + 1))


@pytest.mark.parametrize(("p", "runs"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_the_fewest_runs_are_those_of_mlperf(p, runs):
    """LoadGen states these numbers in its logs."""
    assert least_runs(p) == runs
    assert rank_above(runs - 1, p) is None


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 400), share=st.floats(0.01, 0.99))
def test_the_discarded_runs_agree_with_exact_sums(n, share):
    """The count is within the confidence and one more is not, except that 0 stands for none."""
    t = runs_to_discard(n, share)

    assert t == 0 or binomial_at_most(t, n, share) <= 0.01 * (1 + 1e-9)
    assert binomial_at_most(t + 1, n, share) > 0.01 * (1 - 1e-9)


@pytest.mark.parametrize(("p", "n"), [(50, 11), (50, 100), (90, 64), (90, 500), (99, 662)])
def test_both_bounds_cover_the_true_percentile_in_99_of_100_draws(p, n):
    """Uniform samples have percentile p at p/100; any continuous distribution is a stretched uniform."""
    samples = np.sort(np.random.default_rng(0).random((DRAWS, n)), axis=1)
    above = np.mean(samples[:, rank_above(n, p)] >= p / 100)
    below = np.mean(samples[:, rank_below(n, p)] <= p / 100)

    assert above >= 0.99
    assert below >= 0.99


@pytest.mark.parametrize("p", [50, 90, 99])
def test_more_runs_bound_closer(p):
    """The bound's rank, as a share of n, comes down towards p from above and up towards it from below."""
    sizes = [1_000, 10_000, 100_000, 1_000_000]
    above = [rank_above(n, p) / n for n in sizes]
    below = [rank_below(n, p) / n for n in sizes]

    assert above == sorted(above, reverse=True)
    assert below == sorted(below)
    assert below[-1] < p / 100 < above[-1]
    assert above[-1] - below[-1] < 0.003


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 5000), p=st.floats(1, 99))
def test_the_bounds_lie_on_their_sides_and_within_the_samples(n, p):
    """Below the rank of the percentile itself, and above it."""
    above, below = rank_above(n, p), rank_below(n, p)

    assert above is None or n * p / 100 <= above < n
    assert below is None or 0 <= below <= n * p / 100
