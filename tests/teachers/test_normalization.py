"""Normalization: one formula, and a parser that reads what it should and no more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.teachers.normalization import NAMED, parse_normalization

PIXELS = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3) * 3


@pytest.mark.parametrize(("text", "high"), [("unit", 1.0), ("none", 255.0), ("0.5/0.5", 1.0), ("0/1", 1.0)])
def test_white_becomes_what_the_name_promises(text, high):
    """255 is 1 over 255, 255 as it is, and 1 again where 0…1 is spread over −1…1."""
    white = np.full((1, 2, 2, 3), 255, np.uint8)

    np.testing.assert_allclose(parse_normalization(text, 3).apply(white), high, rtol=1e-6)


@pytest.mark.parametrize("text", [*NAMED, "0.1,0.2,0.3/0.4,0.5,0.6", "0.25/0.5"])
def test_the_fused_formula_is_the_plain_one(text):
    """(pixels / 255 − mean) / deviation, in doubles."""
    normalization = parse_normalization(text, 3)
    plain = (PIXELS / 255 - np.array(normalization.mean)) / np.array(normalization.deviation)

    np.testing.assert_allclose(normalization.apply(PIXELS), plain, rtol=1e-5, atol=1e-4)


@given(
    mean=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    deviation=st.lists(st.floats(1e-3, 10), min_size=3, max_size=3),
)
def test_numbers_written_out_are_read_back(mean, deviation):
    """What repr writes is read back to the same floats."""
    text = f"{','.join(map(repr, mean))}/{','.join(map(repr, deviation))}"
    found = parse_normalization(text, 3)

    assert (found.mean, found.deviation) == (tuple(mean), tuple(deviation))


@given(text=st.text(alphabet="0123456789.,/-einfa u", max_size=20))
def test_any_text_is_read_or_refused_with_one_sentence(text):
    """Nothing but BadConfiguration comes out, and what is read gives finite numbers."""
    try:
        found = parse_normalization(text, 3)
    except BadConfiguration as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert all(0 <= number <= 1 for number in found.mean)
        assert all(0 < number < np.inf for number in found.deviation)


@pytest.mark.parametrize(
    ("text", "channels", "match"),
    [
        ("imagnet", 3, "'imagnet' cannot be read; unit, imagenet"),
        ("0.5", 3, "for example 0.5/0.5"),
        ("imagenet", 1, "holds 3 numbers; the images have 1"),
        ("0.5,0.5/0.5", 3, "holds 2 numbers"),
        ("123.7/58", 3, "mean outside 0…1"),
        ("0.5/0", 3, "deviation that is not positive"),
        ("nan/1", 3, "mean outside"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, channels, match):
    """Each fault has its own sentence."""
    with pytest.raises(BadConfiguration, match=match):
        parse_normalization(text, channels)
