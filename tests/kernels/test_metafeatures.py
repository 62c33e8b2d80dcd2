"""Facts of columns are exact up to rounding, wherever the values lie."""

import naive_kernels as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.kernels.metafeatures import describe_columns


def moments(facts):
    return np.stack([facts.mean, facts.variance, facts.skewness, facts.kurtosis])


@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.just(np.nan), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_moments_equal_those_of_exact_fractions(values):
    """The twin loses no bit before the last step."""
    if np.isnan(values).all():
        return
    found = moments(describe_columns(np.array(values, np.float32)[:, None]))[:, 0]

    np.testing.assert_allclose(found, naive.column_moments(np.array(values, np.float32)), rtol=1e-9, atol=1e-9)


def test_values_far_from_zero_keep_their_spread():
    """Raw powers of 1e7 would cancel out to noise."""
    near = np.random.default_rng(0).integers(-50, 50, (3_000, 1)).astype(np.float64)
    far, here = describe_columns(near + 1e12), describe_columns(near)

    np.testing.assert_allclose(moments(far)[1:], moments(here)[1:], rtol=1e-9)
    np.testing.assert_allclose(far.mean - 1e12, here.mean, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-35, 1e35])
def test_tiny_and_huge_values_have_the_shape_of_others(scale):
    """Fourth powers of these are no float64 of use."""
    values = np.random.default_rng(1).exponential(size=(500, 1))
    found, wanted = describe_columns((values * scale).astype(np.float32)), describe_columns(values)

    np.testing.assert_allclose(moments(found)[2:], moments(wanted)[2:], rtol=1e-4)
    np.testing.assert_allclose(found.deviation, wanted.deviation * scale, rtol=1e-5)


def test_each_column_has_its_facts():
    """Counts of cells, ends, how many values differ up to three, and whether they are whole."""
    gap = np.nan
    rows = [[1, 0, 0.5, gap, 9], [2, 1, 0.5, gap, 9], [5, 1, gap, gap, 9], [7, 0, 1.5, gap, 9]]
    facts = describe_columns(np.array(rows, np.float32))

    assert facts.count.tolist() == [4, 4, 3, 0, 4]
    assert facts.missing.tolist() == [0, 0, 1, 4, 0]
    assert facts.distinct.tolist() == [3, 2, 2, 0, 1]
    assert facts.whole.tolist() == [True, True, False, False, True]
    assert facts.graded.tolist() == [True, False, False, False, False]
    np.testing.assert_array_equal(facts.lowest, [1, 0, 0.5, gap, 9])
    np.testing.assert_array_equal(facts.highest, [7, 1, 1.5, gap, 9])
    np.testing.assert_array_equal(facts.variance[3:], [gap, 0])
    np.testing.assert_array_equal(moments(facts)[2:, 3:], [[gap, gap]] * 2)


def test_a_table_without_columns_of_numbers_has_no_facts():
    """Words alone."""
    assert describe_columns(np.empty((5, 0), np.float32)).mean.shape == (0,)


def test_what_is_no_matrix_of_floats_is_refused():
    """With what was found."""
    with pytest.raises(ValueError, match="int64"):
        describe_columns(np.zeros((2, 2), np.int64))
