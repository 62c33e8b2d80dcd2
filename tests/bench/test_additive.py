"""Sums of costs: what is planted is found, units do not matter, intervals hold."""

import math

import numpy as np
import pytest

from hpmkd_edge.bench.additive import coefficients_of, errors_left_out, fit, range_of

NAMES = ("MACs", "bytes", "runs")
COSTS = np.array([3e-9, 2e-7, 0.4])


def points(count, seed=0):
    generator = np.random.default_rng(seed)
    return np.column_stack([10 ** generator.uniform(7, 9, count), 10 ** generator.uniform(5, 7, count), np.ones(count)])


def test_what_was_planted_is_found():
    """Without noise: the coefficients, no error left out, and an interval of a point."""
    features = points(8)
    found = fit(NAMES, features, features @ COSTS)

    np.testing.assert_allclose(found.coefficients, COSTS, rtol=1e-6)
    np.testing.assert_allclose(errors_left_out(features, features @ COSTS), 0, atol=1e-6)
    assert found.factor == pytest.approx(1, abs=1e-5)


def test_a_model_is_left_out_with_all_of_its_points():
    """Two points of each of six models: the errors are those of fits on five models, both times."""
    features, generator = points(12), np.random.default_rng(3)
    ms = features @ COSTS * np.exp(generator.normal(0, 0.1, 12))
    models = [f"m{i // 2}" for i in range(12)]
    left = [math.log(ms[i] / (features[i] @ coefficients_of(*without(i, features, ms)))) for i in range(12)]

    np.testing.assert_allclose(errors_left_out(features, ms, models), left, rtol=1e-9)


def without(i, *arrays):
    kept = np.arange(12) // 2 != i // 2
    return [array[kept] for array in arrays]


def test_units_do_not_matter():
    """Seconds instead of milliseconds, kilobytes instead of bytes: coefficients follow, the interval stays."""
    features, generator = points(9), np.random.default_rng(1)
    ms = features @ COSTS * np.exp(generator.normal(0, 0.1, 9))
    one, other = fit(NAMES, features, ms), fit(NAMES, features / [1, 1000, 1], ms / 1000)

    np.testing.assert_allclose(np.array(other.coefficients) * [1, 1e-3, 1] * 1e3, one.coefficients, rtol=1e-6)
    assert other.factor == pytest.approx(one.factor, rel=1e-6)


def test_no_cost_is_negative():
    """Where more of something would make a model faster, it costs nothing."""
    features = points(8)

    assert (coefficients_of(features, features[:, 0] * 1e-9 + 5 / features[:, 1]) >= 0).all()


def test_the_error_is_relative():
    """A point of 1 ms and one of 1,000 ms count the same: both errors are halved alike."""
    features, ms = np.ones((2, 1)), np.array([1.0, 1000.0])
    (found,) = coefficients_of(features, ms)

    # The least of (c - 1)² + (c/1000 - 1)².
    assert found == pytest.approx((1 + 1e-3) / (1 + 1e-6))


@pytest.mark.parametrize("count", [5, 8, 25])
def test_nine_of_ten_intervals_hold(count):
    """Of points like those that were fitted; from Student's t of few, from their own quantile of many."""
    generator, held = np.random.default_rng(2), []
    for seed in range(150):
        features = points(count + 1, seed)
        ms = features @ COSTS * np.exp(generator.normal(0, 0.1, count + 1))
        found = fit(NAMES, features[:-1], ms[:-1])
        held.append(abs(math.log(ms[-1] / found.ms(features[-1]))) <= math.log(found.factor))

    assert 0.84 <= np.mean(held) <= 0.98


def test_the_range_is_that_of_the_points_and_their_ratios():
    """A tenth beyond is still inside; a ratio that no point has is outside, though both of its parts are inside."""
    features = np.array([[1e6, 1e4], [1e8, 1e6]])
    span = range_of(("MACs", "bytes"), features)

    assert span.outside((1e7, 1e5)) is None
    assert span.outside((1.1e8, 1.1e6)) is None
    assert span.outside((2e8, 1.1e6)) == "2e+08 MACs, against 1e+06 to 1e+08"
    assert span.outside((1e8, 1e4)) == "1e+04 MACs per bytes, against 100 to 100"


def test_what_no_point_has_is_outside():
    """Depthwise convolutions where there were none; none of them is inside."""
    span = range_of(("MACs", "depthwise"), np.array([[1e6, 0.0], [1e7, 0.0]]))

    assert span.outside((5e6, 0)) is None
    assert span.outside((5e6, 1e5)).startswith("1e+05 depthwise")
