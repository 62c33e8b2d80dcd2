"""A foretold latency is a whole interval, or none, with its reason."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import make_foretold

from hpmkd_edge.bench.prediction import Prediction, unknown_because
from hpmkd_edge.foretold import Foretold


@given(st.tuples(*[st.floats(allow_nan=True, allow_infinity=True) | st.none()] * 3))
def test_only_a_finite_interval_around_its_number_is_taken(numbers):
    """NaN, an infinity, 0, a missing or a crossed bound: none of them may reach a verdict."""
    low, ms, high = numbers
    sound = None not in numbers and all(map(math.isfinite, numbers)) and 0 < low <= ms <= high
    if sound:
        assert make_foretold(low, ms, high).interval_ms == (low, high)
        return

    with pytest.raises(ValueError, match="low, middle and high above 0 are needed"):
        make_foretold(low, ms, high)


def test_what_is_unknown_has_no_number():
    """An interval without a provenance would be judged."""
    sham = Prediction(provenance="unknown", ms=1.0, low_ms=1.0, high_ms=1.0, reason="because.")

    with pytest.raises(ValueError, match="no number is needed"):
        Foretold(percentile="p90", source="8 records", prediction=sham)


def test_a_phrase_tells_the_interval_and_the_source_or_the_reason():
    """As it stands in a verdict's reason."""
    none = Foretold(percentile="p90", source="3 records", prediction=unknown_because("5 are needed."))

    assert make_foretold(2.5, 3.1, 4.2).phrase == "predicted 3.1 ms (2.5 to 4.2) from 8 records"
    assert none.phrase == "not predicted: 5 are needed"
    assert none.interval_ms is None
