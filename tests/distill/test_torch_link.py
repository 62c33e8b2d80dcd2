"""Training: the teacher matters, seeds decide, an interrupted training ends as an unbroken one does."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from hpmkd_edge.distill.lesson import direct_lesson, taught, training_views
from hpmkd_edge.distill.links import Workshop, answers_of, lesson_through
from hpmkd_edge.distill.torch_link import learning_rate
from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.tasks.source import open_task

SETTINGS = Settings(
    epochs=4,
    batch=64,
    learning_rate=3e-3,
    weight_decay=1e-3,
    label_smoothing=0.02,
    ce_weight=1.0,
    kd_weight=1.0,
    method="dist",
    temperature=4.0,
    views=2,
    flip=False,
)


@pytest.fixture(scope="module")
def task():
    return open_task("digits")


@pytest.fixture
def make(task, tmp_path):
    """Return a function that makes a workshop in a folder of its own, and the lesson without a teacher."""
    inlet = fit_inlet(task)
    views = training_views(task.train, count=2, flip=False, seed=0)
    lesson = direct_lesson(task, inlet, views, device=torch.device("cpu"), sources="test")

    def workshop(name, settings=SETTINGS, stop=lambda: False, seed=0):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return Workshop(
            family=FAMILIES["mlp"],
            shape=shape_of(inlet, task),
            settings=settings,
            seed=seed,
            folder=folder,
            stop=stop,
        )

    return workshop, lesson, views


def sure(task, wrong=False):
    """Return a teacher that knows the labels, or with *wrong* answers each row with another row's logits."""
    labels = {
        int(position): int(label) for position, label in zip(task.train.positions, task.train.labels, strict=True)
    }
    generator = np.random.default_rng(0)

    def answer(rows):
        known = np.array([labels[int(position)] for position in rows.positions])
        return (8 * np.eye(10)[generator.permutation(known) if wrong else known]).astype(np.float32)

    return answer


def weights(trained):
    return torch.cat([value.reshape(-1).float() for value in trained.module.state_dict().values()])


def test_a_teacher_shuffled_between_rows_gives_a_different_and_worse_student(make, task):
    """The first law: what the teacher says must reach the student."""
    workshop, lesson, views = make
    size = FAMILIES["mlp"].ladder(workshop("a").shape)[3]
    right = workshop("a").train(size, taught(lesson, views, sure(task), sources="right"), "right")
    wrong = workshop("a").train(size, taught(lesson, views, sure(task, wrong=True), sources="wrong"), "wrong")

    assert not torch.equal(weights(right), weights(wrong))
    assert right.accuracy > wrong.accuracy + 0.02
    assert right.loss < wrong.loss


def test_the_seed_decides_every_weight(make):
    """Same seed, same bytes; other seed, others."""
    workshop, lesson, _ = make
    size = FAMILIES["mlp"].ladder(workshop("a").shape)[1]
    one, same, other = (
        workshop(name, seed=seed).train(size, lesson, "x") for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    torch.testing.assert_close(weights(one), weights(same), rtol=0, atol=0)
    assert not torch.equal(weights(one), weights(other))


def test_an_interrupted_training_ends_as_an_unbroken_one_does(make):
    """Stopped after each epoch and taken up again, byte for byte."""
    workshop, lesson, _ = make
    size = FAMILIES["mlp"].ladder(workshop("a").shape)[1]
    unbroken = workshop("a").train(size, lesson, "x")
    for epoch in range(1, SETTINGS.epochs + 1):
        with pytest.raises(Interrupted, match=f"after epoch {epoch} of 4"):
            workshop("b", stop=lambda: True).train(size, lesson, "x")
    resumed = workshop("b").train(size, lesson, "x")

    torch.testing.assert_close(weights(unbroken), weights(resumed), rtol=0, atol=0)
    assert resumed.best_epoch == unbroken.best_epoch
    np.testing.assert_array_equal(resumed.logits, unbroken.logits)


def test_a_finished_training_is_read_back(make):
    """The state in the folder is taken up, not trained again: even when asked to stop at once."""
    workshop, lesson, _ = make
    size = FAMILIES["mlp"].ladder(workshop("a").shape)[1]
    first = workshop("a").train(size, lesson, "x")
    again = workshop("a", stop=lambda: True).train(size, lesson, "x")

    torch.testing.assert_close(weights(first), weights(again), rtol=0, atol=0)


def test_a_training_that_diverges_says_so(make):
    """With what to look at, and no student."""
    workshop, lesson, _ = make
    size = FAMILIES["mlp"].ladder(workshop("a").shape)[1]
    with pytest.raises(TrainingFailed, match=r"the loss is nan.*learning rate"):
        workshop("a", replace(SETTINGS, ce_weight=math.inf)).train(size, lesson, "x")


def test_the_rate_rises_then_falls_to_zero():
    """Linear to its peak within 5 % of the steps, a cosine after it."""
    rates = [learning_rate(step, 200, 1.0) for step in range(200)]

    assert max(rates) == rates[10] == 1.0
    assert all(a < b for a, b in pairwise(rates[:10]))
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] < 1e-3


def test_view_zero_is_the_rows_themselves_and_the_others_keep_their_labels(task):
    """A teacher's answer to a row of a file is an answer to view zero."""
    views = training_views(task.train, count=3, flip=False, seed=4)

    np.testing.assert_array_equal(views[0].inputs.pixels, task.train.inputs.pixels)
    for view in views[1:]:
        assert not np.array_equal(view.inputs.pixels, task.train.inputs.pixels)
        np.testing.assert_array_equal(view.labels, task.train.labels)


def test_a_chain_teaches_by_its_last_member(make, task):
    """The lesson that leaves the chain holds the intermediate's logits, not the teacher's."""
    workshop, lesson, views = make
    sizes = FAMILIES["mlp"].ladder(workshop("a").shape)
    from_teacher = taught(lesson, views, sure(task), sources="right")
    through = lesson_through(sizes[3:4], from_teacher, lesson, views, workshop("a"))
    member = workshop("a").train(sizes[3], from_teacher, "again, read back")

    np.testing.assert_allclose(through.teacher[1], answers_of(member.module, lesson)(views[1]), rtol=0, atol=1e-6)
    assert through.sources != from_teacher.sources
