"""A curve of least accuracies goes through its points, is flat outside, and never falls."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.accuracy_curve import LEAST_MB, MOST_MB, CurvePoint, fault_of, least_at

CURVE = (
    CurvePoint(model_size_mb=0.1, min=0.85),
    CurvePoint(model_size_mb=1.0, min=0.9),
    CurvePoint(model_size_mb=10.0, min=0.9),
)
SIZES = st.floats(LEAST_MB, MOST_MB)
CURVES = st.lists(st.tuples(SIZES, st.floats(0, 1)), min_size=1, max_size=5, unique_by=lambda pair: pair[0]).map(
    lambda pairs: tuple(
        CurvePoint(model_size_mb=size, min=share)
        for size, share in zip(sorted(size for size, _ in pairs), sorted(share for _, share in pairs), strict=True)
    )
)


@pytest.mark.parametrize(("size", "least"), [(0.001, 0.85), (0.1, 0.85), (1.0, 0.9), (5.0, 0.9), (1000.0, 0.9)])
def test_the_curve_goes_through_its_points_and_is_flat_outside(size, least):
    """Each point is allowed itself."""
    assert least_at(CURVE, size) == least


def test_between_points_the_way_is_that_of_the_logarithm():
    """Half way from 0.1 to 1 MB is their geometric mean."""
    assert math.isclose(least_at(CURVE, math.sqrt(0.1 * 1.0)), 0.875, rel_tol=1e-12)


@given(CURVES, SIZES, SIZES)
def test_a_larger_model_is_never_asked_for_less(curve, one, other):
    """And never for something that no point asks for, to a rounding."""
    smaller, larger = (least_at(curve, size) for size in sorted((one, other)))

    assert smaller <= larger + 1e-12
    assert curve[0].min - 1e-12 <= smaller
    assert larger <= curve[-1].min + 1e-12


@given(CURVES)
def test_points_in_order_have_no_fault(curve):
    """Sizes grow, shares do not fall."""
    assert fault_of(curve) is None


@pytest.mark.parametrize(
    ("points", "place", "reason"),
    [
        ((), (), "no point was found"),
        (CURVE[::-1], (1, "model_size_mb"), "1 follows 10; sizes in growing order"),
        ((*CURVE, CURVE[-1]), (3, "model_size_mb"), "10 follows 10"),
        ((CURVE[1], CurvePoint(model_size_mb=2.0, min=0.8)), (1, "min"), "0.8 follows 0.9"),
    ],
)
def test_the_first_fault_is_named_with_its_place(points, place, reason):
    """The position and the key, which tell the line in a file."""
    fault = fault_of(points)

    assert fault.place == place
    assert reason in fault.reason


@pytest.mark.parametrize(
    ("size", "least", "sentence"),
    [(0.0, 0.5, "a size from 1e-06"), (1e12, 0.5, "to 1e"), (1.0, 90.0, "a share from 0 to 1"), (1.0, -0.1, "a share")],
)
def test_a_point_that_can_be_none_is_refused(size, least, sentence):
    """A model has a byte at least; percent are no shares."""
    with pytest.raises(ValueError, match=sentence):
        CurvePoint(model_size_mb=size, min=least)
