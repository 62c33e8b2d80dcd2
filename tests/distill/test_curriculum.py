"""All the ways to train one student: who races, at what epochs, and when a component has nothing to add."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_lessons import SETTINGS, Stop, sure, weights_of

from hpmkd_edge.distill import curriculum as curriculum_module
from hpmkd_edge.distill.configuration import Experience, Settled
from hpmkd_edge.distill.curriculum import LONGEST_CHAIN, Curriculum, train_best
from hpmkd_edge.distill.lesson import taught
from hpmkd_edge.distill.mixture import Source, mixtures
from hpmkd_edge.distill.stages import plan_stages
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.distill.workshop import Assignment, Workshop
from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.plan.components import COMPONENTS, without
from hpmkd_edge.plan.recipe import NEUTRAL
from hpmkd_edge.plan.traits import traits_of

DIRECT, PLAIN = "direct", "KD from t0"


class Bench:
    """Stands in for the workshop's trainings: each has the accuracy that is said of it, and random weights.

    Attributes:
        rows: right, of 200 for validation, by the end of a label; *links* of every link, *chains* of a student behind
            one link, two, three; else *usual*.
        asked: all assignments, in order.
    """

    def __init__(self, labels):
        self.labels, self.usual, self.links = labels, 160, 180
        self.chains, self.rows, self.asked = (160, 160, 160), {}, []

    def right(self, label):
        if label.startswith("link "):
            return self.links
        if ": chain through " in label:
            return self.chains[label.count(",")]
        return next((rows for end, rows in self.rows.items() if label.endswith(end)), self.usual)

    def train_all(self, workshop, assignments):
        self.asked += assignments
        return tuple(self.trained(workshop, one) for one in assignments)

    def trained(self, workshop, asked):
        right, known = self.right(asked.label), self.labels
        guesses = np.where(np.arange(len(known)) < right, known, (known + 1) % 10)
        epochs = (asked.settings or workshop.settings).epochs
        return Trained(
            module=workshop.family.build(asked.size, workshop.shape, 0).eval(),
            logits=np.eye(10, dtype=np.float32)[guesses],
            accuracy=right / len(known),
            loss=1.0,
            best_epoch=1,
            epochs=epochs,
            seconds=1.0,
            temperatures=(4.0,) * epochs if asked.lesson.guides else (),
        )


@pytest.fixture
def bench(monkeypatch, task):
    """Trainings that are made up; a test says who is how good."""
    made_up = Bench(task.validation.labels)
    monkeypatch.setattr(Workshop, "train_all", lambda workshop, assignments: made_up.train_all(workshop, assignments))
    return made_up


@pytest.fixture(scope="module")
def sources(task):
    """A teacher that knows the labels, and one whose answers went to other rows."""
    answers = (sure(task), sure(task, shuffled=True))
    return [Source(name=f"t{number}", digest=f"d{number}", answer=answer) for number, answer in enumerate(answers)]


@pytest.fixture(scope="module")
def together(untaught, views, sources):
    """The lessons of both, with attention and without."""
    return {attention: mixtures(untaught, views, sources, attention=attention, seed=0) for attention in (True, False)}


@pytest.fixture
def curriculum(make, task, untaught, views, sizes, sources, together):
    """Return a function that lays out what a student is taught from: one teacher, everything on but configuration."""

    def laid(*, off=(), teachers=1, accuracies=(("the teacher", 0.99),), **changes):
        components = without(off)
        several = together[components.uses("attention")] if teachers > 1 else ()
        settings = {
            "workshop": make(),
            "components": components,
            "untaught": untaught,
            "views": views,
            "teacher": (PLAIN, taught(untaught, views, sources[0].answer, sources="d0")),
            "teachers": accuracies,
            "teacher_parameters": 40 * sizes[-1].parameters,
            "refuse_weak": True,
            "mixtures": several,
            "labels": task.validation.labels,
            "ladder": sizes,
            "settle": None,
            "experience": Experience(
                memory=None, task=task.digest, name="digits", traits=traits_of(task), teacher_accuracy=0.99, seed=0
            ),
            "schedule": "cosine",
        }
        return Curriculum(**{**settings, **changes})

    return laid


def names(race):
    return [finish.rival.name for finish in race.finishes]


def sentences(race, component):
    return [finding.sentence for finding in race.findings if finding.component == component]


def test_with_all_components_on_each_way_is_in_the_race(bench, curriculum, sizes):
    """Labels alone and plain distillation first, then each component's rival."""
    race = train_best(sizes[1], (), curriculum(teachers=2))

    assert names(race)[:5] == [
        DIRECT,
        PLAIN,
        "KD from 2, weighed by label",
        "KD from 2, by attention",
        "KD from t0, T by cosine",
    ]
    assert names(race)[5].startswith("chain through mlp ")
    assert len(names(race)) == 6
    assert [finding.component for finding in race.findings] == ["attention", "temperature", "chain"]
    assert all(finding.duel is not None for finding in race.findings)


@pytest.mark.parametrize(
    ("off", "gone"),
    [
        (("chain",), ["chain through"]),
        (("temperature",), ["T by"]),
        (("attention",), ["by attention", "weighed by label"]),
        (tuple(COMPONENTS), ["chain through", "T by", "by attention", "weighed by label"]),
    ],
)
def test_a_component_that_is_off_has_no_rival(bench, curriculum, sizes, off, gone):
    """The others have theirs; labels alone and plain distillation always race."""
    found = names(train_best(sizes[1], (), curriculum(teachers=2, off=off)))

    assert found[:2] == [DIRECT, PLAIN]
    assert not any(part in name for part in gone for name in found)
    assert ("KD from the mean of 2" in found) == ("attention" in off)


def test_all_rivals_have_the_same_epochs(bench, curriculum, sizes):
    """Links of a chain too; stages share them."""
    stages = plan_stages(["kd", "logit_mse"], SETTINGS.epochs, known=["kd", "logit_mse"])
    race = train_best(sizes[1], (), curriculum(teachers=2, stages=stages))
    staged = [asked.settings.epochs for asked in bench.asked if ": stage " in asked.label]

    assert {finish.trained.epochs for finish in race.finishes} == {SETTINGS.epochs}
    assert sum(staged) == SETTINGS.epochs
    assert {(asked.settings or SETTINGS).epochs for asked in bench.asked if ": stage " not in asked.label} == {
        SETTINGS.epochs
    }


def test_labels_alone_are_trained_without_a_guide(bench, curriculum, sizes):
    """And everyone else with one."""
    race = train_best(sizes[1], (), curriculum(teachers=2))

    assert [len(finish.rival.lesson.guides) for finish in race.finishes] == [0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("accuracy", [0.70, 0.80])
def test_a_teacher_that_does_not_beat_direct_training_is_refused(bench, curriculum, sizes, accuracy):
    """With both accuracies, before more is trained."""
    sentence = (
        rf"t0 has {accuracy:.2%} of the validation rows, and the student mlp 8×1 has 80.00% .*--accept-weak-teacher"
    )
    with pytest.raises(BadTeacher, match=sentence):
        train_best(sizes[1], (), curriculum(accuracies=(("t1", 0.99), ("t0", accuracy))))

    assert len(bench.asked) == 1


def test_a_weak_teacher_may_be_accepted(bench, curriculum, sizes):
    """Then it races like any other."""
    race = train_best(sizes[1], (), curriculum(accuracies=(("t0", 0.7),), refuse_weak=False))

    assert names(race)[:2] == [DIRECT, PLAIN]
    assert len(race.finishes) == 4


@pytest.mark.parametrize("method", ["logit_mse", "brier"])
def test_a_loss_without_a_temperature_has_no_rival_with_a_moving_one(bench, curriculum, make, sizes, method):
    """It is said, and nothing is trained for it."""
    workshop = make(settings=replace(SETTINGS, method=method))
    race = train_best(sizes[1], (), curriculum(workshop=workshop, off=("chain",)))

    assert names(race) == [DIRECT, PLAIN]
    assert sentences(race, "temperature") == [f"the loss {method} has no temperature"]


def test_the_moving_temperature_is_built_on_the_best_lesson(bench, curriculum, sizes):
    """Here that of several teachers; its gain is over that rival."""
    bench.rows = {"by attention": 180}
    race = train_best(sizes[1], (), curriculum(teachers=2, off=("chain",)))
    moving, duel = race.finishes[-1], race.findings[-1].duel

    assert moving.rival.name == "KD from 2, by attention, T by cosine"
    assert moving.rival.settings == replace(SETTINGS, schedule="cosine")
    assert (duel.of, duel.over) == (moving.rival.name, "KD from 2, by attention")


def chains(race):
    return [name.count(",") + 1 for name in names(race) if name.startswith("chain through")]


@pytest.mark.parametrize(
    ("rows", "grown"),
    [
        pytest.param((160, 200, 200), [1], id="no gain"),
        pytest.param((161, 200, 200), [1], id="half a point within the noise"),
        pytest.param((175, 175, 200), [1, 2], id="the second adds nothing"),
        pytest.param((170, 185, 195), [1, 2, 3], id="as long as it gains"),
        pytest.param((150, 200, 200), [1], id="a loss"),
    ],
)
def test_a_chain_grows_only_as_long_as_the_final_student_gains(bench, curriculum, sizes, rows, grown):
    """By half a point at least and by more than its noise, over the chain before; at most to its longest."""
    bench.chains = rows
    race = train_best(sizes[1], (), curriculum(off=("temperature",)))
    duels = [finding.duel for finding in race.findings]

    assert chains(race) == grown
    assert [duel.over for duel in duels] == [PLAIN, *(duel.of for duel in duels[:-1])]
    assert len(grown) <= LONGEST_CHAIN


def test_a_clear_gain_that_is_too_small_ends_the_chain_too(bench, curriculum, sizes, monkeypatch):
    """And does not ship, however accurate: a chain costs a training more each time."""
    monkeypatch.setattr(curriculum_module, "LEAST_GAIN_POINTS", 8.0)
    bench.chains = (175, 200, 200)
    race = train_best(sizes[1], (), curriculum(off=("temperature",)))

    assert chains(race) == [1]
    assert not race.winner.rival.name.startswith("chain")


def test_a_chain_ends_where_the_ladder_has_no_room(bench, curriculum, sizes):
    """And says so."""
    race = train_best(sizes[-2], (), curriculum(off=("temperature",), teacher_parameters=sizes[-1].parameters))

    assert chains(race) == []
    assert sentences(race, "chain") == ["the ladder has no room for 1 between teacher and student"]


def test_a_weak_link_ends_the_chain_and_is_named(bench, curriculum, sizes):
    """Nothing is trained behind it."""
    bench.links = 150
    race = train_best(sizes[1], (), curriculum(off=("temperature",)))

    assert names(race) == [DIRECT, PLAIN]
    (sentence,) = sentences(race, "chain")
    assert "has 75.00% of the validation rows, no more than the student on labels alone (80.00%)" in sentence


def test_a_chain_that_must_be_is_trained_once(bench, curriculum, sizes):
    """As laid, whatever the component's own rule, and also where that is off."""
    race = train_best(sizes[1], (sizes[5], sizes[2]), curriculum(off=("temperature", "chain")))

    assert names(race)[2:] == [f"chain through {sizes[5].label}, {sizes[2].label}"]
    assert race.finishes[2].rival.start.source == sizes[2].label
    assert len(race.finishes[2].rival.lesson.guides) == 3


def test_every_intermediate_is_kept_with_what_it_led_to(bench, curriculum, sizes):
    """Of each chain that was raced, whether it won or not."""
    bench.chains = (175, 175, 200)
    race = train_best(sizes[1], (), curriculum(off=("temperature",)))
    first, second = [name for name in names(race) if name.startswith("chain through")]

    assert [one.rival for one in race.intermediates] == [first, second, second]
    assert [one.size for one in race.intermediates] == [size for chain in race.chains for size in chain.sizes[:-1]]
    assert all(one.taught and one.trained.accuracy == 0.9 for one in race.intermediates)


def test_an_intermediate_that_is_refused_is_kept_too(bench, curriculum, sizes):
    """It was trained; alone it led to nothing, behind another it is in that one's chain and does not teach."""
    weak, usual = sizes[2], bench.right
    bench.right = lambda label: 100 if label == f"link {weak.label}" else usual(label)
    alone, behind = (
        train_best(sizes[1], between, curriculum(off=("temperature",))).intermediates
        for between in ((weak,), (sizes[5], weak))
    )

    assert [(one.size, one.taught, one.rival) for one in alone] == [(weak, False, None)]
    assert [(one.size, one.taught, one.rival) for one in behind] == [
        (sizes[5], True, f"chain through {sizes[5].label}"),
        (weak, False, f"chain through {sizes[5].label}"),
    ]


def test_stages_compete_with_one_stage_of_as_many_epochs(bench, curriculum, sizes):
    """Plain distillation; their names stand for the method."""
    stages = plan_stages(["logit_mse", "kd"], SETTINGS.epochs, known=["kd", "logit_mse"])
    race = train_best(sizes[1], (), curriculum(off=("temperature", "chain"), stages=stages))
    staged, finding = race.finishes[-1], race.findings[-1]

    assert (staged.rival.name, staged.rival.method) == ("stages logit_mse, kd", "logit_mse, kd")
    assert (finding.duel.of, finding.duel.over) == ("stages logit_mse, kd", PLAIN)
    assert staged.trained.epochs == race.finishes[1].trained.epochs
    assert staged.trained.seconds == 2.0


def test_all_rivals_share_the_settings_that_were_settled(bench, curriculum, sizes):
    """Labels alone by their own; where the component is off, all keep the task's."""
    fast = replace(SETTINGS, learning_rate=1e-2)
    alone = replace(fast, kd_weight=1.5)

    def settle(size, lesson, workshop):
        assert (size, len(lesson.guides), workshop.settings) == (sizes[1], 1, SETTINGS)
        trained = bench.trained(workshop, Assignment(size=size, lesson=lesson, label="the winner"))
        return Settled(recipe=NEUTRAL, settings=fast, alone=alone, trained=trained, cost=1.0, sentence="raced")

    race = train_best(sizes[1], (), curriculum(settle=settle, off=("temperature",)))
    plain = train_best(sizes[1], (), curriculum(off=("temperature",)))

    assert (race.settings, plain.settings) == (fast, SETTINGS)
    assert race.finishes[0].rival.settings == alone
    assert race.finishes[1].rival.settings is None
    assert names(race) == names(plain)
    assert (sentences(race, "configuration"), sentences(plain, "configuration")) == (["raced"], [])


def test_the_best_of_all_wins(bench, curriculum, sizes):
    """Also labels alone."""
    for name in (DIRECT, "T by cosine"):
        bench.rows = {name: 190}
        assert train_best(sizes[1], (), curriculum(off=("chain",))).winner.rival.name.endswith(name)


def test_a_real_race_is_the_same_when_it_is_run_again(curriculum, make, sizes):
    """All of it is found, and nothing is trained; the shuffled teacher is among those that lose."""
    first = train_best(sizes[1], (), curriculum(teachers=2))
    stop = Stop()
    again = train_best(sizes[1], (), curriculum(teachers=2, workshop=make(stop=stop)))

    assert stop.asked == 0
    assert names(again) == names(first)
    assert again.findings == first.findings
    for one, other in zip(first.finishes, again.finishes, strict=True):
        assert torch.equal(weights_of(one.trained), weights_of(other.trained))
