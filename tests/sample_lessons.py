"""A short training, teachers that are made up, and what is read off a student."""

from dataclasses import replace

import numpy as np
import torch

from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.students.inlet import TableInlet
from hpmkd_edge.tasks.encoding import fit_encoding
from hpmkd_edge.tasks.task import Column, Table

ROWS, FEATURES, CLASSES = 300, 6, 3  # of `table_lesson`

SETTINGS = Settings(
    epochs=4,
    batch=32,
    learning_rate=3e-3,
    weight_decay=1e-3,
    label_smoothing=0.02,
    ce_weight=1.0,
    kd_weight=1.0,
    method="kd",
    temperature=4.0,
    views=2,
    flip=False,
)


def sure(task, *, shuffled=False):
    """Return a teacher that knows the labels of the training rows, or one that gives each row another's."""
    positions, labels = task.train.positions, task.train.labels
    known = np.random.default_rng(0).permutation(labels) if shuffled else labels
    by_position = dict(zip(positions.tolist(), known.tolist(), strict=True))

    def answer(rows):
        told = [by_position[position] for position in rows.positions.tolist()]
        return 8 * np.eye(len(task.classes), dtype=np.float32)[told]

    return answer


def guessing(classes, seed=0):
    """Return a teacher that is sure of a class at random."""

    def answer(rows):
        drawn = np.random.default_rng(seed).integers(classes, size=1 + int(rows.positions.max()))
        return 8 * np.eye(classes, dtype=np.float32)[drawn[rows.positions]]

    return answer


def weights_of(trained):
    """Return all weights and statistics of a finished training, one after the other."""
    return torch.cat([value.reshape(-1).double() for value in trained.module.state_dict().values()])


def assert_same(one, other):
    """Two trainings ended alike, byte for byte."""
    torch.testing.assert_close(weights_of(one), weights_of(other), rtol=0, atol=0)
    np.testing.assert_array_equal(one.logits, other.logits)
    assert (one.accuracy, one.loss, one.best_epoch) == (other.accuracy, other.loss, other.best_epoch)
    assert one.temperatures == other.temperatures
    assert (one.losses, one.accuracies) == (other.losses, other.accuracies)


class Stop:
    """Counts the epochs that were trained under it, and says stop after so many of them."""

    def __init__(self, after=None):
        self.after, self.asked = after, 0

    def __call__(self):
        self.asked += 1
        return self.after is not None and self.asked >= self.after


def table_lesson(guides=1, views=2, **changes):
    """Return random rows of a table whose class follows from them, and guides that know it roughly."""
    column = Column(name="x", kind="number", values=np.linspace(-1, 1, 20, dtype=np.float32))
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randn(ROWS, FEATURES, generator=generator) for _ in range(views)]
    rule = torch.randn(FEATURES, CLASSES, generator=generator)
    answers = [
        tuple(row @ rule + torch.randn(ROWS, CLASSES, generator=generator) for row in rows) for _ in range(guides)
    ]
    validation = torch.randn(100, FEATURES, generator=generator)
    return replace(
        Lesson(
            inlet=TableInlet(encoding=fit_encoding(Table(columns=(column,)))),
            views=tuple(rows),
            mixes=(None,) * views,
            labels=(rows[0] @ rule).argmax(1),
            guides=tuple(answers),
            reference=None,
            maps=(),
            validation=validation,
            validation_labels=(validation @ rule).argmax(1),
            sources="random rows",
        ),
        **changes,
    )
