"""The loss of a training: a sum of its parts, each as its settings weigh it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_lessons import SETTINGS, guessing, sure, weights_of
from torch.nn import functional

from hpmkd_edge.distill.lesson import Mix, Reference, guided, taught
from hpmkd_edge.distill.objective import objective_of
from hpmkd_edge.distill.reference import reference_loss
from hpmkd_edge.errors import BadConfiguration

ROWS = torch.arange(16)


@pytest.fixture
def four(task, untaught, views):
    """A lesson of four guides."""
    lesson = taught(untaught, views, sure(task), sources="sure")
    for seed in range(3):
        lesson = taught(lesson, views, guessing(10, seed), sources=f"guess {seed}")
    return lesson


@pytest.fixture
def student():
    return torch.randn(16, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def mixed(lesson, share):
    """Return *lesson* with the rows of its second view mixed with the next row."""
    labels = lesson.labels.roll(-1)
    mix = Mix(labels=labels, share=torch.full((len(labels),), share))
    return replace(lesson, mixes=(None, mix), sources=f"{lesson.sources} share {share}")


def test_the_guides_that_are_heard_follow_from_the_seed(four):
    """A pure function of it, so that a resumed training hears the same ones."""
    objective = objective_of(four, SETTINGS)
    torch.manual_seed(1)
    one = objective.kept_guides(50, 7)
    torch.manual_seed(2)

    assert objective.kept_guides(50, 7) == one
    assert objective.kept_guides(50, 8) != one


@pytest.mark.parametrize("drop", [0.0, 0.25, 0.9])
def test_each_guide_is_left_out_with_its_probability_and_never_all_at_once(four, drop):
    """Of G guides each is heard with `1 − drop + drop^G`: where all would be left out, all are heard."""
    steps, count = 4000, len(four.guides)
    kept = objective_of(four, replace(SETTINGS, guidance_drop=drop)).kept_guides(steps, 0)
    share = 1 - drop + drop**count
    heard = np.bincount(np.concatenate(kept), minlength=count) / steps

    assert len(kept) == steps
    assert all(row == sorted(set(row)) and row for row in kept)
    assert (abs(heard - share) <= 4 * math.sqrt(share * (1 - share) / steps) + 1e-12).all()


def test_a_single_guide_is_always_heard(task, untaught, views):
    """And where there is none, none is."""
    settings = replace(SETTINGS, guidance_drop=0.99)
    one = objective_of(taught(untaught, views, sure(task), sources="sure"), settings)

    assert one.kept_guides(20, 0) == [[0]] * 20
    assert objective_of(untaught, settings).kept_guides(3, 0) == [[]] * 3


def test_guidance_is_the_mean_over_the_guides_that_are_heard(four, student):
    """Each as if it were alone."""
    objective = objective_of(four, SETTINGS)
    alone = [objective.guidance(student, ROWS, 1, [guide], 4.0) for guide in range(4)]

    torch.testing.assert_close(
        objective.guidance(student, ROWS, 1, [0, 2, 3], 4.0), (alone[0] + alone[2] + alone[3]) / 3
    )
    assert len({round(float(loss), 6) for loss in alone}) == 4


def test_leaving_guides_out_acts(make, four, sizes):
    """Dense guidance with a drop trains another student than without."""
    settings = replace(SETTINGS, epochs=1)
    one, other = (
        make(settings=replace(settings, guidance_drop=drop)).train(sizes[0], four, "x") for drop in (0.0, 0.25)
    )

    assert not torch.equal(weights_of(one), weights_of(other))


@pytest.mark.parametrize("share", [1.0, 0.7, 0.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_on_labels_of_a_mixture_is_that_of_its_parts(untaught, student, share, smoothing):
    """`share · CE(own) + (1 − share) · CE(partner)`; with a share of 1 the plain cross-entropy."""
    lesson = mixed(untaught, share)
    objective = objective_of(lesson, replace(SETTINGS, label_smoothing=smoothing))
    own, other = (
        functional.cross_entropy(student, labels[ROWS], label_smoothing=smoothing)
        for labels in (lesson.labels, lesson.labels.roll(-1))
    )

    torch.testing.assert_close(objective.labels(student, ROWS, 1), share * own + (1 - share) * other, rtol=1e-6, atol=0)
    torch.testing.assert_close(objective.labels(student, ROWS, 0), own, rtol=1e-6, atol=0)


def test_where_labels_do_not_hold_they_have_no_part(make, task, untaught, views, sizes):
    """A student of the second view is the same whatever the labels there say, and another of those that hold."""
    lesson = replace(taught(untaught, views, sure(task), sources="sure"), views=untaught.views[1:] * 2)
    settings = replace(SETTINGS, epochs=2)

    def trained(unlabeled, ce_weight, name):
        one = replace(lesson, unlabeled=frozenset(unlabeled), sources=name)
        return make(settings=replace(settings, ce_weight=ce_weight)).train(sizes[0], one, "x")

    without = weights_of(trained([0, 1], 1.0, "without"))

    assert torch.equal(without, weights_of(trained([0, 1], 5.0, "heavy")))
    assert torch.equal(without, weights_of(trained([], 0.0, "none")))
    assert not torch.equal(without, weights_of(trained([], 1.0, "with")))


def test_a_mixture_trains_another_student(make, untaught, sizes):
    """The shares of the labels reach it."""
    one, other = (make().train(sizes[0], mixed(untaught, share), "x") for share in (1.0, 0.5))

    assert not torch.equal(weights_of(one), weights_of(other))


def test_the_hold_of_an_earlier_stage_grows_with_its_strength(untaught, student):
    """λ_r times the reference loss; 0 where the student is the reference."""
    every = torch.zeros(len(untaught.labels), 10)
    reference = Reference(logits=(every, every), weights=(torch.ones(len(every)),) * 2, strength=3.0)
    objective = objective_of(replace(untaught, reference=reference), SETTINGS)
    wanted = 3 * reference_loss(student, every[ROWS], None, 4.0)

    torch.testing.assert_close(objective.earlier(student, ROWS, 0, 4.0), wanted)
    assert float(objective.earlier(every[ROWS], ROWS, 0, 4.0)) == pytest.approx(0.0, abs=1e-7)


def test_features_teach_only_where_there_are_some(four):
    """A loss on features with maps; without them it has no taps, and says so."""
    settings = replace(SETTINGS, method="fitnet")
    with_maps = objective_of(replace(four, maps=(torch.ones(400, 4).half(),) * 2), settings)

    assert with_maps.features.name == "fitnet"
    assert with_maps.method is None
    with pytest.raises(BadConfiguration, match=r"'fitnet' compares features.*--stages fitnet,kd"):
        objective_of(four, settings)


def test_a_loss_without_a_gradient_for_so_many_classes_is_refused(untaught):
    """Before anything is trained."""
    two = guided(untaught, [np.zeros((len(untaught.labels), 2), np.float32)] * 2, sources="two classes")
    with pytest.raises(BadConfiguration, match="'lskd' cannot teach 2 classes"):
        objective_of(two, replace(SETTINGS, method="lskd"))


@pytest.mark.parametrize("schedule", ["loss", "convergence", "gap", "auto"])
def test_a_schedule_does_not_see_views_whose_labels_do_not_hold(make, task, untaught, views, sizes, schedule):
    """The labels of the rows may say anything of the copies: temperatures and weights stay as they are."""
    lesson = taught(untaught, views, sure(task), sources="sure")
    settings = replace(SETTINGS, epochs=6, schedule=schedule)

    def trained(name, **changes):
        one = replace(lesson, unlabeled=frozenset({1}), sources=name, **changes)
        return make(name, settings=settings).train(sizes[0], one, "x")

    # The second view's labels are shared with another row's: only the loss on labels knows of it.
    mix = Mix(labels=lesson.labels.roll(-1), share=torch.zeros(len(lesson.labels)))
    plain, mixed = trained("plain"), trained("mixed", mixes=(None, mix))

    assert plain.temperatures == mixed.temperatures
    # After a copy the temperature is that before it.
    assert plain.temperatures[1:5:2] == plain.temperatures[2:6:2]


def test_where_labels_do_not_hold_the_teachers_class_takes_their_place(untaught, student):
    """DKD sets a row's class apart: of a copy that is the one the teacher says."""
    answers = [torch.randn(len(untaught.labels), 10, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    lesson = guided(untaught, [answer.numpy() for answer in answers], sources="drawn")
    dkd = replace(SETTINGS, method="dkd")
    held, said = (
        replace(lesson, labels=labels, unlabeled=unlabeled)
        for labels, unlabeled in ((answers[1].argmax(1), frozenset()), (lesson.labels, frozenset({1})))
    )
    losses = [objective_of(one, dkd).guidance(student, ROWS, 1, [0], 4.0) for one in (held, said, lesson)]

    torch.testing.assert_close(losses[0], losses[1])
    assert abs(float(losses[1] - losses[2])) > 1e-3
