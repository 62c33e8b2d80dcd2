"""What a size is expected to cost, by what others cost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.plan.expectation import EXTRA, expected_amount, expected_time
from hpmkd_edge.students.effort import Effort
from hpmkd_edge.students.family import Size

# Of a residual ladder: more parameters need not be more work, nor more layers.
LADDER = tuple(
    Size(family="f", width=width, depth=depth, parameters=285 * width * width * depth)
    for width, depth in ((3, 1), (6, 1), (12, 1), (8, 3), (11, 2), (16, 1), (16, 2))
)
EFFORTS = {size: Effort(macs=180 * size.parameters, layers=7 + 12 * size.depth) for size in LADDER}


def time_of(size, a_mac, a_layer):
    return a_mac * EFFORTS[size].macs + a_layer * (EFFORTS[size].layers + EXTRA)


@settings(deadline=None)
@given(st.floats(1e-9, 1e-6), st.floats(1e-4, 1e-1), st.sets(st.sampled_from(LADDER), min_size=2))
def test_a_time_that_follows_the_law_is_foretold_exactly(a_mac, a_layer, known):
    """From any two sizes whose shares of multiply-adds and layers differ."""
    measured = {size: time_of(size, a_mac, a_layer) for size in known}

    for size in LADDER:
        assert expected_time(size, measured, EFFORTS) == pytest.approx(time_of(size, a_mac, a_layer), rel=1e-4)


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=len(LADDER)))
def test_a_time_that_was_measured_is_expected_as_it_was(times):
    """Whatever the law misses is corrected there."""
    measured = dict(zip(LADDER, times, strict=False))

    for size, ms in measured.items():
        assert expected_time(size, measured, EFFORTS) == pytest.approx(ms)


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=2))
def test_an_amount_lies_between_its_neighbors(ends):
    """Linear in the parameters; one alone is taken for proportional."""
    measured = {LADDER[0]: ends[0], LADDER[-1]: ends[1]}
    amounts = [expected_amount(size, measured) for size in LADDER]

    assert [amounts[0], amounts[-1]] == pytest.approx(ends)
    assert amounts == pytest.approx(sorted(amounts, reverse=ends[0] > ends[1]))
    assert expected_amount(LADDER[1], {LADDER[0]: 8.0}) == pytest.approx(32.0)
