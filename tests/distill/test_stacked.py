"""Stacked training ends as separate trainings do."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.methods.table import METHODS
from hpmkd_edge.distill.stacked import stackable, train_stacked
from hpmkd_edge.distill.torch_link import train_link
from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.family import Shape

SHAPE = Shape(features=(6,), classes=3)
FIRST = Settings(
    epochs=3,
    batch=16,
    learning_rate=3e-3,
    weight_decay=1e-2,
    label_smoothing=0.02,
    ce_weight=1.0,
    kd_weight=1.0,
    method="kd",
    temperature=4.0,
    views=1,
    flip=False,
)
MEMBERS = (
    FIRST,
    replace(FIRST, learning_rate=2e-2, temperature=2.0, kd_weight=0.5),
    replace(FIRST, weight_decay=0.3, label_smoothing=0.2, ce_weight=0.3, kd_weight=3.0),
)
SEEDS = (4, 0, 7)


class AsStored:
    """An inlet of a table that is numbers already."""

    features = (6,)

    def open(self, stored):
        return stored


def lesson(dtype=torch.float32, guided=True):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(100, 6, generator=generator, dtype=dtype)
    guide = 3 * rows[:, :3] + torch.randn(100, 3, generator=generator, dtype=dtype)
    labels = guide.argmax(1)
    return Lesson(
        inlet=AsStored(),
        views=(rows[:70], -rows[:70]),
        mixes=(None, None),
        labels=labels[:70],
        guides=((guide[:70], guide[:70]),) if guided else (),
        reference=None,
        maps=(),
        validation=rows[70:],
        validation_labels=labels[70:],
        sources="test",
    )


def students(dtype=torch.float32):
    family = FAMILIES["mlp"]
    size = family.ladder(SHAPE)[3]
    return [family.build(size, SHAPE, seed).to(dtype) for seed in SEEDS]


def never():
    return False


def separately(tmp_path, material, settings, dtype):
    return [
        train_link(module, material, one, seed=seed, saved=tmp_path / f"{number}.pt", stop=never, label="alone")
        for number, (module, one, seed) in enumerate(zip(students(dtype), settings, SEEDS, strict=True))
    ]


def stacked(tmp_path, material, settings, dtype, stop=never):
    return train_stacked(
        students(dtype), material, settings, SEEDS, saved=tmp_path / "stack.pt", stop=stop, label="stack"
    )


def assert_same(together, alone, tolerance):
    for one, other in zip(together, alone, strict=True):
        for name, value in other.module.state_dict().items():
            torch.testing.assert_close(one.module.state_dict()[name], value, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(one.logits, other.logits, rtol=10 * tolerance, atol=10 * tolerance)
        assert (one.best_epoch, one.accuracy) == (other.best_epoch, other.accuracy)
        assert one.temperatures == other.temperatures


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].refuses(3) is None])
def test_each_member_ends_as_it_would_alone(tmp_path, name):
    """Whatever the loss: rates, decays, temperatures, weights, smoothings and orders are a member's own."""
    settings = tuple(replace(one, method=name) for one in MEMBERS)
    alone = separately(tmp_path, lesson(), settings, torch.float32)

    assert_same(stacked(tmp_path, lesson(), settings, torch.float32), alone, 2e-4)


def test_on_labels_alone_the_difference_is_float64_rounding(tmp_path):
    """So the optimizer, the schedule, the clipping and the choice of the epoch are the same, and not merely alike."""
    material = lesson(torch.float64, guided=False)
    # Large steps, so that gradients are clipped.
    settings = tuple(replace(one, ce_weight=40.0 * one.ce_weight) for one in MEMBERS)
    alone = separately(tmp_path, material, settings, torch.float64)

    together = stacked(tmp_path, material, settings, torch.float64)

    for one, other in zip(together, alone, strict=True):
        for name, value in other.module.state_dict().items():
            torch.testing.assert_close(one.module.state_dict()[name], value, rtol=1e-9, atol=1e-10)


def test_an_interrupted_stack_ends_as_an_unbroken_one_does(tmp_path):
    """Stopped after each epoch and taken up again, byte for byte."""
    (tmp_path / "a").mkdir()
    unbroken = stacked(tmp_path / "a", lesson(), MEMBERS, torch.float32)
    for epoch in range(1, FIRST.epochs + 1):
        with pytest.raises(Interrupted, match=f"after epoch {epoch} of 3"):
            stacked(tmp_path, lesson(), MEMBERS, torch.float32, stop=lambda: True)

    assert_same(stacked(tmp_path, lesson(), MEMBERS, torch.float32), unbroken, 0)


def test_a_stack_in_which_a_member_diverges_says_so(tmp_path):
    """With that member's rate."""
    settings = (*MEMBERS[:2], replace(MEMBERS[2], ce_weight=float("inf"), learning_rate=0.07))
    with pytest.raises(TrainingFailed, match=r"the loss is .* rate of 0\.07"):
        stacked(tmp_path, lesson(), settings, torch.float32)


def test_what_differs_in_more_than_numbers_is_not_stacked(tmp_path):
    """Buffers, dropout, convolutions; other epochs, losses or optimizers."""
    mlp, material = students()[0], lesson()

    assert stackable(mlp, material, MEMBERS)
    for odd in (nn.BatchNorm1d(6), nn.Dropout(0.1), nn.Conv1d(6, 6, 1)):
        assert not stackable(nn.Sequential(mlp, odd), material, MEMBERS)
    for other in ({"epochs": 4}, {"batch": 8}, {"method": "brier"}, {"optimizer": "sgd"}, {"schedule": "cosine"}):
        assert not stackable(mlp, material, (*MEMBERS[:2], replace(FIRST, **other)))
    with pytest.raises(ValueError, match="one shape, loss, batch and epochs"):
        stacked(tmp_path, material, (*MEMBERS[:2], replace(FIRST, epochs=4)), torch.float32)
