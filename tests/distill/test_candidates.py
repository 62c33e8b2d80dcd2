"""The race: who is best, and what each is worth over labels alone and over plain distillation."""

import numpy as np
import pytest
from sample_lessons import SETTINGS
from torch import nn

from hpmkd_edge.distill.candidates import Finish, Rival, duel, merit, race_of
from hpmkd_edge.distill.torch_link import Trained

LABELS = np.arange(200) % 4


def finish(name, right, lesson, *, loss=1.0):
    """Return a finisher that is right on the first so many rows."""
    guesses = np.where(np.arange(200) < right, LABELS, (LABELS + 1) % 4)
    trained = Trained(
        module=nn.Identity(),
        logits=np.eye(4, dtype=np.float32)[guesses],
        accuracy=right / 200,
        loss=loss,
        best_epoch=1,
        epochs=1,
        seconds=1.0,
    )
    return Finish(rival=Rival(name=name, lesson=lesson), trained=trained)


@pytest.fixture
def race(untaught):
    finishes = [finish(name, right, untaught) for name, right in (("direct", 100), ("KD", 120), ("chain", 119))]
    return race_of(finishes, LABELS, seed=0, findings=(), settings=SETTINGS)


def test_everyone_is_compared_with_the_first_two(race):
    """Plain distillation with labels alone, all others with both."""
    assert [(one.of, one.over) for one in race.duels] == [("KD", "direct"), ("chain", "direct"), ("chain", "KD")]
    assert [one.gain.points for one in race.duels] == [10.0, 9.5, -0.5]


def test_the_most_accurate_wins(race):
    """On validation rows; nothing is won by being last."""
    assert race.winner.rival.name == "KD"


def test_of_equals_the_smaller_loss_wins_then_the_earlier(untaught):
    """The same file again is no reason to ship another."""
    first, sure_one, later = (
        finish(name, 100, untaught, loss=loss) for name, loss in (("a", 1), ("b", 0.5), ("c", 0.5))
    )
    race = race_of([first, sure_one, later], LABELS, seed=0, findings=(), settings=SETTINGS)

    assert race.winner is sure_one
    assert merit(sure_one) == merit(later) > merit(first)


def test_a_duel_is_paired_by_rows(untaught):
    """Swapped it has the opposite sign, with itself it is nothing, and its seed decides its interval."""
    one, other = finish("one", 130, untaught), finish("other", 100, untaught)
    there, back = duel(one, other, LABELS, seed=0), duel(other, one, LABELS, seed=0)
    itself = duel(one, one, LABELS, seed=0).gain

    assert there.gain.points == -back.gain.points == 15.0
    assert 0 < there.gain.low < 15 < there.gain.high
    assert there.gain.verdict == "gain"
    assert (itself.points, itself.low, itself.high) == (0, 0, 0)
    assert duel(one, other, LABELS, seed=0) == there
