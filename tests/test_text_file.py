"""Text is written whole or not at all."""

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
