"""Training: the teacher matters, seeds decide, an interrupted training ends as an unbroken one does."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from sample_lessons import SETTINGS, Stop, assert_same, sure, weights_of

from hpmkd_edge.distill.lesson import taught
from hpmkd_edge.distill.torch_link import train_link
from hpmkd_edge.distill.training import learning_rate, predict
from hpmkd_edge.distill.workshop import Assignment
from hpmkd_edge.errors import BadConfiguration, Interrupted, TrainingFailed
from hpmkd_edge.students.choose import FAMILIES


@pytest.fixture
def right(task, untaught, views):
    """The lesson of a teacher that knows the labels."""
    return taught(untaught, views, sure(task), sources="right")


@pytest.fixture
def wrong(task, untaught, views):
    """The lesson of a teacher whose answers went to other rows."""
    return taught(untaught, views, sure(task, shuffled=True), sources="wrong")


def feature_lesson(right):
    """Return a lesson with maps of other widths than a student's: an adaptor has to learn too."""
    generator = torch.Generator().manual_seed(0)
    rows = len(right.labels)
    return replace(right, maps=tuple(torch.randn(rows, 5, generator=generator).half() for _ in right.views))


def test_a_teacher_shuffled_between_rows_gives_a_different_and_worse_student(make, right, wrong, sizes):
    """The first law: what the teacher says must reach the student."""
    settings = replace(SETTINGS, epochs=8, learning_rate=1e-2)
    good, bad = (make(settings=settings).train(sizes[3], lesson, "x") for lesson in (right, wrong))

    assert not torch.equal(weights_of(good), weights_of(bad))
    assert good.accuracy > bad.accuracy + 0.05
    assert good.loss < bad.loss


def test_labels_alone_do_not_hear_a_teacher(make, untaught, right, wrong, sizes):
    """Of weight 0 it moves nothing; of any other weight it does."""
    silent = replace(SETTINGS, kd_weight=0.0)
    alone = make().train(sizes[1], untaught, "x")
    good, bad = (make(settings=silent).train(sizes[1], lesson, "x") for lesson in (right, wrong))

    torch.testing.assert_close(weights_of(good), weights_of(bad), rtol=0, atol=0)
    torch.testing.assert_close(weights_of(good), weights_of(alone), rtol=0, atol=0)
    assert not torch.equal(weights_of(make().train(sizes[1], right, "x")), weights_of(alone))


def test_the_seed_decides_every_weight(make, untaught, sizes):
    """Same seed, same bytes; other seed, others."""
    one, same, other = (
        make(name, seed=seed).train(sizes[1], untaught, "x") for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    assert_same(one, same)
    assert not torch.equal(weights_of(one), weights_of(other))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="adamw"),
        pytest.param({"optimizer": "sgd", "learning_rate": 0.05}, id="sgd"),
        pytest.param({"schedule": "loss"}, id="loss schedule"),
        pytest.param({"schedule": "auto"}, id="auto schedule"),
        pytest.param({"method": "fitnet"}, id="features"),
        pytest.param({"method": "fitnet", "optimizer": "sgd", "learning_rate": 0.05}, id="features by sgd"),
    ],
)
def test_an_interrupted_training_ends_as_an_unbroken_one_does(changes, make, right, sizes):
    """Stopped after each epoch and taken up again, byte for byte: weights, adaptor, optimizer and temperature."""
    settings, size = replace(SETTINGS, **changes), sizes[1]
    lesson = feature_lesson(right) if settings.method == "fitnet" else right
    unbroken = make("a", settings=settings).train(size, lesson, "x")
    for epoch in range(1, settings.epochs + 1):
        with pytest.raises(Interrupted, match=f"after epoch {epoch} of 4"):
            make("b", settings=settings, stop=Stop(after=1)).train(size, lesson, "x")
    resumed = make("b", settings=settings).train(size, lesson, "x")

    assert_same(resumed, unbroken)


def test_a_finished_training_is_read_back_from_its_folder(make, untaught, sizes):
    """Without a store too: the state is taken up, and no epoch is trained again."""
    first = make(store=None).train(sizes[1], untaught, "x")
    stop = Stop(after=1)
    again = make(store=None, stop=stop).train(sizes[1], untaught, "x")

    assert_same(first, again)
    assert (again.seconds, stop.asked) == (pytest.approx(first.seconds, abs=0.5), 0)


@pytest.mark.parametrize(
    ("on", "off"),
    [
        ({"schedule": "cosine"}, {}),
        ({"optimizer": "sgd"}, {}),
        ({"label_smoothing": 0.2}, {}),
        ({"weight_decay": 1.0}, {}),
        ({"temperature": 2.0}, {}),
        ({"method": "dist"}, {}),
        ({"method": "fitnet"}, {}),
        ({"method": "fitnet", "kd_weight": 3.0}, {"method": "fitnet"}),
    ],
)
def test_each_setting_acts(on, off, make, right, sizes):
    """A student trained with it differs from one without."""
    lesson = feature_lesson(right)
    one, other = (
        make(settings=replace(SETTINGS, epochs=2, **changes)).train(sizes[1], lesson, "x") for changes in (on, off)
    )

    assert not torch.equal(weights_of(one), weights_of(other))


def test_the_temperatures_of_all_epochs_are_told(make, untaught, right, sizes):
    """A constant one stays, a moving one moves between its bounds; on labels alone there is none."""
    constant = make().train(sizes[0], right, "x").temperatures
    moving = make(settings=replace(SETTINGS, schedule="cosine")).train(sizes[0], right, "x").temperatures

    assert constant == (4.0,) * 4
    assert len(moving) == 4
    assert all(6 >= a > b >= 2 for a, b in pairwise(moving))
    assert make().train(sizes[0], untaught, "x").temperatures == ()


def test_an_unknown_tap_lists_those_there_are(make, right, sizes):
    """Before anything is trained."""
    stop = Stop()
    settings = replace(SETTINGS, method="fitnet", student_tap="3x")
    with pytest.raises(BadConfiguration, match=r"tap of the student.*'3x'.*Known: 0, 1, 2"):
        make(settings=settings, stop=stop).train(sizes[1], feature_lesson(right), "x")

    assert stop.asked == 0


def test_a_training_that_diverges_says_so(make, untaught, sizes):
    """With what to look at, and no student."""
    with pytest.raises(TrainingFailed, match=r"x: the loss is nan.*learning rate of 0.003"):
        make(settings=replace(SETTINGS, ce_weight=math.inf)).train(sizes[1], untaught, "x")


def test_a_finished_student_is_ready_for_export(make, untaught, shape):
    """On the CPU, in eval mode, contiguous; its logits are those of the epoch that was best."""
    workshop = make(family="residual")
    size = FAMILIES["residual"].ladder(shape)[0]
    trained = workshop.train_all([Assignment(size=size, lesson=untaught, label="x")])[0]
    logits = predict(trained.module, untaught, untaught.validation)

    assert not any(part.training for part in trained.module.modules())
    assert all(value.is_contiguous() and value.device.type == "cpu" for value in trained.module.state_dict().values())
    torch.testing.assert_close(torch.from_numpy(trained.logits), logits, rtol=1e-5, atol=1e-5)
    assert trained.accuracy == float((logits.argmax(1) == untaught.validation_labels).double().mean())


def test_training_leaves_torch_as_it_was(tmp_path, untaught, shape, sizes):
    """Its threads, its generator and whether cuDNN must repeat."""
    torch.manual_seed(5)
    before = (torch.get_num_threads(), torch.backends.cudnn.deterministic, torch.get_rng_state())
    module = FAMILIES["mlp"].build(sizes[0], shape, 0)
    settings = replace(SETTINGS, epochs=1)
    train_link(module, untaught, settings, seed=0, saved=tmp_path / "x.pt", stop=Stop(), label="x", threads=1)

    assert before[:2] == (torch.get_num_threads(), torch.backends.cudnn.deterministic)
    assert torch.equal(before[2], torch.get_rng_state())


def test_the_rate_rises_then_falls_to_zero():
    """Linear to its peak within 5 % of the steps, a cosine after it."""
    rates = [learning_rate(step, 200, 1.0) for step in range(200)]

    assert max(rates) == rates[10] == 1.0
    assert all(a < b for a, b in pairwise(rates[:10]))
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] < 1e-3
