"""Content hashes of what a teacher sees."""

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.tasks.task import Rows, Texts
from hpmkd_edge.teachers.digest import digest_of_rows, parts_of_inputs

SENTENCES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=6)


@given(SENTENCES, SENTENCES, SENTENCES)
def test_sentences_have_one_digest_wherever_they_lie(before, sentences, after):
    """A slice, a copy, rows taken out of many, and parts joined are the same sentences."""
    everything = pyarrow.array([*before, *sentences, *after], pyarrow.string())
    start, count = len(before), len(sentences)
    forms = (
        Texts(sentences=everything.slice(start, count)),
        Texts(sentences=everything).take(np.arange(start, start + count)),
        Texts(sentences=pyarrow.concat_arrays([everything.slice(start, 1), everything.slice(start + 1, count - 1)]))
        if count > 1
        else Texts.of(sentences),
    )

    assert {parts_of_inputs(form) for form in forms} == {parts_of_inputs(Texts.of(sentences))}


@given(SENTENCES, SENTENCES)
def test_different_sentences_have_different_digests(one, other):
    """Digests are equal exactly where the sentences are."""
    assert (parts_of_inputs(Texts.of(one)) == parts_of_inputs(Texts.of(other))) == (one == other)


@pytest.mark.parametrize("other", [["a", "bc"], ["abc"], ["ab", "c", ""], ["", "ab", "c"], ["c", "ab"]])
def test_where_a_sentence_ends_is_part_of_the_digest(other):
    """So are empty sentences and their order."""
    assert parts_of_inputs(Texts.of(["ab", "c"])) != parts_of_inputs(Texts.of(other))


def test_rows_at_other_places_have_another_digest():
    """Files of logits follow the positions; labels are not seen by a teacher."""
    first, moved, relabeled = (
        Rows(inputs=Texts.of(["a", "b"]), labels=np.array(labels), positions=np.array(positions))
        for labels, positions in (([0, 1], [0, 1]), ([0, 1], [0, 2]), ([1, 1], [0, 1]))
    )

    assert digest_of_rows(first) == digest_of_rows(relabeled) != digest_of_rows(moved)
