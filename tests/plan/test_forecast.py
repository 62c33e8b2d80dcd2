"""What was good on similar tasks is expected to be good again."""

from dataclasses import replace

import numpy as np
import pytest

from hpmkd_edge.plan.forecast import Past, forecast, most_similar, standardized
from hpmkd_edge.plan.recipe import Recipe, sample_recipes
from hpmkd_edge.plan.traits import Traits

FAST, SLOW = Recipe(learning_rate_factor=3.0), Recipe(learning_rate_factor=0.2)


def past_run(rows, recipe, retention, *, kind="table", family="mlp", classes=2):
    traits = Traits(kind=kind, rows=rows, classes=classes, features=10, imbalance=1.5).numbers()
    return Past(task=str(rows), traits=traits, kind=kind, family=family, recipe=recipe, retention=retention)


def small_likes_fast():
    """On tasks of few rows fast recipes retain more, on tasks of many slow ones do."""
    generator = np.random.default_rng(0)
    found = []
    for rows in (200, 300, 500, 50_000, 80_000, 100_000):
        for recipe in sample_recipes(8, seed=rows):
            rate = recipe.vector()[2]
            good = rate if rows < 1000 else 1 - rate
            found.append(past_run(rows, recipe, 0.9 + 0.1 * good + generator.normal(0, 0.002)))
    return found


@pytest.mark.parametrize(("rows", "better"), [(250, FAST), (90_000, SLOW)])
def test_the_forest_prefers_what_was_good_on_similar_tasks(rows, better):
    """The same two recipes, ordered by where the task lies."""
    traits = Traits(kind="table", rows=rows, classes=2, features=10, imbalance=1.5, family="mlp")
    fast, slow = forecast(small_likes_fast(), traits, [FAST, SLOW], seed=0)

    assert (fast > slow) == (better is FAST)
    assert abs(fast - slow) > 0.02
    assert all(0.9 <= one <= 1.0 for one in (fast, slow))


def test_what_was_only_concluded_weighs_less():
    """Of two outcomes of one recipe, the forest is nearer to the one of more weight."""
    traits = Traits(kind="table", rows=250, classes=2, features=10, imbalance=1.5, family="mlp")

    def predicted(weight):
        good = [replace(past_run(250, FAST, 1.0), weight=1 - weight) for _ in range(10)]
        bad = [replace(past_run(250, FAST, 0.5), weight=weight) for _ in range(10)]
        return forecast([*good, *bad], traits, [FAST], seed=0)[0]

    assert predicted(0.5) == pytest.approx(0.75, abs=0.03)
    assert predicted(0.1) == pytest.approx(0.95, abs=0.03)


def test_the_forest_is_deterministic_and_reads_its_kind_alone():
    """The same seed gives the same numbers; what images say changes nothing for a table."""
    traits = Traits(kind="table", rows=250, classes=2, family="mlp")
    past = small_likes_fast()[::2]
    images = [past_run(250, FAST, 0.1, kind="images")]
    once = forecast(past, traits, [FAST, SLOW], seed=1)

    assert forecast(past, traits, [FAST, SLOW], seed=1) == once
    assert forecast([*past, *images], traits, [FAST, SLOW], seed=1) == once


def test_the_units_of_a_trait_change_no_distance():
    """Rows in thousands, features in dozens: the logarithm moves, the standardized trait does not."""
    rows = [(100, 7), (1000, 3), (5000, 12), (20_000, 8)]
    scale = {"rows": 1000, "features": 12}

    def table(unit):
        found = [
            Traits(kind="table", rows=count * unit["rows"], classes=2, features=features * unit["features"])
            for count, features in rows
        ]
        past = [
            Past(task="a", traits=one.numbers(), kind="table", family="mlp", recipe=FAST, retention=1.0)
            for one in found[:-1]
        ]
        return standardized(past, found[-1])

    matrix, now = table({"rows": 1, "features": 1})
    other_matrix, other_now = table(scale)

    np.testing.assert_allclose(matrix, other_matrix, atol=1e-12)
    np.testing.assert_allclose(now, other_now, atol=1e-12)


def test_standardized_traits_have_mean_0_and_deviation_1():
    """Over the past and the task at hand together; a trait that is equal everywhere is 0."""
    past = [past_run(rows, FAST, 1.0, family="mlp" if rows < 500 else "own") for rows in (100, 300, 900, 4000)]
    matrix, now = standardized(past, Traits(kind="table", rows=50, classes=2, features=10, family="mlp"))
    whole = np.vstack([matrix, now])
    spread = whole.std(axis=0)

    np.testing.assert_allclose(whole.mean(axis=0), 0, atol=1e-12)
    assert set(np.round(spread, 9)) == {0.0, 1.0}


@pytest.mark.parametrize("gap", ["absent", "nan"])
def test_an_unknown_trait_stands_at_the_mean(gap):
    """It draws a run neither nearer nor away."""
    past = [past_run(rows, FAST, 1.0) for rows in (100, 300, 900)]
    traits = {**past[1].traits}
    del traits["rows"]
    if gap == "nan":
        traits["rows"] = float("nan")
    one = Past(task="a", traits=traits, kind="table", family="mlp", recipe=FAST, retention=1.0)
    now = Traits(kind="table", rows=500, classes=2, features=10, imbalance=1.5)
    matrix, _ = standardized([*past, one], now)
    names = sorted({*past[0].traits, "same_family"})

    assert matrix[3, names.index("rows")] == 0.0
    assert np.isfinite(matrix).all()


def test_the_most_similar_runs_come_nearest_first():
    """Distances of logarithms: 900 is nearer to 1,000 than 100 is; recipes of one task are one run."""
    past = [past_run(100, FAST, 0.9), past_run(900, FAST, 0.8), past_run(900, SLOW, 0.7), past_run(10**6, FAST, 0.6)]
    traits = Traits(kind="table", rows=1000, classes=2, features=10, imbalance=1.5, family="mlp")
    runs = most_similar([*past, past_run(1000, FAST, 0.5, kind="images")], traits, 2)

    assert runs == ((past[1], past[2]), (past[0],))
    assert most_similar([], traits) == ()


def test_of_equal_tasks_that_of_the_same_family_is_nearer():
    """A recipe is for a student too."""
    past = [past_run(500, FAST, 0.9, family="residual"), past_run(500, FAST, 0.9, family="mlp")]
    traits = Traits(kind="table", rows=500, classes=2, features=10, imbalance=1.5, family="mlp")

    assert most_similar(past, traits, 1) == ((past[1],),)
