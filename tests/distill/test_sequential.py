"""Sequential stages: one after the other on one student, each held near the one before."""

from dataclasses import replace

import pytest
import torch
from sample_lessons import SETTINGS, Stop, assert_same, sure, weights_of

from hpmkd_edge.distill.lesson import taught
from hpmkd_edge.distill.methods.table import FEATURE_METHODS, METHODS
from hpmkd_edge.distill.sequential import follow
from hpmkd_edge.distill.stages import plan_stages
from hpmkd_edge.distill.workshop import Assignment
from hpmkd_edge.errors import BadConfiguration, Interrupted
from hpmkd_edge.students.inherit import Start

KNOWN = (*METHODS, *FEATURE_METHODS)


def plan(*names, epochs=4, **more):
    return plan_stages(names, epochs, known=KNOWN, **more)


def no_maps():
    raise AssertionError("no stage of these reads features")


@pytest.fixture
def lesson(task, untaught, views):
    """Of a teacher that knows the labels, and is surer of some rows than of others."""
    known = sure(task)

    def answer(rows):
        return known(rows) * (0.2 + 0.6 * (rows.positions % 7)[:, None] / 6).astype("float32")

    return taught(untaught, views, answer, sources="right")


@pytest.fixture
def maps(untaught):
    """Features that tell the classes apart."""
    places = torch.randn(10, 6, generator=torch.Generator().manual_seed(0)).half()
    return lambda: tuple(places[untaught.labels] for _ in untaught.views)


@pytest.mark.parametrize("method", ["kd", "logit_mse"])
def test_a_plan_of_one_stage_trains_as_without_stages(method, make, lesson, sizes):
    """Byte for byte; there is no earlier self to be held near."""
    settings = replace(SETTINGS, method=method)
    staged = follow(plan(method), sizes[1], lesson, make("a"), no_maps)
    plain = make("b", settings=settings).train(sizes[1], lesson, "x")

    assert_same(staged, plain)
    assert staged.epochs == plain.epochs


def test_one_stage_by_features_trains_as_a_lesson_with_them(make, lesson, maps, sizes):
    """And differs from plain distillation: the features act."""
    staged = follow(plan("fitnet"), sizes[1], lesson, make("a"), maps)
    plain = make("b", settings=replace(SETTINGS, method="fitnet")).train(sizes[1], replace(lesson, maps=maps()), "x")

    assert_same(staged, plain)
    assert not torch.equal(weights_of(staged), weights_of(make("c").train(sizes[1], lesson, "x")))


def test_a_second_stage_goes_on_from_the_first_s_weights(make, lesson, sizes):
    """Where nothing holds it near, as a training that is begun from them; its epochs and seconds are of both."""
    workshop = make()
    both = follow(plan("logit_mse", "kd", reference_weight=0.0), sizes[1], lesson, workshop, no_maps)
    first = follow(plan("logit_mse", epochs=2), sizes[1], lesson, make("b"), no_maps)
    start = Start(source="first", weights=first.module.state_dict())
    second = Assignment(size=sizes[1], lesson=lesson, label="x", settings=replace(SETTINGS, epochs=2), start=start)
    (begun,) = make("c").train_all([second])

    torch.testing.assert_close(weights_of(both), weights_of(begun), rtol=0, atol=0)
    assert both.epochs == 4
    assert both.seconds == pytest.approx(sum(workshop.spent.values()))
    assert len(workshop.spent) == 2


def test_a_strong_hold_keeps_the_student_at_its_earlier_self(make, lesson, sizes):
    """Its answers end nearer to the first stage's with a large λ_r than without."""
    first = follow(plan("logit_mse", epochs=3), sizes[1], lesson, make("a"), no_maps)
    distances = {}
    for strength in (0.0, 1.0, 300.0):
        stages = plan("logit_mse", "kd", epochs=6, weighting="uniform", reference_weight=strength)
        second = follow(stages, sizes[1], lesson, make("a"), no_maps)
        distances[strength] = float(((second.logits - first.logits) ** 2).mean())

    assert distances[300.0] < 0.3 * distances[0.0]
    assert distances[300.0] < distances[1.0] < distances[0.0]


def test_the_weighting_of_the_rows_acts(make, lesson, sizes):
    """Each gives another student."""
    ends = [
        weights_of(follow(plan("logit_mse", "kd", weighting=name), sizes[1], lesson, make(), no_maps))
        for name in ("inverse", "tcp", "uniform")
    ]

    assert not torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])
    assert not torch.equal(ends[1], ends[2])


def test_the_order_of_the_stages_acts(make, lesson, maps, sizes):
    """Features first is another training than features last."""
    one, other = (
        follow(plan(*names), sizes[1], lesson, make(), maps) for names in (("fitnet", "kd"), ("kd", "fitnet"))
    )

    assert not torch.equal(weights_of(one), weights_of(other))


def test_other_features_of_one_teacher_are_another_training(make, lesson, maps, sizes):
    """What is kept under one tap is not found under another: only the features' content tells them apart."""
    others = lambda: tuple(-features for features in maps())  # noqa: E731
    one, other = (follow(plan("fitnet", "kd"), sizes[1], lesson, make(), found) for found in (maps, others))

    assert not torch.equal(weights_of(one), weights_of(other))


def test_stages_go_on_where_they_were_stopped(make, lesson, maps, sizes):
    """In the second stage: the first is not trained again, and the end is that of unbroken ones."""
    stages = plan("fitnet", "kd")
    unbroken = follow(stages, sizes[1], lesson, make("a"), maps)
    with pytest.raises(Interrupted, match="stage 2, kd: stopped after epoch 1 of 2"):
        follow(stages, sizes[1], lesson, make("b", stop=Stop(after=3)), maps)
    stop = Stop()
    resumed = follow(stages, sizes[1], lesson, make("b", stop=stop), maps)

    assert stop.asked == 1
    assert_same(resumed, unbroken)


def test_an_unknown_tap_of_the_student_lists_those_there_are(make, lesson, maps, sizes):
    """With the name that was given."""
    workshop = make(settings=replace(SETTINGS, student_tap="body"))
    with pytest.raises(BadConfiguration, match=r"tap of the student.*'body'.*Known: 0, 1, 2"):
        follow(plan("fitnet"), sizes[1], lesson, workshop, maps)
