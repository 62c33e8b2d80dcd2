"""Copies of sentences: on disk as in memory, a user's own sentences first."""

from collections import Counter

import numpy as np
import pytest
from sample_texts import sentences

from hpmkd_edge.distill import text_copies
from hpmkd_edge.distill.text_copies import copies_of
from hpmkd_edge.errors import BadData, BadOutput
from hpmkd_edge.students.alike import Alike
from hpmkd_edge.tasks.task import Texts

TEXTS = Texts.of(["", *sentences(99)[0]])
OWN = [f"sentence {number} of a user" for number in range(230)]


def copies(count=3, seed=7, unlabeled=None, folder=None):
    made = copies_of(TEXTS, count=count, seed=seed, unlabeled=unlabeled, folder=folder)
    return [copy.strings() for copy in made]


def test_a_copy_follows_from_its_number(tmp_path):
    """More copies begin with those of fewer, and a file holds what the memory does."""
    many = copies(4)

    assert copies(2) == many[:2]
    assert copies(3, seed=8) == many[1:]
    assert copies(4, folder=tmp_path / "new") == many
    assert len({tuple(copy) for copy in many}) == 4
    assert all(copy[0] == "" and len(copy) == 100 for copy in many)


def test_copies_on_disk_are_written_anew_and_stay_readable(tmp_path):
    """Who has mapped a file that another call replaces keeps the old one."""
    first = next(copies_of(TEXTS, count=1, seed=1, unlabeled=None, folder=tmp_path))
    before = first.strings()
    next(copies_of(TEXTS, count=1, seed=2, unlabeled=None, folder=tmp_path))

    assert first.strings() == before == copies(1, seed=1)[0]
    assert [path.name for path in tmp_path.iterdir()] == ["copy-1.arrow"]


def test_sentences_of_a_user_take_the_place_of_every_other_copy_until_each_was_there_once():
    """230 of them fill two copies of 100 rows and 30 rows of a third; the rest are those that would be there."""
    plain, mixed = copies(7), copies(7, unlabeled=Texts.of(OWN))
    drawn = [sentence for copy in mixed for sentence in copy if sentence in set(OWN)]

    assert Counter(drawn) == Counter(OWN)
    assert [sum(sentence in set(OWN) for sentence in copy) for copy in mixed] == [100, 0, 100, 0, 30, 0, 0]
    assert drawn != OWN
    assert mixed[4][30:] == plain[4][30:]
    assert [mixed[number] for number in (1, 3, 5, 6)] == [plain[number] for number in (1, 3, 5, 6)]


def test_words_are_looked_up_as_they_are_spelled_and_in_small_letters():
    """The encoder may know them so alone; a word within another, or of another script, is none."""
    alike = Alike(
        words=("film", "Paris"),
        others=("movie", "London"),
        nearest=np.array([[0], [1]], np.int32),
        times=np.array([1, 1]),
    )
    texts = Texts.of(["Film FILM films 语film Paris PARIS"] * 400)
    (copy,) = copies_of(texts, count=1, seed=0, unlabeled=None, folder=None, alike=alike)
    found = Counter(word for sentence in copy.strings() for word in sentence.replace("语", " ").split())

    # FILM, Film and film, three words of seven, have 0.15 of their places taken by the one, PARIS by none.
    assert found["movie"] == pytest.approx(0.15 * 3 * 400, rel=0.4)
    assert found["London"] == pytest.approx(0.15 * 400, rel=0.5)
    assert set(found) == {"Film", "FILM", "films", "film", "Paris", "PARIS", "movie", "London"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """A file stands in its place."""
    (tmp_path / "file").write_text("")

    with pytest.raises(BadOutput, match=r"file.copy-1.arrow cannot be written: "):
        copies(1, folder=tmp_path / "file")


def test_sentences_too_long_to_be_copied_are_refused(monkeypatch):
    """The kernel's own limit, in a sentence for the user."""

    def too_large(_words, *, seed):
        raise OverflowError(f"the copies of seed {seed} are too large.")

    monkeypatch.setattr(text_copies, "copy_texts", too_large)

    with pytest.raises(BadData, match=r"too long to be copied: the copies of seed 7 are too large. Use --views 1"):
        copies(1)


def test_copies_are_mapped_and_not_python_objects(tmp_path):
    """Arrow's own memory stays as it was."""
    import pyarrow

    before = pyarrow.total_allocated_bytes()
    kept = list(copies_of(Texts.of(sentences(5_000)[0]), count=4, seed=0, unlabeled=None, folder=tmp_path))

    assert pyarrow.total_allocated_bytes() - before < 100_000
    assert np.mean([len(copy) for copy in kept]) == 5_000
