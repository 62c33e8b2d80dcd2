"""Teachers' answers in the store."""

import logging
import os
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.store.objects import Counts
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.tasks.task import Column, Images, Table
from hpmkd_edge.teachers.cached import cached_features, cached_logits
from hpmkd_edge.teachers.digest import digest_of_rows


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


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store."""
    monkeypatch.delenv("HPMKD_EDGE_MEMORY", raising=False)
    return open_store(tmp_path / "cache")


def test_a_teacher_is_asked_once(store, images):
    """The second answer comes from disk and is the same to the bit; the store counts the teacher's forwards."""
    teacher = CountingTeacher()
    first = cached_logits(teacher, images.train, store)
    second = cached_logits(teacher, images.train, store)

    np.testing.assert_array_equal(first, teacher.logits(images.train))
    np.testing.assert_array_equal(first, second)
    assert isinstance(second, np.memmap)
    assert teacher.asked == [20, 20]  # the second time by this test
    assert store.counts["logits"] == Counts(hits=1, misses=1)


def test_other_teachers_and_rows_have_their_own_entries(store, images):
    """Labels are no part of the question."""
    cached_logits(CountingTeacher(), images.train, store)
    cached_logits(CountingTeacher(digest="e"), images.train, store)
    cached_logits(CountingTeacher(), images.test, store)
    same = CountingTeacher()
    cached_logits(same, replace(images.train, labels=images.train.labels[::-1]), store)

    assert store.counts["logits"] == Counts(hits=1, misses=3)
    assert same.asked == []


def test_a_damaged_entry_is_computed_again(store, images, caplog):
    """Seen, logged and mended."""
    teacher = CountingTeacher()
    answers = cached_logits(teacher, images.train, store)
    expected, entry = np.array(answers), next((store.folder / "objects").rglob("*.npy"))
    entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    os.utime(entry, ns=(1, 1))
    with caplog.at_level(logging.WARNING):
        again = cached_logits(teacher, images.train, store)

    np.testing.assert_array_equal(again, expected)
    assert "is damaged" in caplog.text
    cached_logits(teacher, images.train, store)
    assert len(teacher.asked) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_not_finite_are_refused_and_not_kept(store, images, value):
    """By the row's place in the data, here the fifth of those after 20 training rows; halved, infinity stays one."""

    class Overflowing(CountingTeacher):
        def logits(self, rows):
            answers = super().logits(rows)
            answers[4:, 1] = value
            return answers

    message = f"counting answers row 24 of the data with {value}; finite numbers"
    for half in (False, True):
        with pytest.raises(BadTeacher, match=message):
            cached_logits(Overflowing(), images.validation, store, half=half)
    assert store.usage() == ()


def test_half_answers_are_a_rounding_away_and_have_their_own_entry(store, images):
    """Within half a unit of float16's last place; what is beyond its range is cut and stays finite."""

    class Sure(CountingTeacher):
        def logits(self, rows):
            answers = super().logits(rows)
            answers[0] = (1e6, -1e6, 0.0)
            return answers

    teacher = Sure()
    full = cached_logits(teacher, images.train, store)
    half = cached_logits(teacher, images.train, store, half=True)
    again = cached_logits(teacher, images.train, store, half=True)

    assert (full.dtype, half.dtype, again.dtype) == (np.float32, np.float16, np.float16)
    assert half[0].tolist() == [65504, -65504, 0]
    np.testing.assert_allclose(half[1:].astype(np.float32), full[1:], rtol=2**-11)
    np.testing.assert_array_equal(again, half)
    assert len(teacher.asked) == 2


def test_feature_maps_are_computed_once_a_tap(store, images):
    """Halved, whatever their shape; NaN in one of them is refused."""
    asked = []

    def maps(rows):
        asked.append(len(rows))
        return np.asarray(rows.inputs.pixels.transpose(0, 3, 1, 2), np.float32) / 255

    first = cached_features("d", "layer3", images.train, store, maps)
    second = cached_features("d", "layer3", images.train, store, maps)
    cached_features("d", "layer2", images.train, store, maps)
    cached_features("e", "layer3", images.train, store, maps)

    assert (first.dtype, first.shape) == (np.float16, (20, 3, 4, 5))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, maps(images.train), rtol=2**-11)
    assert len(asked) == 3 + 1  # the last time by this test
    with pytest.raises(BadTeacher, match="the teacher at layer1 answers row 0 of the data with nan; finite numbers"):
        cached_features("d", "layer1", images.train, store, lambda rows: np.full((len(rows), 2, 2), np.nan, np.float32))


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
