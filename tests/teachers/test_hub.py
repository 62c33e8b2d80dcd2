"""Models by their names on the hub, without a network."""

import json
import shutil
from types import SimpleNamespace

import pytest
from sample_classifiers import write_classifier
from sample_texts import text_task

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.teachers import hub
from hpmkd_edge.teachers.hub import folder_of, is_hub_name
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


@pytest.mark.parametrize(
    ("lost", "whole"),
    [
        ((), True),
        (("config.json",), False),
        (("tokenizer.json",), False),
        (("model-00002-of-00002.safetensors",), False),
        (("model.safetensors.index.json",), False),
    ],
)
def test_a_download_that_was_stopped_is_no_model(tmp_path, lost, whole):
    """Every shard counts, and the words."""
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name in ("config.json", "tokenizer.json", *shards):
        (tmp_path / name).touch()
    index = {"weight_map": dict(zip(("a", "b"), shards, strict=True))}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in lost:
        (tmp_path / name).unlink()

    assert hub._whole(tmp_path) == whole


def test_what_was_fetched_is_found_again_without_a_network(cache, monkeypatch, tmp_path):
    """The hub's client notes what a name stands for where it is asked for no revision; weights come last."""
    import huggingface_hub
    from huggingface_hub import constants

    write_classifier(tmp_path / "there")
    files = sorted(path.name for path in (tmp_path / "there").iterdir())
    asked = []

    class Hub:
        def model_info(self, name, timeout):
            return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename=file) for file in files])

    def download(name, *, allow_patterns=(), revision=None, local_files_only=False):
        if local_files_only:
            return real(name, local_files_only=True)
        place = cache / "models--owner--praise"
        (place / "refs").mkdir(parents=True, exist_ok=True)
        if revision is None:
            (place / "refs" / "main").write_text(COMMIT)
        folder = place / "snapshots" / COMMIT
        folder.mkdir(parents=True, exist_ok=True)
        for file in allow_patterns:
            shutil.copy(tmp_path / "there" / file, folder / file)
        asked.append(sorted(allow_patterns))
        return str(folder)

    real = huggingface_hub.snapshot_download
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    folder = folder_of("owner/praise")

    assert asked[1] == ["model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert folder_of("owner/praise") == folder
    assert len(asked) == 2
    assert constants.HF_HUB_OFFLINE


def test_a_model_that_is_nowhere_is_one_sentence(cache):
    """The folder that might have been meant, what failed, and what is needed."""
    with pytest.raises(
        BadTeacher,
        match=r"there is no folder /.*owner/none, and the Hugging Face hub did not give owner/none: .*; a folder, a"
        " name whose files are in the hub's cache, or a network is needed",
    ):
        open_teacher("owner/none", task=text_task(train=16, validation=4, test=4), **NOTHING)
