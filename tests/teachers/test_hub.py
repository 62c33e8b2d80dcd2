"""Models by their names on the hub, without a network."""

import pytest
from sample_classifiers import write_classifier
from sample_texts import text_task

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.teachers.hub import is_hub_name
from hpmkd_edge.teachers.open import open_teacher

NOTHING = {"weights": None, "normalize": None, "trust": False}
COMMIT = "0" * 40


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub's client, and nobody to ask."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("owner/model-v1.5_a", True),
        ("9owner/model", True),
        ("model", False),
        ("/owner/model", False),
        ("../model", False),
        ("a/b/c", False),
        ("owner/", False),
        ("owner/mod el", False),
    ],
)
def test_a_name_has_an_owner_and_a_model(spec, named):
    """Anything else is a path."""
    assert is_hub_name(spec) == named


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    """What lies here is not asked of anybody."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "model").mkdir(parents=True)

    assert not is_hub_name("owner/model")


def test_a_model_in_the_cache_needs_no_network(cache):
    """Laid out as the hub's client does."""
    folder = cache / "models--owner--praise"
    write_classifier(folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    task = text_task(train=16, validation=4, test=8)
    teacher = open_teacher("owner/praise", task=task, **NOTHING)

    assert teacher.name == "owner/praise"
    assert teacher.folder == folder / "snapshots" / COMMIT
    assert teacher.logits(task.test).shape == (8, 2)


def test_a_model_that_is_nowhere_is_one_sentence(cache):
    """The folder that might have been meant, what failed, and what is needed."""
    with pytest.raises(
        BadTeacher,
        match=r"there is no folder /.*owner/none, and the Hugging Face hub did not give owner/none: .*; a folder, a"
        " name whose files are in the hub's cache, or a network is needed",
    ):
        open_teacher("owner/none", task=text_task(train=16, validation=4, test=4), **NOTHING)
