"""What a file is graded by: labels, or the answers of the file that it was made from."""

import numpy as np
import pytest

from hpmkd_edge.bench.fidelity import standard_of
from hpmkd_edge.errors import BadData, MeasurementFailed

LOGITS = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32) * 3


def test_a_file_that_answers_as_its_origin_loses_nothing():
    """Agreement is 1 and the divergence 0."""
    standard = standard_of(LOGITS, None)
    score, loss = standard.grade(standard.read(LOGITS))

    assert (standard.measure, standard.loss) == ("agreement", "KL divergence")
    assert score == 1
    assert loss == pytest.approx(0, abs=1e-6)


def test_logits_and_their_probabilities_are_graded_alike():
    """What sums to 1 is taken as it is; else a softmax makes it so."""
    weights = np.exp(LOGITS)
    probabilities = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 4, 50)
    of_logits, of_shares = standard_of(LOGITS, labels), standard_of(probabilities, labels)

    assert (of_logits.softened, of_shares.softened) == (True, False)
    assert of_logits.grade(of_logits.read(LOGITS)) == pytest.approx(
        of_shares.grade(of_shares.read(probabilities)), rel=1e-5
    )


def test_the_mean_of_values_has_an_r_squared_of_zero():
    """Of one number a row, and of any other shape."""
    for shape in ((60, 1), (60,), (60, 2, 3)):
        values = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
        standard = standard_of(values, None)
        mean = np.broadcast_to(values.mean(0), shape)

        assert standard.measure == "R²"
        assert standard.grade(standard.read(values)) == (1.0, 0.0)
        assert standard.grade(standard.read(mean))[0] == pytest.approx(0, abs=1e-5)


def test_an_answer_that_is_no_number_has_no_grade():
    """Such a file is never chosen."""
    standard = standard_of(LOGITS, None)

    assert np.isnan(standard.grade(np.full((50, 4), np.nan, np.float32))).all()


@pytest.mark.parametrize(
    ("outputs", "labels", "sentence"),
    [
        (LOGITS, np.arange(50), r"lie in 0 … 49; whole numbers in 0 … 3 are needed"),
        (LOGITS, np.full(50, 0.5), "whole numbers in 0 … 3"),
        (LOGITS, np.zeros(49), "one number for each of 50 rows"),
        (LOGITS, np.array(["a"] * 50), "one number for each of 50 rows"),
        (LOGITS[:, :1], np.full(50, np.nan), "no finite numbers"),
        (LOGITS[:, :1], np.ones(50), "the labels are the same in all 50 rows"),
        (np.ones((50, 1), np.float32), None, "the answers of the model are the same"),
        (LOGITS.reshape(50, 2, 2), np.zeros(50), "labels go with classes, or with one value"),
    ],
)
def test_labels_that_do_not_fit_are_refused(outputs, labels, sentence):
    """Found, then needed."""
    with pytest.raises(BadData, match=sentence):
        standard_of(outputs, labels)


def test_a_model_that_answers_no_number_is_refused():
    """Nothing can be held against it."""
    with pytest.raises(MeasurementFailed, match="answers 50 rows with NaN or infinity"):
        standard_of(LOGITS * np.float32(np.inf), None)


def test_answers_of_another_shape_are_refused():
    """As where a pass lost a column."""
    with pytest.raises(MeasurementFailed, match=r"shape \(3,\); \(4,\) is needed"):
        standard_of(LOGITS, None).read(LOGITS[:, :3])
