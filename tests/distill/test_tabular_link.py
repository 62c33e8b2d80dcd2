"""A compiled training is torch's, up to rounding; alone, side by side or taken up, it ends in the same bytes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_lessons import CLASSES, FEATURES, ROWS, SETTINGS, Stop, assert_same, table_lesson, weights_of
from torch import nn

from hpmkd_edge.distill.lesson import Reference
from hpmkd_edge.distill.step import PLAIN
from hpmkd_edge.distill.tabular_link import TabularTraining, may_compile
from hpmkd_edge.distill.torch_link import train_link
from hpmkd_edge.distill.training import Training
from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.students.inlet import ImageInlet
from hpmkd_edge.students.mlp import linear_layers
from hpmkd_edge.tasks.values import Scale


def perceptron(depth=2, outputs=CLASSES):
    torch.manual_seed(5)
    layers, entering = [nn.Flatten()], FEATURES
    for _ in range(depth):
        layers += [nn.Linear(entering, 12), nn.ReLU()]
        entering = 12
    return nn.Sequential(*layers, nn.Linear(entering, outputs))


def both(material, settings, depth=2, outputs=CLASSES):
    """Return a compiled training and torch's of the same, after all epochs."""
    made = (
        TabularTraining(perceptron(depth, outputs), material, settings, 7),
        Training(perceptron(depth, outputs), material, settings, 7, PLAIN),
    )
    losses = []
    for training in made:
        losses.append([])
        for _ in range(settings.epochs):
            losses[-1].append(training.run_epoch())
            training.validate()
    return *made, *losses


def train(tmp_path, material, settings, name="a", module=None, **more):
    given = {"seed": 7, "saved": tmp_path / f"{name}.pt", "stop": lambda: False, "label": name} | more
    return train_link(module or perceptron(), material, settings, **given)


@pytest.mark.parametrize("method", ["kd", "logit_mse", "brier", "lskd", "wttm"])
def test_a_compiled_training_is_that_of_torch(method):
    """The same losses and weights after every epoch, up to rounding, for every loss that is compiled."""
    settings = replace(SETTINGS, method=method, batch=64, weight_decay=0.05)
    compiled, slow, losses, slow_losses = both(table_lesson(), settings)

    np.testing.assert_allclose(losses, slow_losses, rtol=1e-4)
    torch.testing.assert_close(compiled._weights(), slow.module.state_dict(), rtol=1e-3, atol=1e-4)
    assert compiled.progress.temperatures == slow.progress.temperatures
    assert compiled.progress.best["accuracy"] == pytest.approx(slow.progress.best["accuracy"], abs=0.011)


def valued_lesson(guides=1):
    """A lesson of standardized values, with guides that answer them with some noise."""
    material, generator = table_lesson(guides=guides), torch.Generator().manual_seed(3)
    labels, validation = (stored[:, 0] - stored[:, 1] for stored in (material.views[0], material.validation))
    answers = tuple(
        tuple(labels[:, None] + torch.randn(ROWS, 1, generator=generator) / 4 for _ in material.views)
        for _ in range(guides)
    )
    inlet = replace(material.inlet, scale=Scale(mean=0.0, deviation=1.0))
    return replace(material, inlet=inlet, labels=labels, validation_labels=validation, guides=answers)


@pytest.mark.parametrize("guides", [0, 1, 2])
def test_values_are_taught_as_in_torch(guides):
    """Squared distances of labels and of every guide; what is kept is the epoch of the best R²."""
    settings = replace(SETTINGS, method="squares", batch=64, guidance_drop=0.5)
    compiled, slow, losses, slow_losses = both(valued_lesson(guides), settings, outputs=1)
    answers, wanted = compiled.finish().double()[:, 0], compiled.lesson.validation_labels.double()

    assert compiled.labels_N.dtype == np.float32
    np.testing.assert_allclose(losses, slow_losses, rtol=1e-4)
    torch.testing.assert_close(compiled._weights(), slow.module.state_dict(), rtol=1e-3, atol=1e-4)
    r2 = 1 - (answers - wanted).square().mean() / wanted.var(correction=0)
    assert compiled.progress.best["accuracy"] == pytest.approx(float(r2), abs=1e-5)


def test_labels_alone_are_taught_as_in_torch():
    """Without hidden layers too."""
    _, _, losses, slow_losses = both(table_lesson(guides=0), SETTINGS, depth=0)

    np.testing.assert_allclose(losses, slow_losses, rtol=1e-4)


def test_guides_that_are_left_out_of_a_step_are_left_out_of_the_same_step():
    """Dense guidance: three guides of which each batch hears some, and a student of an earlier stage beside."""
    settings = replace(SETTINGS, guidance_drop=0.5)
    generator = torch.Generator().manual_seed(1)
    reference = Reference(
        logits=tuple(torch.randn(ROWS, CLASSES, generator=generator) for _ in range(2)),
        weights=tuple(torch.rand(ROWS, generator=generator) for _ in range(2)),
        strength=0.7,
    )
    _, _, losses, slow_losses = both(table_lesson(guides=3, reference=reference), settings)

    np.testing.assert_allclose(losses, slow_losses, rtol=1e-4)


@pytest.mark.parametrize("schedule", ["cosine", "loss", "auto"])
def test_a_moving_temperature_moves_as_in_torch(schedule):
    """It follows the losses on labels, which both measure alike."""
    compiled, slow, _, _ = both(table_lesson(), replace(SETTINGS, schedule=schedule, epochs=12))

    assert compiled.progress.temperatures == pytest.approx(slow.progress.temperatures, rel=1e-3)


def test_labels_that_do_not_hold_do_not_teach():
    """In a view of which only guides know the classes, other labels change no weight."""
    material = table_lesson(unlabeled=frozenset({1}))
    other = replace(material, labels=(material.labels + 1) % CLASSES)
    made = [TabularTraining(perceptron(), one, SETTINGS, 7) for one in (material, other)]
    for training in made:
        training.progress.epoch = 1  # of view 1
        training.run_epoch()

    assert material.view_of(1) == 1
    np.testing.assert_array_equal(made[0].network.weights, made[1].network.weights)


def test_a_training_that_is_taken_up_ends_as_an_unbroken_one(tmp_path):
    """Byte for byte, with several guides and a moving temperature."""
    material, settings = table_lesson(guides=2), replace(SETTINGS, schedule="loss", epochs=6)
    unbroken = train(tmp_path, material, settings)
    with pytest.raises(Interrupted, match="stopped after epoch 2 of 6"):
        train(tmp_path, material, settings, "b", stop=Stop(after=2))

    assert_same(train(tmp_path, material, settings, "b"), unbroken)


def test_trainings_side_by_side_end_as_alone(tmp_path):
    """Byte for byte: they share nothing."""
    material = table_lesson()
    rates = [replace(SETTINGS, learning_rate=rate) for rate in (1e-3, 3e-3, 1e-2)]
    alone = [train(tmp_path, material, settings, f"alone{n}") for n, settings in enumerate(rates)]
    modules = [perceptron() for _ in rates]  # here: weights are drawn from the process's one generator
    with ThreadPoolExecutor(2) as pool:
        tasks = [
            pool.submit(train, tmp_path, material, settings, f"beside{n}", module)
            for n, (settings, module) in enumerate(zip(rates, modules, strict=True))
        ]
        beside = [task.result() for task in tasks]

    for one, other in zip(alone, beside, strict=True):
        assert_same(one, other)
    assert not torch.equal(weights_of(alone[0]), weights_of(alone[1]))


def test_what_is_handed_back_is_the_best_epoch(tmp_path):
    """The logits are those of the module with its weights."""
    material = table_lesson()
    trained = train(tmp_path, material, replace(SETTINGS, epochs=8))
    with torch.inference_mode():
        answers = trained.module(material.validation)

    torch.testing.assert_close(torch.from_numpy(trained.logits), answers, rtol=1e-4, atol=1e-5)
    assert trained.accuracy == float((answers.argmax(1) == material.validation_labels).double().mean())


def test_a_rate_that_is_too_high_is_a_sentence(tmp_path):
    """And no student."""
    with pytest.raises(TrainingFailed, match=r"the loss is|not finite"):
        train(tmp_path, table_lesson(), replace(SETTINGS, learning_rate=1e18))


def test_other_networks_and_lessons_are_left_to_torch():
    """What is compiled: linear layers with biases and a ReLU between any two, by logits, AdamW, on rows of a table."""
    material = table_lesson()
    for odd in (nn.Dropout(), nn.Tanh(), nn.BatchNorm1d(CLASSES), nn.ReLU(), nn.Linear(CLASSES, 2)):
        assert not linear_layers(nn.Sequential(*perceptron(), odd))
    assert not linear_layers(nn.Sequential(nn.Linear(2, 2, bias=False)))
    assert not linear_layers(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)))
    assert not linear_layers(nn.Sequential())
    twice, frozen = nn.Linear(3, 3), perceptron()
    frozen[1].bias.requires_grad_(False)

    class Logarithmic(nn.Linear):
        def forward(self, rows):
            return super().forward(rows.log1p())

    for odd in (
        nn.Sequential(twice, nn.ReLU(), twice),
        nn.Sequential(Logarithmic(3, 3)),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.ReLU(), nn.Linear(3, 2)),
        frozen,
    ):
        assert not linear_layers(odd)
    assert [len(linear_layers(perceptron(depth))) for depth in (0, 1, 2)] == [1, 2, 3]

    inlet = ImageInlet(mean=(0.5,), deviation=(1.0,), sides=(2, 3))
    assert may_compile(material, SETTINGS)
    for other in ({"inlet": inlet}, {"maps": material.views}, {"mixes": (None, object())}):
        assert not may_compile(replace(material, **other), SETTINGS)
    for settings in (replace(SETTINGS, optimizer="sgd"), replace(SETTINGS, method="dkd")):
        assert not may_compile(material, settings)
