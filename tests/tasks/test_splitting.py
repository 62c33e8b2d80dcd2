"""The split: disjoint, complete, stratified, the same every time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.splitting import TEST, TRAIN, VALIDATION, Split, complete_split, named_split

CLASS_SIZES = st.lists(st.integers(3, 60), min_size=2, max_size=6)


def labels_of(sizes, seed=0):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).permutation(labels), tuple(f"class {k}" for k in range(len(sizes)))


def given_split(labels, *parts):
    return Split(parts=np.resize(np.array(parts, np.uint8), len(labels)), rule="The split is given by a test.")


@given(CLASS_SIZES, st.integers(0, 2**63))
def test_a_drawn_split_holds_15_percent_of_every_class_out_twice(sizes, seed):
    """Of n rows of a class, round(0.15 n), at least one, are test, as many validation, the rest train."""
    labels, classes = labels_of(sizes)
    parts = complete_split(None, labels, classes, seed).parts

    for label, size in enumerate(sizes):
        held_out = max(1, int(0.15 * size + 0.5 + 1e-9))
        assert np.bincount(parts[labels == label], minlength=3).tolist() == [
            size - 2 * held_out,
            held_out,
            held_out,
        ]


@given(CLASS_SIZES, st.integers(0, 2**32))
def test_a_drawn_split_is_a_function_of_labels_and_seed(sizes, seed):
    """The same seed parts the same rows; the rule names it."""
    labels, classes = labels_of(sizes)
    first, second = (complete_split(None, labels, classes, seed) for _ in range(2))

    np.testing.assert_array_equal(first.parts, second.parts)
    assert f"default_rng({seed})" in first.rule


def test_a_drawn_split_stays_what_it_was():
    """Digests in records depend on it: a change of the draw is a change of every record."""
    labels = np.repeat([0, 1], [7, 5])
    parts = complete_split(None, labels, ("a", "b"), 0).parts

    assert parts.tolist() == [0, 0, 2, 0, 1, 0, 0, 0, 1, 0, 0, 2]


def test_two_seeds_part_differently():
    """The seed decides."""
    labels, classes = labels_of([50, 50])
    first, second = (complete_split(None, labels, classes, seed).parts for seed in (0, 1))

    assert (first != second).any()


@given(CLASS_SIZES, st.integers(0, 2**32))
def test_validation_is_drawn_from_train_and_nothing_else_moves(sizes, seed):
    """An own test split stays; every class keeps train rows and gives some."""
    labels, classes = labels_of(sizes)
    own = given_split(labels, TRAIN)
    own.parts[[np.flatnonzero(labels == label)[1] for label in range(len(sizes))]] = TEST
    before = own.parts.copy()
    parts = complete_split(own, labels, classes, seed).parts

    np.testing.assert_array_equal(parts == TEST, before == TEST)
    np.testing.assert_array_equal(own.parts, before)
    for label in range(len(sizes)):
        had, has = (int(((p == TRAIN) & (labels == label)).sum()) for p in (before, parts))
        assert 1 <= has < had


def test_test_rows_are_drawn_where_only_validation_is_given():
    """As validation rows are where only test is given: the same rows, under the other name."""
    labels, classes = labels_of([20, 30])
    has_test, has_validation = given_split(labels, TRAIN, TRAIN, TEST), given_split(labels, TRAIN, TRAIN, VALIDATION)
    first, second = (complete_split(own, labels, classes, 3) for own in (has_test, has_validation))

    np.testing.assert_array_equal(first.parts, np.array([TRAIN, TEST, VALIDATION])[second.parts])
    assert second.rule == first.rule.replace("are validation", "are test")


def test_a_complete_own_split_is_kept():
    """Nothing is drawn where validation rows are given."""
    labels = np.tile([0, 1], 6)
    own = given_split(labels, TRAIN, TRAIN, VALIDATION, TEST)

    assert complete_split(own, labels, ("a", "b"), 0) is own


def test_every_name_of_a_part_is_read():
    """Validation has four names."""
    values = np.array(["train", "val", "valid", "validation", "dev", "test"], object)
    split = named_split(values, "column 'part'")

    assert split.parts.tolist() == [TRAIN, VALIDATION, VALIDATION, VALIDATION, VALIDATION, TEST]
    assert split.rule == "The split is given by column 'part'."


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["train", "devel"], "row 2 of column 'part' holds 'devel'; train, validation"),
        (["", "test"], "row 1 of column 'part' holds nothing; train"),
    ],
)
def test_another_name_of_a_part_is_named(values, message):
    """The first row that holds it is in the sentence."""
    with pytest.raises(BadData, match=message):
        named_split(np.array(values, object), "column 'part'")


@pytest.mark.parametrize(
    ("labels", "parts", "message"),
    [
        ([0, 0, 0, 1, 1], None, "class 'b' has 2 rows; at least 3"),
        ([0, 0, 0, 1], None, "class 'b' has 1 row; at least 3"),
        ([0, 1, 0], [0, 1, 2], "class 'b' is in validation, never in train"),
        ([0, 1, 0, 1], [0, 0, 0, 0], "no test rows"),
        ([0, 1, 0, 1], [2, 2, 1, 1], "no train rows"),
        ([0, 1, 0, 1], [0, 0, 2, 2], "no class has two train rows"),
    ],
)
def test_a_split_that_cannot_be_learned_from_is_refused(labels, parts, message):
    """Train shows every class, and no part is empty."""
    own = None if parts is None else given_split(labels, *parts)
    with pytest.raises(BadData, match=message):
        complete_split(own, np.array(labels), ("a", "b"), 0)
