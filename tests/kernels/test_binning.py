"""Bins hold equal shares, and ranks are the piecewise-linear share below a value."""

import naive_kernels as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.kernels.binning import bin_rows, quantile_edges, ranks

FLOATS = st.floats(width=32, allow_infinity=False)


def column(values):
    return np.array(values, np.float32)


@given(st.lists(FLOATS, min_size=1, max_size=60), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_edges_increase_and_hold_the_values(values, bins):
    """From the least to the largest, as far as float32 differences reach; their own ranks are evenly spaced."""
    values = column(values)
    edges = quantile_edges(values, bins)
    known = values[~np.isnan(values)].clip(-8e37, 8e37)

    assert edges.dtype == np.float32
    assert len(edges) <= bins + 1
    assert (np.diff(edges) > 0).all()
    if len(edges) > 1:
        assert edges[0] <= known.min()
        np.testing.assert_allclose(ranks(edges, edges), np.arange(len(edges)) / (len(edges) - 1), rtol=1e-6)


@given(st.lists(FLOATS, min_size=2, max_size=40), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_ranks_equal_the_sum_over_all_bins(values, bins):
    """The slow twin adds bin after bin in float32."""
    values = column(values)
    edges = quantile_edges(values, bins)
    if len(edges) < 2:
        return
    asked = np.concatenate([values, -values, column([0, np.inf, -np.inf, np.nan])])
    with np.errstate(over="ignore"):
        wanted = naive.ranks(asked, edges)

    np.testing.assert_allclose(ranks(asked, edges), wanted, rtol=0, atol=1e-6)


def test_bins_hold_equal_shares():
    """Of 40,000 values without repetition, a tenth each."""
    values = column(np.random.default_rng(0).lognormal(size=40_000))
    codes = bin_rows(values, quantile_edges(values, 10))

    np.testing.assert_allclose(np.bincount(codes, minlength=10), 4_000, atol=2)


def test_ranks_grow_with_the_value_and_do_not_feel_the_unit():
    """Ranks of a x + b are those of x, for a > 0."""
    values = column(np.random.default_rng(0).normal(size=500))
    edges, moved = quantile_edges(values, 16), 8 * values + 16
    ordered = ranks(np.sort(values), edges)

    assert (np.diff(ordered) >= 0).all()
    assert (ordered[0], ordered[-1]) == (0, 1)
    np.testing.assert_allclose(ranks(moved, quantile_edges(moved, 16)), ranks(values, edges), atol=1e-4)


def test_a_value_beyond_the_edges_is_at_the_end_and_a_missing_one_is_apart():
    """NaN stays NaN as a rank, and has a code of its own."""
    edges, asked = column([0, 1, 4]), column([-9, 0, 0.5, 1, 3.9, 4, 9, np.nan])

    np.testing.assert_array_equal(bin_rows(asked, edges), [0, 0, 0, 1, 1, 1, 1, 2])
    np.testing.assert_allclose(ranks(asked, edges), [0, 0, 0.25, 0.5, 0.5 + 2.9 / 6, 1, 1, np.nan], rtol=1e-6)


def test_repeated_values_give_fewer_edges():
    """A constant has one, and a column without values none."""
    assert quantile_edges(column([0] * 90 + [1, 2, 3]), 4).tolist() == [0, 3]
    assert quantile_edges(column([5, 5, np.nan]), 4).tolist() == [5]
    assert quantile_edges(column([np.nan]), 4).tolist() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantile_edges(np.zeros(3), 4), "float32"),
        (lambda: quantile_edges(column([1]), 0), "at least 1 bin"),
        (lambda: ranks(column([1]), column([1])), "two or more edges"),
        (lambda: bin_rows(column([1]), column([2, 1])), "increase"),
        (lambda: ranks(column([[1]]), column([1, 2])), "one dimension"),
    ],
)
def test_what_has_no_bins_is_refused(call, message):
    """With what was found."""
    with pytest.raises(ValueError, match=message):
        call()
