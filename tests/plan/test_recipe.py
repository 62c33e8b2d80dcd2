"""Recipes stay in their space, and the neutral one changes nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.plan.configure import configure
from hpmkd_edge.plan.recipe import NEUTRAL, SPACE, Recipe, recipe_at, sample_recipes
from hpmkd_edge.plan.traits import Traits

SETTINGS = configure(Traits(kind="images", rows=1000, classes=10))
PLACES = st.lists(st.floats(-1, 2), min_size=len(SPACE), max_size=len(SPACE))


@pytest.mark.parametrize("temperature", [0.7, 1.0, 4.0, 12.0])
def test_the_neutral_recipe_is_the_identity_on_settings(temperature):
    """To the bit, and wherever the user has set a number."""
    settings = replace(SETTINGS, temperature=temperature, ce_weight=0.3, learning_rate=0.1234567)

    assert NEUTRAL.applied(settings) == settings


@given(place=PLACES)
def test_applied_settings_stay_in_their_ranges(place):
    """Rate and decay within the factors of the task's own, temperature in 1 … 8, weights that sum to 2."""
    recipe = recipe_at(place)
    applied = recipe.applied(SETTINGS)

    assert 1 <= applied.temperature <= 8
    assert SETTINGS.learning_rate / 8 <= applied.learning_rate <= SETTINGS.learning_rate * 4
    assert 0 < applied.weight_decay <= SETTINGS.weight_decay * 30
    assert 0.005 <= applied.label_smoothing <= 0.05
    assert min(applied.ce_weight, applied.kd_weight) >= 0
    assert applied.ce_weight + applied.kd_weight == pytest.approx(2)


@given(place=PLACES)
def test_vector_and_back_is_the_same_recipe(place):
    """Recipes have three digits, so that the way back is exact; their vectors lie in the unit cube."""
    recipe = recipe_at(place)

    assert recipe_at(recipe.vector()) == recipe
    assert Recipe(**recipe.as_dict()) == recipe
    assert all(0 <= share <= 1 for share in recipe.vector())


def test_the_corners_of_the_cube_are_the_ends_of_the_ranges():
    """No end is lost to rounding."""
    assert recipe_at([0] * 5).as_dict() == {name: span.low for name, span in SPACE.items()}
    assert recipe_at([1] * 5).as_dict() == {name: span.high for name, span in SPACE.items()}


@pytest.mark.parametrize(("name", "value"), [("alpha", 1.2), ("learning_rate_factor", 0.0), ("alpha", float("nan"))])
def test_a_number_outside_the_space_is_refused(name, value):
    """With its name, and what is needed."""
    with pytest.raises(ValueError, match=rf"{name} is .*; a number from .* is needed"):
        Recipe(**{name: value})


def test_a_temperature_of_1_is_not_cooled():
    """Below it the teacher's answer would lose what makes it worth more than a label."""
    cold = Recipe(temperature_factor=0.5).applied(replace(SETTINGS, temperature=1.0))

    assert cold.temperature == 1.0


def test_labels_alone_keep_their_whole_loss():
    """With alpha 1 a training without a teacher would learn from nothing."""
    alone = Recipe(alpha=1.0, learning_rate_factor=2.0).for_labels_alone

    assert alone.applied(SETTINGS).ce_weight == SETTINGS.ce_weight
    assert alone.learning_rate_factor == 2.0


def test_samples_spread_over_each_axis():
    """One in each part of every axis; the same seed draws the same."""
    recipes = sample_recipes(20, seed=3)

    assert recipes == sample_recipes(20, seed=3)
    assert recipes != sample_recipes(20, seed=4)
    for axis in zip(*(recipe.vector() for recipe in recipes), strict=True):
        # Three digits may move a draw over the edge of its part.
        assert all(abs(share - (part + 0.5) / 20) < 0.5 / 20 + 0.01 for part, share in enumerate(sorted(axis)))


def test_phrases_name_what_departs():
    """For the report."""
    assert NEUTRAL.phrase == "the task's own settings"
    assert Recipe(alpha=0.8, learning_rate_factor=2.0).phrase == "alpha 0.8, learning rate ×2"
