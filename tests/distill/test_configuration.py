"""The configuration manager: races find a better recipe, cheaply, and are remembered."""

import math
from dataclasses import replace

import pytest
from sample_lessons import SETTINGS, assert_same, sure

from hpmkd_edge.distill import configuration
from hpmkd_edge.distill.configuration import Experience, choose_schedule, expected, settle
from hpmkd_edge.distill.lesson import taught
from hpmkd_edge.plan.halving import Entry, Halving, successive_halving
from hpmkd_edge.plan.memory import Memory
from hpmkd_edge.plan.portfolio import read_portfolio
from hpmkd_edge.plan.recipe import NEUTRAL, Recipe, sample_recipes
from hpmkd_edge.plan.traits import traits_of
from hpmkd_edge.store.opening import open_store

SLOW = replace(SETTINGS, epochs=9, batch=80, learning_rate=5e-4)
FAST_RECIPE = Recipe(learning_rate_factor=4.0)
PORTFOLIO = (NEUTRAL, FAST_RECIPE, Recipe(learning_rate_factor=0.25))


@pytest.fixture
def lesson(task, untaught, views):
    return taught(untaught, views, sure(task), sources="right")


@pytest.fixture
def memory(tmp_path):
    return Memory(open_store(tmp_path / "memory").engine)


@pytest.fixture
def experience(task, memory):
    """Return a function that opens this task's experience with the memory, or with none."""
    traits = traits_of(task, teacher_parameters=100_000, teacher_accuracy=0.99)

    def opened(memory=memory, *, digest=task.digest):
        return Experience(memory=memory, task=digest, name="digits", traits=traits, teacher_accuracy=0.99, seed=0)

    return opened


def live(experience, size, recipes, *, retention=lambda _: 0.9, schedule="constant"):
    """Remember a training by each of *recipes*."""
    for recipe in recipes:
        experience.remember(
            size,
            recipe,
            replace(SLOW, schedule=schedule),
            accuracy=0.99 * retention(recipe),
            predicted=None,
            seconds=1.0,
        )


def test_a_race_finds_a_recipe_that_is_better_than_the_task_s_own(make, lesson, sizes, experience):
    """Where those learn far too slowly: the winner trains a clearly better student, and changes only what it says."""
    workshop = make(settings=SLOW)
    settled = settle(sizes[3], lesson, workshop, experience=experience(), portfolio=PORTFOLIO)
    own, found = (
        make(settings=settings).train(sizes[3], lesson, "x").accuracy for settings in (SLOW, settled.settings)
    )

    assert settled.recipe == FAST_RECIPE
    assert settled.settings == replace(SLOW, learning_rate=2e-3)
    assert found > own + 0.05
    assert "learning rate ×4" in settled.sentence


def test_settings_for_labels_alone_keep_their_weight_and_temperature(make, lesson, sizes, experience):
    """A share of the teacher would scale their loss down, where there is no teacher."""
    portfolio = (Recipe(alpha=0.9, learning_rate_factor=4.0, temperature_factor=0.5),)
    settled = settle(sizes[0], lesson, make(settings=SLOW), experience=experience(), portfolio=portfolio)

    assert (settled.settings.ce_weight, settled.settings.temperature) == (pytest.approx(0.2), 2.0)
    assert settled.alone == replace(SLOW, learning_rate=2e-3)


def test_the_race_costs_at_most_three_trainings_and_its_winner_is_plain_distillation(make, lesson, sizes, experience):
    """Of the whole portfolio; the last of them is found again where plain distillation is trained."""
    workshop = make(settings=SLOW)
    settled = settle(sizes[0], lesson, workshop, experience=experience(), portfolio=read_portfolio().recipes)
    epochs = workshop.stop.asked
    plain = replace(workshop, settings=settled.settings).train(sizes[0], lesson, "KD")

    assert_same(settled.trained, plain)
    assert epochs <= SLOW.epochs * settled.cost + 1e-9
    assert settled.cost <= 3
    assert workshop.stop.asked == epochs


def test_a_memory_of_other_tasks_makes_the_race_cheaper(make, lesson, sizes, experience):
    """The more is remembered the fewer are raced, as long as predictions hold: none, a few, enough for a forest."""
    portfolio, costs = read_portfolio().recipes, []
    for number, recipes in enumerate(((), sample_recipes(6, seed=1), sample_recipes(20, seed=2))):
        live(experience(digest=f"other {number}"), sizes[1], recipes, retention=lambda _: 0.05)
        settled = settle(sizes[0], lesson, make(settings=SLOW), experience=experience(), portfolio=portfolio)
        costs.append(settled.cost)

    assert costs[0] > costs[1] > costs[2]


def test_a_task_s_own_trials_are_no_evidence_for_it(sizes, experience):
    """They would make a prediction of itself; those of other tasks count."""
    live(experience(), sizes[0], [NEUTRAL])

    assert experience().past() == ()
    assert len(experience(digest="another").past()) == 1
    assert experience(memory=None).past() == ()


def test_all_that_was_raced_is_remembered_once(make, lesson, sizes, experience, memory):
    """Also when the same run is repeated, whose trainings are all found."""
    for _ in range(2):
        settled = settle(sizes[0], lesson, make(settings=SLOW), experience=experience(), portfolio=PORTFOLIO)
    trials = memory.trials()

    assert [trial.settings for trial in trials] == [recipe.as_dict() for recipe in PORTFOLIO]
    assert {trial.task for trial in trials} == {"600 digits"}
    assert max(trials, key=lambda trial: trial.accuracy).settings == settled.recipe.as_dict()
    assert all(trial.epochs == 9 and trial.seconds > 0 for trial in trials)


def test_a_disappointed_prediction_brings_its_neighbors_which_are_remembered_too(
    make, lesson, sizes, experience, memory
):
    """They are the recipes nearest to what was found best; the prediction stands beside its outcome."""
    live(experience(digest="another"), sizes[0], PORTFOLIO, retention=lambda _: 1.0)
    settled = settle(sizes[0], lesson, make(settings=SLOW), experience=experience(), portfolio=PORTFOLIO)
    own = [trial for trial in memory.trials() if trial.task == "600 digits"]

    assert settled.trained.epochs == SLOW.epochs
    assert "The prediction of 100.0% retention was missed, so its neighbors were raced." in settled.sentence
    assert len({tuple(trial.settings.items()) for trial in own}) == len(own) > len(PORTFOLIO)
    assert [trial.predicted for trial in own if trial.predicted is not None] == [1.0]


def test_a_recipe_that_diverges_loses_and_is_not_remembered(make, lesson, sizes, experience, memory, monkeypatch):
    """The others go on."""
    broken = Recipe(alpha=0.9)

    def evaluated(recipes, evaluate, epochs):
        return successive_halving(
            recipes,
            lambda some, count: [
                math.nan if recipe == broken else score
                for recipe, score in zip(some, evaluate(some, count), strict=True)
            ],
            epochs,
        )

    monkeypatch.setattr(configuration, "successive_halving", evaluated)
    portfolio = (NEUTRAL, broken)
    settled = settle(sizes[0], lesson, make(settings=SLOW), experience=experience(), portfolio=portfolio)

    assert settled.recipe == NEUTRAL
    assert [trial.settings for trial in memory.trials()] == [NEUTRAL.as_dict()]


def rung(epochs, **scores):
    return tuple(Entry(candidate=name, epochs=epochs, score=score) for name, score in scores.items())


def test_what_fell_behind_is_expected_to_end_as_far_behind():
    """The winner has its own score; one that failed has none."""
    rungs = (rung(1, a=0.5, b=0.4, c=math.nan, d=0.1), rung(3, a=0.6, b=0.65), rung(9, b=0.9))
    accuracies = expected(Halving(rungs=rungs, epochs=9))

    assert accuracies == {"a": pytest.approx(0.85), "b": 0.9, "d": pytest.approx(0.5)}


def test_the_schedule_is_what_won_on_most_similar_runs_else_auto(sizes, experience):
    """Of at least three, and more than half of them; a constant one is raced anyway."""
    chosen = []
    for number, schedule in enumerate(("cosine", "cosine", "gap", "cosine")):
        here = experience()
        chosen.append(choose_schedule(here.trials(), here.traits))
        live(experience(digest=f"other {number}"), sizes[number], [NEUTRAL], schedule=schedule)
    here = experience()

    assert chosen == ["auto", "auto", "auto", "cosine"]
    assert choose_schedule(here.trials(), here.traits) == "cosine"
