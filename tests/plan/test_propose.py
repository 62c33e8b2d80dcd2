"""The more is remembered, the fewer recipes are raced, and the better ones."""

from dataclasses import replace

import pytest

from hpmkd_edge.plan.forecast import Past
from hpmkd_edge.plan.portfolio import read_portfolio
from hpmkd_edge.plan.propose import MOST, disappoints, propose, refine
from hpmkd_edge.plan.recipe import NEUTRAL, SPACE, Recipe, sample_recipes
from hpmkd_edge.plan.traits import Traits

PORTFOLIO = read_portfolio().recipes
TRAITS = Traits(kind="table", rows=1000, classes=2, features=10, imbalance=1.5, family="mlp")


def past_run(recipe, retention, *, rows=1000, kind="table"):
    traits = Traits(kind=kind, rows=rows, classes=2, features=10, imbalance=1.5).numbers()
    return Past(task=f"{rows}", traits=traits, kind=kind, family="mlp", recipe=recipe, retention=retention)


def weak_decay_wins(count):
    """Trainings whose retention falls with the weight decay alone."""
    return [
        past_run(recipe, 1 - 0.1 * recipe.vector()[3], rows=500 + 100 * (number % 4))
        for number, recipe in enumerate(sample_recipes(count, seed=7))
    ]


def test_an_empty_memory_proposes_the_portfolio():
    """What is remembered of images says nothing of tables."""
    proposal = propose(TRAITS, [past_run(NEUTRAL, 0.9, kind="images")], PORTFOLIO, seed=0)

    assert (proposal.source, proposal.recipes) == ("portfolio", PORTFOLIO)
    assert set(proposal.predicted) == {None}
    assert proposal.reason == f"Nothing is remembered of tables: the portfolio's {len(PORTFOLIO)} recipes are raced."


def test_a_little_memory_brings_the_winners_of_similar_runs_first():
    """Judged within each run: the teacher of the second task allowed less, yet its winner is a winner."""
    good, bad, far = PORTFOLIO[4], PORTFOLIO[1], PORTFOLIO[5]
    past = [past_run(bad, 0.95), past_run(good, 0.99), past_run(far, 0.80, rows=90_000)]
    proposal = propose(TRAITS, past, PORTFOLIO, seed=0)

    assert proposal.source == "similar"
    assert proposal.recipes == (good, far, NEUTRAL)
    assert proposal.predicted == (0.99, 0.80, None)
    assert len(proposal.recipes) == MOST < len(PORTFOLIO)
    assert proposal.prediction(good) == 0.99
    assert bad not in proposal.recipes


def test_from_twenty_trainings_a_forest_orders_and_adds_its_argmax():
    """Recipes of weak decay lead, one that the portfolio does not have among them."""
    proposal = propose(TRAITS, weak_decay_wins(40), PORTFOLIO, seed=0)

    assert proposal.source == "forest"
    assert len(proposal.recipes) == MOST
    assert proposal.recipes[0] not in PORTFOLIO
    assert proposal.recipes[0].weight_decay_factor < 0.2
    assert proposal.predicted[0] > max(proposal.predicted[1:])
    assert proposal == propose(TRAITS, weak_decay_wins(40), PORTFOLIO, seed=0)


@pytest.mark.parametrize("count", [0, 1, 19, 20, 30])
def test_the_tasks_own_settings_are_always_raced(count):
    """Memory may be wrong, and is then beaten by what needs none."""
    proposal = propose(TRAITS, weak_decay_wins(count), PORTFOLIO, seed=0)

    assert NEUTRAL in proposal.recipes
    assert len(set(proposal.recipes)) == len(proposal.recipes) == len(proposal.predicted)
    assert proposal.source == ("portfolio" if count == 0 else "similar" if count < 20 else "forest")


def test_trainings_on_one_or_two_tasks_are_no_forest():
    """However many: it would learn those tasks."""
    two = [replace(one, task=str(number % 2)) for number, one in enumerate(weak_decay_wins(40))]

    assert propose(TRAITS, two, PORTFOLIO, seed=0).source == "similar"
    assert propose(TRAITS, [replace(two[0], task="third"), *two[1:]], PORTFOLIO, seed=0).source == "forest"


def test_what_diverged_on_a_similar_task_is_not_raced_again():
    """It is known to lose, where one that was never tried is taken to fall behind a little."""
    bad = PORTFOLIO[1]
    proposal = propose(TRAITS, [past_run(NEUTRAL, 0.95), past_run(bad, 0.0)], PORTFOLIO, seed=0)

    assert bad not in proposal.recipes


def test_only_a_miss_beyond_the_tolerance_disappoints():
    """Without a prediction there is nothing to miss."""
    assert disappoints(0.99, 0.97)
    assert not disappoints(0.99, 0.985)
    assert not disappoints(0.99, 0.97, tolerance=0.05)
    assert not disappoints(None, 0.1)


@pytest.mark.parametrize("rate", [SPACE["learning_rate_factor"].low, 1.0, SPACE["learning_rate_factor"].high])
def test_refinement_stays_near_and_leaves_the_recipe_itself_out(rate):
    """Two or three neighbors; at an end of the learning rate's range one is missing."""
    recipe = Recipe(learning_rate_factor=rate)
    near = refine(recipe, seed=0)

    assert len(near) == (3 if rate == 1.0 else 2)
    assert recipe not in near
    assert near == refine(recipe, seed=0)
    for other in near:
        assert all(abs(a - b) < 0.6 for a, b in zip(other.vector(), recipe.vector(), strict=True))
