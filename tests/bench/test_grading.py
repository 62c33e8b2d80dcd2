"""Scores row by row: their mean is what is reported."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score, root_mean_squared_error

from hpmkd_edge.bench.grading import brief, misses_of, row_scores, score_of, standard_error, stated

GENERATOR = np.random.default_rng(0)
VALUES = GENERATOR.normal(50, 10, 200).astype(np.float32)
ANSWERS = (VALUES + GENERATOR.normal(0, 5, 200)).astype(np.float32)[:, None]


def test_the_mean_of_the_rows_is_r2_and_the_accuracy():
    """As scikit-learn has them."""
    logits, classes = GENERATOR.normal(size=(100, 3)), GENERATOR.integers(0, 3, 100)
    wanted = VALUES.astype(np.float64)

    assert score_of(ANSWERS, VALUES) == pytest.approx(r2_score(wanted, ANSWERS[:, 0].astype(np.float64)), abs=1e-12)
    assert score_of(logits, classes) == accuracy_score(classes, logits.argmax(1))
    assert set(row_scores(logits, classes)) == {0.0, 1.0}


def test_a_score_of_values_has_no_unit_and_their_misses_have():
    """Standardized or a thousand times as large, R² stays; errors grow with the unit."""
    mean, deviation = VALUES.mean(), VALUES.std()
    found, large = misses_of(ANSWERS, VALUES), misses_of(1000 * ANSWERS, 1000 * VALUES)

    assert score_of((ANSWERS - mean) / deviation, (VALUES - mean) / deviation) == pytest.approx(
        score_of(ANSWERS, VALUES), abs=1e-5
    )
    assert found.mae == pytest.approx(mean_absolute_error(VALUES, ANSWERS[:, 0]), rel=1e-6)
    assert found.rmse == pytest.approx(root_mean_squared_error(VALUES, ANSWERS[:, 0]), rel=1e-6)
    assert large.mae == pytest.approx(1000 * found.mae, rel=1e-5)
    assert misses_of(ANSWERS, VALUES.astype(np.int64)) is None


def test_the_standard_error_is_what_other_rows_would_move_a_score_by():
    """Of shares in closed form; of R² what resampled rows show, mean and all; of one row alone there is none."""
    answers, right = np.eye(2)[np.zeros(200, int)], (np.arange(200) >= 150).astype(int)
    drawn = GENERATOR.integers(0, 200, (4_000, 200))
    found = [score_of(ANSWERS[rows], VALUES[rows]) for rows in drawn]

    assert standard_error(answers, right) == pytest.approx((0.75 * 0.25 / 199) ** 0.5, rel=1e-12)
    assert standard_error(ANSWERS, VALUES) == pytest.approx(np.std(found), rel=0.05)
    assert standard_error(1000 * ANSWERS, 1000 * VALUES) == pytest.approx(standard_error(ANSWERS, VALUES), rel=1e-4)
    assert standard_error(answers[:5], right[:5]) == 0
    assert standard_error(VALUES[:, None], VALUES) == 0
    assert standard_error(ANSWERS[:1], VALUES[:1]) is None


@pytest.mark.parametrize("noise", [0.3, 0.55, 1.0])
def test_two_r2_of_other_rows_differ_as_their_errors_say(noise):
    """In 94 of 100 pairs by at most 1.96 of both, however much is noise; nor is the labels' spread known."""
    generator = np.random.default_rng(0)

    def drawn():
        answers = generator.lognormal(0, 0.5, 500)
        labels = (answers + generator.normal(0, noise * 0.6, 500)).astype(np.float32)
        return score_of(answers[:, None], labels), standard_error(answers[:, None], labels)

    pairs = [(drawn(), drawn()) for _ in range(600)]
    inside = np.mean([abs(a - b) <= 1.96 * np.hypot(of_a, of_b) for (a, of_a), (b, of_b) in pairs])

    assert 0.91 <= inside <= 0.97


def test_a_score_is_said_by_what_it_is():
    """Of classes a share, of values R²."""
    assert stated(0.75, values=False) == "75.00% of the validation rows"
    assert stated(0.75, values=True) == "R² 0.7500 on validation rows"
    assert brief(0.75, values=False) == "75.00%"
