"""Answers in bfloat16: only from torch, only where it is faster and says the same."""

import numpy as np
import pytest
import torch
from sample_classifiers import write_classifier
from sample_texts import text_task
from torch import nn

from hpmkd_edge.distill import teacher_haste
from hpmkd_edge.distill.teacher_haste import hastened, may_hasten
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.tasks.task import Images, Rows
from hpmkd_edge.teachers.open import open_teacher
from hpmkd_edge.teachers.torch_file import TorchTeacher


def rows(count):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)
    return Rows(inputs=Images(pixels=pixels), labels=np.zeros(count, np.int64), positions=np.arange(count))


def teacher(lift=0.0):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    with torch.no_grad():
        module[1].weight += lift
    return TorchTeacher(
        name="net",
        digest=f"net {lift}",
        parameters=51,
        model_bytes=204,
        preprocessing="",
        module=module,
        prepare=lambda inputs: torch.from_numpy(inputs.pixels.reshape(len(inputs), -1)).float() / 255,
        example=torch.zeros(1, 16),
        device="cpu",
    )


@pytest.fixture
def seconds(monkeypatch):
    """Let the two ways take seconds that the test chooses, and count how often they are asked."""
    taken = {"own": 2.0, "quick": 1.0, "asked": 0}
    timed = teacher_haste._timed

    def measured(asked, some, *, hasten):
        taken["asked"] += 1
        return taken["quick" if hasten else "own"], timed(asked, some, hasten=hasten)[1]

    monkeypatch.setattr(teacher_haste, "_timed", measured)
    return taken


def test_answers_in_bfloat16_are_rounded_and_nothing_else():
    """Close to the teacher's own, and not the same: autocast reaches the module."""
    own, quick = teacher().logits(rows(64)), hastened(teacher(), rows(64))

    np.testing.assert_allclose(quick, own, atol=0.05)
    assert not np.array_equal(quick, own)


def test_what_is_faster_and_the_same_is_taken_once_for_all(seconds, tmp_path):
    """Read back afterwards, also where the clock would now say otherwise."""
    store = open_store(tmp_path)
    first = may_hasten(teacher(), rows(5000), store)
    seconds["quick"] = 9.0

    assert first
    assert may_hasten(teacher(), rows(5000), store)
    assert seconds["asked"] == 2


@pytest.mark.parametrize(("lift", "quick"), [(0.0, 1.9), (300.0, 1.0)])
def test_what_is_hardly_faster_or_says_something_else_is_not_taken(seconds, tmp_path, lift, quick):
    """1.05 times as fast; or large logits whose differences are lost in three digits."""
    seconds["quick"] = quick

    assert not may_hasten(teacher(lift), rows(5000), open_store(tmp_path))


def test_a_transformer_is_hastened_too(tmp_path):
    """Sentences as pixels: rounded, and nothing else."""
    write_classifier(tmp_path)
    task = text_task(train=16, validation=4, test=64)
    bert = open_teacher(str(tmp_path), task=task, weights=None, normalize=None, trust=False)
    own, quick = bert.logits(task.test), hastened(bert, task.test)

    np.testing.assert_allclose(quick, own, atol=0.1)
    assert not np.array_equal(quick, own)


def test_a_transformer_is_probed_as_others_are(seconds, tmp_path):
    """For as many rows as make it worth the while."""
    write_classifier(tmp_path)
    task = text_task(train=4096, validation=4, test=4)
    bert = open_teacher(str(tmp_path), task=task, weights=None, normalize=None, trust=False)

    assert may_hasten(bert, task.train, open_store(tmp_path / "store"))
    assert not may_hasten(bert, task.test, open_store(tmp_path / "store"))
    assert seconds["asked"] == 2


def test_few_rows_and_other_kinds_of_teachers_are_asked_in_their_own_precision(seconds, tmp_path):
    """Without a probe."""
    store = open_store(tmp_path)

    assert not may_hasten(teacher(), rows(100), store)
    assert not may_hasten(object(), rows(5000), store)
    assert seconds["asked"] == 0
