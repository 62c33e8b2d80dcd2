"""What is typed on the board is what was measured here."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from sample_records import make_target

from hpmkd_edge.settling import board_command
from hpmkd_edge.verdict import Outcome

BOARD = replace(make_target(), name="board", device=replace(make_target().device, name="a board"))


@pytest.mark.parametrize("sentence", ["a good film", 'it\'s "good"', "-n $HOME `id` \\ \n ;", ""])
def test_a_text_student_is_timed_there_on_the_same_sentence(sentence):
    """Behind its tokenizer, however it is written."""
    told = board_command(BOARD, Path("/runs/a b"), Outcome.INCONCLUSIVE, cut=True, sentence=sentence)
    words = shlex.split(told.rpartition("\n")[0])

    assert words[:3] == ["hpmkd-edge", "profile", "/runs/a b/student.onnx"]
    assert words[words.index("--preprocessing") + 1] == "/runs/a b/tokenizer.json"
    assert [word for word in words if word.startswith("--text")] == [f"--text={sentence}"]


def test_other_students_are_timed_on_rows_that_are_made_up():
    """All cost the same; what is settled needs no command."""
    told = board_command(BOARD, Path("/runs/a"), Outcome.INCONCLUSIVE, cut=True)

    assert "--preprocessing /runs/a/preprocessing.onnx --target board" in told
    assert "--text" not in told
    assert board_command(BOARD, Path("/runs/a"), Outcome.MET) is None
