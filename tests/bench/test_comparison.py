"""A gain is claimed only for a difference that resampling the rows does not undo."""

import numpy as np
import pytest

from hpmkd_edge.bench.comparison import paired_gain


def answers(won, lost, tied):
    """Which rows each is right on; half of the ties are right."""
    of = [True] * won + [False] * lost + [i % 2 == 0 for i in range(tied)]
    over = [False] * won + [True] * lost + [i % 2 == 0 for i in range(tied)]
    return np.array(of), np.array(over)


def test_the_multinomial_is_the_bootstrap_of_rows():
    """The slow twin draws rows; both intervals agree to the grain of a thousand rows and chance."""
    of, over = answers(60, 30, 910)
    rng = np.random.default_rng(1)
    difference = of.astype(int) - over.astype(int)
    drawn = [difference[rng.integers(0, 1000, 1000)].mean() * 100 for _ in range(3000)]
    gain = paired_gain(of, over, seed=0)

    assert gain.points == pytest.approx(3.0)
    np.testing.assert_allclose([gain.low, gain.high], np.percentile(drawn, [2.5, 97.5]), atol=0.15)


def test_swapping_the_models_mirrors_the_interval():
    """The gain of one over the other is the loss of the other over the one."""
    of, over = answers(40, 20, 400)
    there, back = paired_gain(of, over, seed=0), paired_gain(over, of, seed=0)

    assert back.points == -there.points
    np.testing.assert_allclose([back.low, back.high], [-there.high, -there.low], atol=0.25)


def test_the_order_of_rows_does_not_matter():
    """Only how many rows are won and lost does."""
    of, over = answers(40, 20, 400)
    order = np.random.default_rng(0).permutation(len(of))

    assert paired_gain(of[order], over[order], seed=3) == paired_gain(of, over, seed=3)


@pytest.mark.parametrize(
    ("won", "lost", "tied", "verdict"),
    [
        (100, 40, 860, "gain"),
        (40, 100, 860, "no gain"),
        (0, 0, 100, "no gain"),
        (1, 1, 100_000, "no gain"),
        (10, 8, 100, "inconclusive"),
        (5, 0, 95, "inconclusive"),
        (1, 0, 0, "inconclusive"),
        (30, 0, 70, "gain"),
    ],
)
def test_the_verdict_follows_the_interval(won, lost, tied, verdict):
    """Five rows, though all on one side, are not enough; a tiny difference on many rows is no gain."""
    assert paired_gain(*answers(won, lost, tied), seed=0).verdict == verdict


def test_equal_models_are_rarely_called_better():
    """Of 400 pairs that differ by chance alone, about one in forty is called a gain."""
    rng = np.random.default_rng(0)
    called = sum(
        paired_gain(rng.random(300) < 0.8, rng.random(300) < 0.8, seed=i, draws=500).verdict == "gain"
        for i in range(400)
    )

    assert called <= 20


def test_answers_of_different_rows_cannot_be_paired():
    """Nor can none."""
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        paired_gain(np.ones(2, bool), np.ones(3, bool), seed=0)
    with pytest.raises(ValueError, match=r"shapes \(0,\)"):
        paired_gain(np.ones(0, bool), np.ones(0, bool), seed=0)


def test_scores_of_values_are_resampled_row_by_row():
    """The slow twin draws rows one after the other; both intervals agree, also beyond the rows that are resampled."""
    rng = np.random.default_rng(0)
    for rows in (300, 6000):
        of, over = 1 - rng.exponential(1, rows), 1 - rng.exponential(1.2, rows)
        drawn = [100 * (of - over)[rng.integers(0, rows, rows)].mean() for _ in range(2000)]
        gain = paired_gain(of, over, seed=0)

        assert gain.points == pytest.approx(100 * (of.mean() - over.mean()))
        np.testing.assert_allclose([gain.low, gain.high], np.percentile(drawn, [2.5, 97.5]), atol=1.5)


def test_rows_that_are_right_or_wrong_give_the_same_gain_as_numbers():
    """Truth values and zeros and ones are one."""
    of, over = answers(40, 20, 400)

    assert paired_gain(of.astype(float), over.astype(float), seed=3) == paired_gain(of, over, seed=3)
