"""A manifest names every file of a folder, and finds what changed."""

from __future__ import annotations

import pytest

from hpmkd_edge import manifest
from hpmkd_edge.errors import BadReport
from hpmkd_edge.manifest import check_manifest, read_manifest, write_manifest


def write_folder(folder):
    (folder / "inner").mkdir()
    (folder / "student.onnx").write_bytes(b"weights")
    (folder / "inner" / "log.txt").write_text("lines")
    return write_manifest(
        folder,
        run_id="3f5a",
        command="hpmkd-edge compress",
        seed=0,
        created_at="2025-01-01T00:00:00+00:00",
        inputs=(("rows.csv", "d" * 64),),
    )


def test_a_manifest_lists_every_file_and_comes_back(tmp_path):
    """All files of the folder but itself, twice the same."""
    manifest = write_folder(tmp_path)

    assert [artifact.file for artifact in manifest.artifacts] == ["inner/log.txt", "student.onnx"]
    assert read_manifest(tmp_path) == manifest
    assert check_manifest(tmp_path) == ()


def test_a_manifest_finds_what_changed_or_went(tmp_path):
    """A changed byte and a missing file are named."""
    write_folder(tmp_path)
    (tmp_path / "student.onnx").write_bytes(b"weightz")
    (tmp_path / "inner" / "log.txt").unlink()
    missing, changed = check_manifest(tmp_path)

    assert missing == "inner/log.txt is missing."
    assert changed.startswith("student.onnx has changed: 7 bytes with sha256")


def test_a_folder_without_a_manifest_cannot_be_checked(tmp_path):
    """No manifest is not an intact one."""
    with pytest.raises(BadReport, match=r"manifest\.json cannot be read"):
        check_manifest(tmp_path)


def test_libraries_of_text_are_named_where_they_are(tmp_path, monkeypatch):
    """What reads sentences decides their ids; others need neither."""

    def named():
        made = write_manifest(tmp_path, run_id="r", command="c", seed=0, created_at="now", inputs=())
        return [one.name for one in made.versions]

    here = named()
    monkeypatch.setattr(manifest, "TEXT_LIBRARIES", ("no_tokenizers",))

    assert here[-2:] == ["tokenizers", "transformers"]
    assert named() == here[:-2]
