"""The configuration manager: races find a better recipe, cheaply, and are remembered."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from sample_lessons import SETTINGS, assert_same, sure

from hpmkd_edge.distill.configuration import CONFIGURATION, Experience, choose_schedule, past_of, settle
from hpmkd_edge.distill.lesson import taught
from hpmkd_edge.distill.workshop import Workshop
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

    def opened(memory=memory, *, digest=task.digest, kept=None):
        return Experience(
            memory=memory, task=digest, name=f"data {digest}", traits=traits, teacher_accuracy=0.99, seed=0, kept=kept
        )

    return opened


def tried(experience, size, recipe, accuracy, *, epochs=9):
    """Return the trial of a training of so many of 9 epochs."""
    return experience.trial(
        size,
        recipe,
        replace(recipe.applied(SLOW), epochs=epochs),
        base=SLOW,
        component=CONFIGURATION,
        accuracy=accuracy,
        seconds=1.0,
    )


def live(experience, size, recipes, *, retention=lambda _: 0.9):
    """Remember a full training by each of *recipes*."""
    experience.memory.remember(*(tried(experience, size, recipe, 0.99 * retention(recipe)) for recipe in recipes))


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
    """As long as predictions hold: by what did best on similar tasks, and by a forest."""
    portfolio, costs, reasons = read_portfolio().recipes, [], []
    for digests, recipes in (((), ()), (("a",), sample_recipes(6, seed=1)), (("b", "c"), sample_recipes(8, seed=2))):
        for digest in digests:
            live(experience(digest=digest), sizes[1], recipes, retention=lambda _: 0.05)
        settled = settle(sizes[0], lesson, make(settings=SLOW), experience=experience(), portfolio=portfolio)
        costs.append(settled.cost)
        reasons.append(settled.sentence)

    assert costs[0] > costs[1]
    assert costs[1] == costs[2]
    assert "most similar runs" in reasons[1]
    assert "22 trainings on images, of 3 tasks, are remembered: the best 3 recipes by a forest" in reasons[2]


@pytest.mark.parametrize("epochs", [1, 2, 4, 5, 9, 14, 20, 45, 120])
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("size", [3, 6, 8])
def test_a_disappointed_prediction_costs_no_more_than_an_empty_memory(epochs, many, size, sizes, experience):
    """Also where a neighbor wins the short race, and must be trained in full beside the first winner."""
    portfolio, settings = (NEUTRAL, *sample_recipes(size - 1, seed=9)), replace(SLOW, epochs=epochs)
    empty = settle(sizes[0], None, Bench(settings, portfolio), experience=experience(None), portfolio=portfolio)
    for digest in ("a", "b", "c")[: 3 if many else 1]:
        live(experience(digest=digest), sizes[1], sample_recipes(10, seed=3), retention=lambda _: 2.0)
    bench = Bench(settings, portfolio)
    settled = settle(sizes[0], None, bench, experience=experience(), portfolio=portfolio)

    assert "was missed" in settled.sentence
    assert settled.cost == pytest.approx(bench.epochs / epochs)
    assert settled.cost <= empty.cost + 1e-9
    if epochs == 9:
        ninths = {3: (12, 12), 6: (21, 21), 8: (26, 23)}[size]
        assert (empty.cost, settled.cost) == (pytest.approx(ninths[0] / 9), pytest.approx(ninths[1] / 9))


class Bench:
    """A workshop that trains nothing: what is nobody's portfolio nor remembered is better than all else."""

    seed = 0

    def __init__(self, settings, known):
        self.settings, self.epochs = settings, 0
        self.known = {recipe.applied(settings).learning_rate for recipe in (*known, *sample_recipes(10, seed=3))}

    def attempt_all(self, assignments):
        self.epochs += sum(one.settings.epochs for one in assignments)
        return tuple(
            SimpleNamespace(accuracy=0.5 if one.settings.learning_rate in self.known else 0.6, seconds=1.0)
            for one in assignments
        )


def test_a_task_s_own_trials_are_no_evidence_for_it(sizes, experience):
    """They would make a prediction of itself; those of other tasks count."""
    live(experience(), sizes[0], [NEUTRAL])

    assert experience().past() == ()
    assert len(experience(digest="another").past()) == 1
    assert experience(memory=None).past() == ()


def test_all_that_was_raced_is_remembered_once_as_it_was_measured(make, lesson, sizes, experience, memory):
    """Each training of each rung, with its epochs; also when the run is repeated, whose trainings are all found."""
    for _ in range(2):
        settled = settle(sizes[0], lesson, make(settings=SLOW), experience=experience(), portfolio=PORTFOLIO)
    trials = memory.trials()
    full = [trial for trial in trials if trial.epochs == 9]

    assert sorted(trial.epochs for trial in trials) == [1, 1, 1, 9]
    assert {tuple(trial.settings.items()) for trial in trials} == {tuple(one.as_dict().items()) for one in PORTFOLIO}
    assert {(trial.task, trial.component, trial.full_epochs) for trial in trials} == {("600 digits", CONFIGURATION, 9)}
    assert len({trial.run for trial in trials}) == 1
    assert [trial.settings for trial in full] == [settled.recipe.as_dict()]
    assert full[0].accuracy == settled.trained.accuracy
    assert all(trial.seconds > 0 for trial in trials)


def test_a_disappointed_prediction_brings_its_neighbors_which_are_remembered_too(
    make, lesson, sizes, experience, memory
):
    """They are the recipes nearest to what was found best; the prediction stands beside its outcome."""
    portfolio = (NEUTRAL, *sample_recipes(7, seed=9))
    live(experience(digest="another"), sizes[0], portfolio, retention=lambda _: 1.0)
    settled = settle(sizes[0], lesson, make(settings=SLOW), experience=experience(), portfolio=portfolio)
    own = [trial for trial in memory.trials() if trial.task == "600 digits"]

    assert settled.trained.epochs == SLOW.epochs
    assert "The prediction of 100.0% retention was missed, so 2 of its neighbors were raced." in settled.sentence
    assert len({tuple(trial.settings.items()) for trial in own}) == 5
    assert [trial.predicted for trial in own if trial.predicted is not None] == [1.0]


def test_a_recipe_that_diverges_loses_and_is_remembered_as_worth_nothing(
    make, lesson, sizes, experience, memory, monkeypatch
):
    """The others go on; it is not as one that was never tried."""
    broken = Recipe(alpha=0.9)

    workshop = make(settings=SLOW)
    attempt_all = Workshop.attempt_all

    def attempted(self, assignments):
        own = broken.applied(SLOW).kd_weight
        trained = attempt_all(self, assignments)
        return tuple(
            None if asked.settings.kd_weight == own else one for asked, one in zip(assignments, trained, strict=True)
        )

    monkeypatch.setattr(Workshop, "attempt_all", attempted)
    settled = settle(sizes[0], lesson, workshop, experience=experience(), portfolio=(NEUTRAL, broken))
    worth = {one.recipe: one for one in past_of(memory.trials())}

    assert settled.recipe == NEUTRAL
    assert (worth[broken].retention, worth[broken].weight) == (0.0, 1.0)
    assert worth[NEUTRAL].retention == settled.trained.accuracy / 0.99


def test_what_fell_behind_is_taken_to_end_as_far_behind_and_weighs_less(sizes, experience):
    """The winner has its own score; one that diverged has none, for certain; a run without its end tells nothing."""
    here = experience(digest="another")
    a, b, c, d = sample_recipes(4, seed=0)
    rungs = {1: {a: 0.5, b: 0.4, c: 0.0, d: 0.1}, 3: {a: 0.6, b: 0.65}, 9: {b: 0.9}}
    trials = [
        tried(here, sizes[0], recipe, score, epochs=epochs)
        for epochs, rung in rungs.items()
        for recipe, score in rung.items()
    ]
    worth = {one.recipe: (one.retention * 0.99, one.weight) for one in past_of(trials)}

    assert worth == {
        a: (pytest.approx(0.85), pytest.approx(1 / 3)),
        b: (pytest.approx(0.9), 1.0),
        c: (0.0, 1.0),
        d: (pytest.approx(0.5), pytest.approx(1 / 9)),
    }
    assert past_of(trials[:-1]) == ()


def test_runs_are_compared_within_themselves_alone(sizes, experience):
    """Another seed, teacher, size or number of epochs is another run."""
    here = experience(digest="another")
    others = (replace(here, seed=1), replace(here, teacher_accuracy=0.5), replace(here, task="third"))
    runs = {tried(one, sizes[0], NEUTRAL, 0.5).run for one in (here, *others)}
    runs |= {tried(here, sizes[1], NEUTRAL, 0.5).run}

    assert len(runs) == 5
    assert tried(here, sizes[0], NEUTRAL, 0.5, epochs=1).run in runs


def test_a_run_that_is_taken_up_is_told_what_it_was_told_before(sizes, experience, tmp_path):
    """Whatever other runs have remembered since; without a memory no file is written."""
    live(experience(digest="another"), sizes[0], PORTFOLIO)
    kept = tmp_path / "remembered.json"
    first = experience(kept=kept).trials()
    live(experience(digest="third"), sizes[0], PORTFOLIO)

    assert experience(kept=kept).trials() == first == experience().trials()[:3]
    assert len(experience().trials()) == 6
    assert experience(memory=None, kept=tmp_path / "none.json").trials() == ()
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize(
    ("won", "chosen"),
    [
        (("cosine", "cosine", "loss"), "cosine"),
        (("gap", "gap", "gap"), "gap"),
        (("cosine", "cosine"), "auto"),
        (("cosine", "loss", "convergence"), "auto"),
        (("constant", "constant", "loss"), "gap"),
    ],
)
def test_the_schedule_is_what_won_on_most_similar_runs_else_auto(won, chosen, sizes, experience):
    """Of at least three; where a constant one won, it is raced anyway, against the one that "auto" never chooses."""
    for number, schedule in enumerate(won):
        other = experience(digest=f"other {number}")
        other.remember(sizes[number], NEUTRAL, replace(SLOW, schedule=schedule), accuracy=0.9, seconds=1.0)
    here = experience()

    assert choose_schedule(here.trials(), here.traits) == chosen
    assert here.past() == ()


def test_what_settings_were_worth_says_nothing_of_schedules(sizes, experience):
    """A recipe's trainings all have the task's own schedule."""
    for number in range(4):
        live(experience(digest=f"other {number}"), sizes[number], PORTFOLIO)
    here = experience()

    assert choose_schedule(here.trials(), here.traits) == "auto"


def test_the_same_data_under_another_split_is_no_other_task(sizes, experience):
    """Its validation rows may be this run's test rows."""
    elsewhere = experience(digest="another split")
    live(replace(elsewhere, name=experience().name), sizes[1], [NEUTRAL])
    assert experience().trials() == ()
    live(elsewhere, sizes[1], [NEUTRAL])

    assert len(experience().trials()) == 1
