"""Successive halving finds the best of noiseless scores for the price of three trainings."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.errors import TrainingFailed
from hpmkd_edge.plan.halving import successive_halving

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=30, unique=True)


class Oracle:
    """Scores candidates by themselves, whatever the epochs, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, candidates, epochs):
        self.asked.append((len(candidates), epochs))
        return [float(candidate) for candidate in candidates]


def test_eight_candidates_cost_less_than_three_trainings():
    """8/9 + 3/3 + 1."""
    oracle = Oracle()
    halving = successive_halving(range(8), oracle, 90)

    assert oracle.asked == [(8, 10), (3, 30), (1, 90)]
    assert halving.cost == pytest.approx(8 / 9 + 1 + 1)
    assert (halving.winner.candidate, halving.winner.epochs) == (7, 90)


@given(scores=SCORES, epochs=st.integers(1, 100))
def test_the_best_of_noiseless_scores_wins(scores, epochs):
    """And is trained for all epochs, in whichever order it stands."""
    forward = successive_halving(scores, Oracle(), epochs)
    backward = successive_halving(scores[::-1], Oracle(), epochs)

    assert forward.winner == backward.winner
    assert (forward.winner.candidate, forward.winner.epochs) == (max(scores), epochs)


@given(scores=SCORES, epochs=st.integers(1, 100))
def test_a_dominated_candidate_changes_no_winner(scores, epochs):
    """It costs a little, and nothing else."""
    before = successive_halving(scores, Oracle(), epochs)
    after = successive_halving([*scores, -1.0], Oracle(), epochs)

    assert after.winner == before.winner
    # A single candidate skips the short rungs.
    assert after.cost >= before.cost


def test_of_equals_the_earlier_goes_on():
    """A portfolio's order is its prior."""
    halving = successive_halving("abcdefgh", lambda candidates, epochs: [0.5] * len(candidates), 9)

    assert [[entry.candidate for entry in rung] for rung in halving.rungs] == [list("abcdefgh"), list("abc"), ["a"]]


def test_a_single_candidate_is_trained_once():
    """There is nothing to race."""
    oracle = Oracle()
    halving = successive_halving([4], oracle, 30)

    assert oracle.asked == [(1, 30)]
    assert halving.cost == 1.0


@pytest.mark.parametrize(("epochs", "asked"), [(1, [(8, 1)]), (2, [(8, 1), (1, 2)]), (4, [(8, 1), (1, 4)])])
def test_rungs_of_equal_epochs_are_not_trained_twice(epochs, asked):
    """Their scores would be the same, so both cuts are made on them."""
    oracle = Oracle()
    halving = successive_halving(range(8), oracle, epochs)

    assert oracle.asked == asked
    assert halving.winner.candidate == 7


def test_what_failed_does_not_go_on():
    """Even where fewer are left than could."""

    def evaluate(candidates, epochs):
        return [0.5 if candidate == 5 else math.nan for candidate in candidates]

    halving = successive_halving(range(8), evaluate, 90)

    assert [len(rung) for rung in halving.rungs] == [8, 1]
    assert halving.winner.candidate == 5


def test_if_all_fail_the_race_says_so():
    """No winner is made up."""
    with pytest.raises(TrainingFailed, match="each of the 3 configurations failed within 10 epochs"):
        successive_halving(range(3), lambda candidates, epochs: [math.nan] * len(candidates), 90)


def test_wrong_questions_are_refused():
    """Nothing to race, or scores that belong to nobody."""
    with pytest.raises(ValueError, match="no candidates"):
        successive_halving([], Oracle(), 9)
    with pytest.raises(ValueError, match="1 scores were given for 2 candidates"):
        successive_halving([1, 2], lambda candidates, epochs: [0.5], 9)
