"""Text is written whole or not at all."""

import os
import threading
from pathlib import Path

import pytest

from hpmkd_edge.errors import BadOutput
from hpmkd_edge.text_file import append_text, write_text


def test_what_is_written_replaces_what_was_there(tmp_path):
    """And leaves no draft behind; what no UTF-8 can say is escaped."""
    for text in ("first", "é\udcff"):
        write_text(text, tmp_path / "t.txt")

    assert (tmp_path / "t.txt").read_text(encoding="utf-8") == "é\\udcff"
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]


def test_what_is_appended_follows_what_was_there(tmp_path):
    """As a job's summary grows step by step."""
    for text in ("a\n", "é\n"):
        append_text(text, tmp_path / "t.md")

    assert (tmp_path / "t.md").read_text(encoding="utf-8") == "a\né\n"


@pytest.mark.parametrize("write", [write_text, append_text])
def test_what_cannot_be_written_is_a_sentence(tmp_path, write):
    """No folder, or one in the file's place; nothing is left behind."""
    for path in (tmp_path / "none" / "t.txt", tmp_path):
        with pytest.raises(BadOutput, match=r"cannot be written: \w"):
            write("text", path)

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_takes_nothing():
    """What of the text had room is not left in the file."""
    with pytest.raises(BadOutput, match="/dev/full cannot be written: No space left"):
        append_text("text", Path("/dev/full"))


@pytest.mark.parametrize("write", [write_text, append_text])
@pytest.mark.parametrize("name", ["", "x" * 300])
def test_a_name_that_no_file_has_is_a_sentence(tmp_path, monkeypatch, write, name):
    """An empty one is what an unset variable leaves; the other is too long."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadOutput, match=r"is no file's name|cannot be written: File name too long"):
        write("text", Path(name))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_text, append_text])
def test_a_pipe_is_written_to_and_stays(tmp_path, write):
    """As /dev/stdout, or what a shell puts for >(…); a file in its place would break it for others."""
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    write("text", tmp_path / "pipe")
    reader.join()

    assert read == ["text"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    """One that leads to itself is a sentence."""
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "t.txt")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    write_text("text", tmp_path / "link")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "t.txt").read_text() == "text"
    with pytest.raises(BadOutput, match="loop cannot be written"):
        write_text("text", tmp_path / "loop")
