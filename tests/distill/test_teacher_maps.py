"""A teacher's features: of each view, kept, and refused where a teacher has none inside."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from hpmkd_edge.distill.first_teacher import TrainedHere
from hpmkd_edge.distill.taps import tap_features
from hpmkd_edge.distill.teacher_maps import check_open, maps_of
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.teachers.open import open_teacher

CPU = torch.device("cpu")
NET = """\
from torch import nn


def small():
    return nn.Sequential(nn.Conv2d(1, 3, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 10))
"""


@dataclass(frozen=True, kw_only=True)
class Closed:
    """A teacher that only answers."""

    name: str = "answers.npy"
    kind: str = "logits file"


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


@pytest.fixture(scope="module")
def teacher(untaught, shape):
    """An untrained residual network: features need no accuracy."""
    size = FAMILIES["residual"].ladder(shape)[0]
    module = FAMILIES["residual"].build(size, shape, 0)
    return TrainedHere(name="residual", module=module, lesson=untaught, digest="d")


def test_maps_are_what_the_tap_gives_for_each_view(teacher, untaught, views, store):
    """Half precision, [N, …]; the last maps where no tap is named."""
    maps = maps_of(teacher, views, store, None, CPU)
    named = maps_of(teacher, views, store, "blocks.2", CPU)
    wanted = tap_features(teacher.module, "blocks.2", [untaught.inlet.open(stored) for stored in untaught.views[1:]])

    assert [features.shape for features in maps] == [(400, 12, 2, 2)] * 2
    assert {features.dtype for features in maps} == {torch.float16}
    for one, other in zip(maps, named, strict=True):
        assert torch.equal(one, other)
    np.testing.assert_allclose(maps[1].float(), wanted, rtol=1e-2, atol=1e-3)
    assert not torch.equal(maps[0], maps[1])


def test_a_teacher_reads_each_view_once(teacher, views, store):
    """What is kept is found by teacher, tap and rows; it may be written to without harm."""
    first = maps_of(teacher, views, store, "blocks.0", CPU)
    kept = first[0].clone()
    first[0].zero_()
    again = maps_of(teacher, views, store, "blocks.0", CPU)

    assert torch.equal(again[0], kept)
    assert (store.counts["features"].hits, store.counts["features"].misses) == (2, 2)
    assert not torch.equal(maps_of(teacher, views, store, "blocks.0.first", CPU)[0], kept)


def test_a_torch_file_s_features_are_read_through_its_own_preparation(task, views, store, tmp_path):
    """Pixels over 255, as its answers are."""
    (tmp_path / "net.py").write_text(NET)
    teacher = open_teacher(f"{tmp_path}/net.py:small", task=task, weights=None, normalize=None, trust=False)
    check_open(teacher)
    maps = maps_of(teacher, views, store, None, CPU)
    pixels = torch.from_numpy(task.train.inputs.pixels.transpose(0, 3, 1, 2).copy()).float() / 255
    with torch.inference_mode():
        wanted = teacher.module[:2](pixels)

    torch.testing.assert_close(maps[0].float(), wanted, rtol=1e-2, atol=1e-3)


def test_an_unknown_tap_lists_those_there_are(teacher, views, store):
    """Of the teacher, so that the option is clear."""
    with pytest.raises(BadConfiguration, match=r"tap of the teacher.*'blocks.9'.*Known: .*blocks.2"):
        maps_of(teacher, views, store, "blocks.9", CPU)


def test_a_teacher_without_modules_is_refused(views, store):
    """In one sentence, with what is needed; also before anything is trained."""
    match = r"answers.npy \(logits file\) has no modules to read features from; .* file.py:function"
    with pytest.raises(BadConfiguration, match=match):
        check_open(Closed())
    with pytest.raises(BadConfiguration, match=match):
        maps_of(Closed(), views, store, None, CPU)
