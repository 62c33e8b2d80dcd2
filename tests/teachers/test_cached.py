"""Teachers' answers on disk."""

import logging
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from hpmkd_edge.errors import BadOutput, BadTeacher
from hpmkd_edge.tasks.task import Column, Images, Table
from hpmkd_edge.teachers.cached import cached_logits, digest_of_rows


@dataclass
class CountingTeacher:
    """Answers with the means of the pixels, and counts how often it is asked."""

    digest: str = "d"
    asked: list[int] = field(default_factory=list)
    name: str = "counting"
    kind: str = "torch"
    parameters: int | None = None
    model_bytes: int | None = None
    preprocessing: str = ""
    answers_new_rows: bool = True

    def logits(self, rows):
        self.asked.append(len(rows))
        return rows.inputs.pixels.mean((1, 2)).astype(np.float32)

    def graph(self):
        return None


def test_a_teacher_is_asked_once(tmp_path, images):
    """The second answer comes from disk and is the same to the bit."""
    teacher = CountingTeacher()
    first = cached_logits(teacher, images.train, tmp_path / "cache")
    second = cached_logits(teacher, images.train, tmp_path / "cache")

    np.testing.assert_array_equal(first, teacher.logits(images.train))
    np.testing.assert_array_equal(first, second)
    assert isinstance(second, np.memmap)
    assert teacher.asked == [20, 20]  # the second time by this test


def test_other_teachers_and_rows_have_their_own_entries(tmp_path, images):
    """Labels are no part of the question."""
    cached_logits(CountingTeacher(), images.train, tmp_path)
    cached_logits(CountingTeacher(digest="e"), images.train, tmp_path)
    cached_logits(CountingTeacher(), images.test, tmp_path)
    same = CountingTeacher()
    cached_logits(same, replace(images.train, labels=images.train.labels[::-1]), tmp_path)

    assert len(list(tmp_path.glob("*.npy"))) == 3
    assert same.asked == []


@pytest.mark.parametrize("damage", ["flip", "cut", "seal"])
def test_a_damaged_entry_is_computed_again(tmp_path, images, caplog, damage):
    """A flipped bit, a short file, a foreign checksum: each is seen, logged and mended."""
    teacher = CountingTeacher()
    expected = np.array(cached_logits(teacher, images.train, tmp_path))
    entry = next(tmp_path.glob("*.npy"))
    content = bytearray(entry.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        entry.write_bytes(content)
    elif damage == "cut":
        entry.write_bytes(content[:-8])
    else:
        entry.with_suffix(".sha256").write_text("0" * 64)
    with caplog.at_level(logging.WARNING):
        again = cached_logits(teacher, images.train, tmp_path)

    np.testing.assert_array_equal(again, expected)
    assert "is damaged" in caplog.text
    assert len(teacher.asked) == 2
    cached_logits(teacher, images.train, tmp_path)
    assert len(teacher.asked) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_not_finite_are_refused_and_not_kept(tmp_path, images, value):
    """By the row's place in the data, here the fifth of those after 20 training rows."""

    class Overflowing(CountingTeacher):
        def logits(self, rows):
            answers = super().logits(rows)
            answers[4:, 1] = value
            return answers

    with pytest.raises(BadTeacher, match=f"counting answers row 24 of the data with {value}; finite logits"):
        cached_logits(Overflowing(), images.validation, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_nothing_else_is_left_in_the_folder(tmp_path, images):
    """The array and its checksum."""
    cached_logits(CountingTeacher(), images.train, tmp_path)

    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".npy", ".sha256"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, images):
    """A file stands in its place."""
    (tmp_path / "cache").write_text("")

    with pytest.raises(BadOutput, match=r"cannot be kept in .*cache: File exists; a writable folder is needed"):
        cached_logits(CountingTeacher(), images.train, tmp_path / "cache")


def test_the_digest_of_rows_follows_inputs_and_positions(images, mixed):
    """Equal content has one digest; each change of content, name or place changes it."""
    rows = images.train
    pixels = rows.inputs.pixels.copy()
    pixels[3, 2, 1, 0] ^= 1
    table = mixed.train
    renamed = tuple(replace(column, name=column.name + "2") for column in table.inputs.columns)
    shifted = Column(name="color", kind="category", values=np.array(["ab", "c"], dtype=object))
    split = Column(name="color", kind="category", values=np.array(["a", "bc"], dtype=object))
    two = replace(table.take(np.arange(2)), inputs=Table(columns=(shifted,)))

    assert digest_of_rows(rows) == digest_of_rows(replace(rows, inputs=Images(pixels=rows.inputs.pixels.copy())))
    different = [
        rows,
        replace(rows, inputs=Images(pixels=pixels)),
        replace(rows, positions=rows.positions + 1),
        replace(rows, inputs=Images(pixels=rows.inputs.pixels.reshape(20, 5, 4, 3))),
        table,
        replace(table, inputs=Table(columns=renamed)),
        two,
        replace(two, inputs=Table(columns=(split,))),
    ]
    assert len({digest_of_rows(found) for found in different}) == len(different)
