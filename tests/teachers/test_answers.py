"""From a model's answers to logits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.tasks.task import Images
from hpmkd_edge.teachers.answers import answer_in_batches, are_probabilities, logarithms, running

PIXELS = np.arange(11, dtype=np.uint8).reshape(11, 1, 1, 1)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@given(size=st.integers(1, 12), least=st.integers(1, 12))
def test_batches_and_padding_leave_no_trace(size, least):
    """Whatever the batches, the answers are those of all rows at once."""
    seen = []

    def forward(inputs):
        seen.append(len(inputs))
        return np.repeat(inputs.pixels.reshape(-1, 1), 3, axis=1)

    answers = answer_in_batches("a", Images(pixels=PIXELS), forward, size=size, least=least)

    np.testing.assert_array_equal(answers, np.repeat(np.arange(11.0)[:, None], 3, axis=1))
    assert min(seen) >= least


def test_softmax_undoes_the_logarithms():
    """The softmax of the logits of a model that gives probabilities is those probabilities."""
    probabilities = softmax(np.random.default_rng(0).normal(size=(20, 5)))

    np.testing.assert_allclose(softmax(logarithms(probabilities)), probabilities, atol=1e-6)


def test_a_zero_probability_has_a_finite_logarithm():
    """Clipped at 1e-7."""
    assert logarithms(np.array([[0.0, 1.0]]))[0, 0] == pytest.approx(np.log(1e-7))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0.2, 0.8], True),
        ([0.5, 0.6], False),
        ([-0.1, 1.1], False),
        ([np.nan, 1.0], False),
        ([2.0, -1.0], False),
    ],
)
def test_probabilities_are_known_by_range_and_sum(row, expected):
    """Both must hold in every row."""
    assert are_probabilities(np.array([[0.5, 0.5], row])) is expected


def test_a_foreign_error_becomes_one_sentence_with_the_shape():
    """Only its first line is kept."""
    with pytest.raises(BadTeacher, match=r"^x fails on an input of shape \(2, 3\): ValueError: no\.$"):  # noqa: SIM117
        with running("x", (2, 3)):
            raise ValueError("no\nand a page of advice")


def test_one_number_for_all_rows_is_refused():
    """An answer has one row for each row."""
    with pytest.raises(BadTeacher, match=r"answer of shape \(3,\) for 11 row"):
        answer_in_batches("a", Images(pixels=PIXELS), lambda inputs: np.zeros(3))
