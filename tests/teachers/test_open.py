"""Which kind of teacher a name means, and what is refused before any is opened."""

from pathlib import Path

import numpy as np
import pytest

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.teachers.open import OPENERS, open_teacher

NOTHING = {"weights": None, "normalize": None, "trust": True}


@pytest.mark.parametrize("suffix", OPENERS)
def test_an_absent_file_of_any_kind_is_named_by_its_whole_path(images, suffix, tmp_path, monkeypatch):
    """Relative names are given as the place where they were looked for."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BadTeacher, match=f"there is no file {tmp_path}/none{suffix}"):
        open_teacher(f"none{suffix}", task=images, **NOTHING)


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        (
            "model.safetensors",
            r"model\.safetensors is no kind of teacher; file\.py:function or \.pt2, \.onnx",
        ),
        ("model.py", r"model\.py names no function"),
        ("resnet", "resnet is no kind of teacher"),
        ("a/b/resnet", "for text a folder of Hugging Face or owner/name on its hub, is needed"),
        ("owner/name", "owner/name is a folder, which can hold a classifier of text; the task has images"),
    ],
)
def test_an_unknown_kind_is_refused_with_the_known_ones(images, spec, match):
    """One sentence that lists them."""
    with pytest.raises(BadTeacher, match=match):
        open_teacher(spec, task=images, **NOTHING)


def test_flags_that_would_do_nothing_are_refused(images, numbers, tmp_path):
    """Weights for a file that has its own, pixels' normalization for a table."""
    np.save(tmp_path / "l.npy", np.zeros((40, 3)))
    path = str(tmp_path / "l.npy")

    with pytest.raises(BadConfiguration, match=r"takes no --weights"):
        open_teacher(path, task=images, weights=Path("w.pt"), normalize=None, trust=False)
    with pytest.raises(BadConfiguration, match="is for images; the task has a table"):
        open_teacher(path, task=numbers, weights=None, normalize="unit", trust=False)


def test_every_opened_teacher_answers_what_callers_ask(images, tmp_path):
    """The fields of the Protocol."""
    np.save(tmp_path / "l.npy", np.random.default_rng(0).normal(size=(40, 3)))
    teacher = open_teacher(str(tmp_path / "l.npy"), task=images, **NOTHING)

    assert (teacher.name, teacher.kind) == ("l.npy", "logits")
    assert len(teacher.digest) == 64
    assert teacher.logits(images.test).dtype == np.float32
