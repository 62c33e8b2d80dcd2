"""A training that is stopped and taken up is the same training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_encoders import write_encoder
from sample_texts import text_task

from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.finetune import training as module
from hpmkd_edge.finetune.encoder import open_encoder
from hpmkd_edge.finetune.pieces import cut
from hpmkd_edge.finetune.request import FineTuning
from hpmkd_edge.finetune.training import Training, grade, learning_rate, standard_error

ASKED = FineTuning(encoder="tiny", data="praise.tsv", epochs=3, batch=16, learning_rate=2e-3)


class KilledError(Exception):
    """As from outside: nothing more is done."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def begin(folder):
    """Return a function that begins a training; of 5 steps an epoch."""
    task = text_task(train=70, validation=20)

    def begun(request=ASKED, bf16=True):
        encoder = open_encoder(folder, "tiny", task.classes, request.seed)
        train, validation = (cut(rows, encoder.tokenizer, 32) for rows in (task.train, task.validation))
        return Training(encoder.model, train, validation, request, bf16=bf16)

    return begun


def never():
    return False


def weights(training):
    return {name: tensor.clone() for name, tensor in training.model.state_dict().items()}


def assert_same(training, expected):
    for name, tensor in training.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("place", [1, 4, 5, 8, 14])
def test_a_killed_training_ends_with_the_same_weights(begin, tmp_path, monkeypatch, place, bf16):
    """Killed after a step that was saved: in the middle of an epoch, at its end, right before the last."""
    whole, path = begin(bf16=bf16), tmp_path / "state.pt"
    whole.run(lambda: None, never)
    expected = weights(whole)
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(module, "SAVING_SHARE", math.inf)
    killed = begin(bf16=bf16)

    def save():
        killed.save(path, {"begun": {"threads": "1"}})
        if killed.progress.step == place:
            raise KilledError

    with pytest.raises(KilledError):
        killed.run(save, never)
    taken_up = begin(replace(ASKED, seed=5), bf16=bf16)  # other weights, which are not to stay
    taken_up.request = ASKED
    taken_up.restore(torch.load(path, weights_only=True))
    torch.manual_seed(1234)  # what else was drawn before is of no account
    taken_up.run(lambda: None, never)

    assert_same(taken_up, expected)
    assert [epoch.loss for epoch in taken_up.progress.epochs] == [epoch.loss for epoch in whole.progress.epochs]


def test_steps_after_the_last_save_are_taken_again(begin, tmp_path):
    """A state is of one step, and what came after it is forgotten."""
    whole, path = begin(), tmp_path / "state.pt"
    whole.run(lambda: None, never)
    asked = iter([False, False, True, False, False, True])
    broken = begin()
    with pytest.raises(Interrupted, match=r"stopped as asked, after 3 of 15 steps\."):
        broken.run(lambda: broken.save(path, {}), lambda: next(asked))
    with pytest.raises(Interrupted, match="after 6 of 15"):
        broken.run(lambda: None, lambda: next(asked))
    broken.restore(torch.load(path, weights_only=True))
    broken.run(lambda: None, never)

    assert_same(broken, weights(whole))


def test_a_training_learns(begin):
    """The loss on rows that it was trained on falls well below that of guessing."""
    training = begin(replace(ASKED, epochs=20, learning_rate=5e-3))
    training.run(lambda: None, never)
    _, loss = grade(training.model, training.train)

    assert loss < 0.5 * math.log(2)


def test_the_best_epoch_is_kept_where_it_is_asked_for(begin, tmp_path):
    """Its weights answer as they did at its end; they survive a state on disk."""
    training = begin(replace(ASKED, epochs=4, keep="best", learning_rate=1e-2))
    training.run(lambda: None, never)
    training.save(tmp_path / "state.pt", {})
    training.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    epochs = training.progress.epochs
    kept = training.finish()

    assert epochs[kept - 1].validation_accuracy == max(epoch.validation_accuracy for epoch in epochs)
    assert grade(training.model, training.validation)[0] == epochs[kept - 1].validation_accuracy


def test_a_grade_does_not_depend_on_the_batches(begin, monkeypatch):
    """Padding is no part of a row."""
    training = begin()
    accuracy, loss = grade(training.model, training.validation)
    monkeypatch.setattr(module, "GRADED_ROWS", 1)
    alone_accuracy, alone_loss = grade(training.model, training.validation)

    assert accuracy == alone_accuracy
    assert loss == pytest.approx(alone_loss, rel=1e-5)


def test_only_matrices_decay(begin):
    """Norms and biases are left alone."""
    decayed, spared = begin().optimizer.param_groups

    assert {parameter.ndim for parameter in decayed["params"]} == {2}
    assert {parameter.ndim for parameter in spared["params"]} == {1}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)


def test_a_diverged_training_says_so(begin):
    """With the rate that was too high."""
    training = begin(replace(ASKED, learning_rate=1e30, epochs=2))
    with pytest.raises(TrainingFailed, match=r"loss is .*; a --learning-rate below 1e\+30 is needed"):
        training.run(lambda: None, never)


def test_the_rate_rises_and_falls_in_lines():
    """To the peak at the end of the warm-up, and to nothing after the last step."""
    rates = np.array([learning_rate(step, 100, 1.0, 0.1) for step in range(101)])

    np.testing.assert_allclose(np.diff(rates[:10]), 0.1)
    np.testing.assert_allclose(np.diff(rates[10:]), -1 / 90)
    assert (rates.max(), rates[10], rates[100]) == (1.0, 1.0, 0.0)
    assert learning_rate(0, 3, 1.0, 0.06) == 1.0


def test_the_standard_error_is_that_of_a_share():
    """Half of a hundred rows: five points."""
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(1.0, 100) == 0.0
