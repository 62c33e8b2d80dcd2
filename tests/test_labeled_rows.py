"""Rows of an .npz come as the model takes them, or not at all."""

import numpy as np
import pytest

from hpmkd_edge.bench.runtimes.runtime import Input
from hpmkd_edge.errors import BadData
from hpmkd_edge.labeled_rows import LabeledRows, read_rows

NUMBER = Input(name="x", dtype=np.dtype(np.float32), shape=(None, 3))
WORD = Input(name="word", dtype=np.dtype(object), shape=(None, 1))
BYTES = Input(name="b", dtype=np.dtype(np.uint8), shape=(None,))


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "r.npz", **arrays)
        return tmp_path / "r.npz"

    return save


def test_arrays_are_cast_where_nothing_is_lost(saved):
    """float64 to float32 is a rounding; whole numbers to bytes must fit; text comes as objects."""
    path = saved(x=np.ones((5, 3)), word=np.array([["a"]] * 5), b=np.arange(5), more=np.zeros(2), y=np.arange(5))
    rows = read_rows(path, (NUMBER, WORD, BYTES), label="y")

    assert [array.dtype for array in rows.feeds.values()] == [np.float32, object, np.uint8]
    assert rows.labels.tolist() == [0, 1, 2, 3, 4]
    assert len(rows) == 5


def test_rows_are_taken_together():
    """Labels stay with theirs, whatever is taken."""
    x = np.arange(30, dtype=np.float32).reshape(10, 3)
    rows = LabeledRows(feeds={"x": x}, labels=np.arange(10))
    for few in (rows.whole(4), rows.evenly(3), rows.take(slice(2, 7))):
        assert (few.feeds["x"][:, 0] == 3 * few.labels).all()

    assert (len(rows.whole(4)), rows.evenly(3).labels.tolist()) == (8, [0, 4, 9])


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"X": np.ones((5, 3))}, r"no array 'x', an input of the model \(float32 of shape \(any, 3\)\)"),
        ({"x": np.ones((5, 4))}, r"float64 of shape \(5, 4\); the model takes float32 of shape \(any, 3\)"),
        ({"x": np.array([["a"] * 3])}, "the model takes float32"),
        ({"x": np.full((5, 3), 2**24 + 1)}, "without loss"),
        ({"x": np.ones((0, 3))}, "at least 1, is needed"),
        ({"x": np.array([[None] * 3])}, "without pickled objects"),
        ({"x": np.float32(1)}, "is a single number"),
    ],
)
def test_what_does_not_fit_is_refused(saved, arrays, sentence):
    """Found, then needed."""
    with pytest.raises(BadData, match=sentence):
        read_rows(saved(**arrays), (NUMBER,), label=None)


def test_what_is_no_npz_is_refused(tmp_path):
    """A folder, another file, a lone array, a file cut off."""
    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "whole.npz", x=np.ones((5, 3)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    (tmp_path / "text.npz").write_text("x")
    for name in ("one.npy", "cut.npz", "text.npz", "none.npz", "."):
        with pytest.raises(BadData, match=r"holds one array|cannot be read"):
            read_rows(tmp_path / name, (NUMBER,), label=None)
