"""Two models' answers on the same rows: every row is counted once, and what is compared can be told apart."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.answers import MOST_DISAGREEMENTS, compare_answers, digest_of_labeled, student_right
from hpmkd_edge.bench.grading import score_of
from hpmkd_edge.tasks.task import Column, Images, Rows, Table

CLASSES = ("cat", "dog", "emu")
PLACE = st.integers(0, len(CLASSES) - 1)
ANSWERED = st.lists(st.tuples(PLACE, PLACE, PLACE), min_size=1, max_size=60).map(lambda rows: np.array(rows).T)


def compared(labels, teacher, student, classes=CLASSES):
    return compare_answers(labels, teacher, student, classes, sha256="b" * 64)


@given(ANSWERED)
def test_every_row_is_counted_once(answered):
    """By who is right, and by class; and each class's rows that are right make the accuracy."""
    labels, teacher, student = answered
    found = compared(*answered)

    assert found.rows == len(labels)
    assert found.rows == (
        found.both_right + found.teacher_alone_right + found.student_alone_right + found.neither_right
    )
    assert [one.name for one in found.classes] == list(CLASSES)
    assert sum(one.rows for one in found.classes) == found.rows
    for answers, right, alone in (
        (teacher, [one.teacher_right for one in found.classes], found.teacher_alone_right),
        (student, [one.student_right for one in found.classes], found.student_alone_right),
    ):
        accuracy = score_of(np.eye(len(CLASSES))[answers], labels)
        assert sum(right) == found.both_right + alone == round(accuracy * found.rows)


@given(ANSWERED)
def test_disagreements_are_those_of_a_count_row_by_row(answered):
    """The most frequent first; of equals in the order of the classes: label, teacher, student."""
    slow = Counter((label, one, other) for label, one, other in answered.T.tolist() if one != other)
    found = compared(*answered)

    assert found.disagreeing == sum(one.rows for one in found.disagreements) == sum(slow.values())
    assert [(one.label, one.teacher, one.student, one.rows) for one in found.disagreements] == [
        (*(CLASSES[place] for place in places), rows)
        for places, rows in sorted(slow.items(), key=lambda item: (-item[1], item[0]))
    ]


@given(ANSWERED, st.randoms(use_true_random=False))
def test_the_order_of_rows_moves_their_bits_and_nothing_else(answered, random):
    """Bits follow the rows; counts do not see their order."""
    order = list(range(answered.shape[1]))
    random.shuffle(order)
    labels, _, student = answered
    before, after = compared(*answered), compared(*answered[:, order])

    np.testing.assert_array_equal(student_right(before), student == labels)
    np.testing.assert_array_equal(student_right(after), student_right(before)[order])
    assert replace(after, student_right=before.student_right) == before


@given(ANSWERED)
def test_a_model_disagrees_with_itself_nowhere(answered):
    """Nor is one of two equals right alone."""
    labels, teacher, _ = answered
    found = compared(labels, teacher, teacher)

    assert (found.disagreeing, found.disagreements) == (0, ())
    assert (found.teacher_alone_right, found.student_alone_right) == (0, 0)


def test_of_many_disagreements_the_most_frequent_are_kept():
    """The count of all tells how many are left out."""
    classes = tuple(f"class {number}" for number in range(20))
    labels = np.repeat(np.arange(20), 20)
    teacher, student = labels, np.tile(np.arange(20), 20)
    found = compared(np.append(labels, 3), np.append(teacher, 3), np.append(student, 9), classes)

    assert len(found.disagreements) == MOST_DISAGREEMENTS < found.disagreeing == 20 * 19 + 1
    assert (found.disagreements[0].label, found.disagreements[0].student) == ("class 3", "class 9")
    assert [one.rows for one in found.disagreements] == [2] + [1] * (MOST_DISAGREEMENTS - 1)


@pytest.mark.parametrize(
    ("labels", "teacher", "student", "sentence"),
    [
        ([0, 1], [0, 1], [0], r"\[\(2,\), \(2,\), \(1,\)\]; the same \[N\]"),
        ([], [], [], r"the same \[N\]"),
        ([0, 1], [0, 3], [0, 1], "no place in 3 classes"),
        ([0, -1], [0, 1], [0, 1], "no place in 3 classes"),
    ],
)
def test_answers_that_do_not_belong_together_are_refused(labels, teacher, student, sentence):
    """Of other rows, of none, or of other classes."""
    with pytest.raises(ValueError, match=sentence):
        compared(*(np.array(one, np.int64) for one in (labels, teacher, student)))


@pytest.mark.parametrize("packed", ["", "AA==", "AAAAAA==", "not base64"])
def test_bits_that_are_not_a_row_each_are_refused(packed):
    """A record may come from anywhere."""
    answers = replace(compared(*np.zeros((3, 9), np.int64)), student_right=packed)

    with pytest.raises(ValueError, match=r"9 rows; 2 are needed|base64|padding"):
        student_right(answers)


def images(labels=(0, 1, 2, 1), seed=0, shape=(2, 3, 1)):
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 255, (len(labels), *shape)).astype(np.uint8)
    return Rows(inputs=Images(pixels=pixels), labels=np.array(labels), positions=np.arange(len(labels)))


def table(words=("a", "b", ""), numbers=(1.0, np.nan, 3.0), name="heat"):
    columns = (
        Column(name=name, kind="number", values=np.array(numbers, np.float32)),
        Column(name="word", kind="category", values=np.array(words, np.object_)),
    )
    return Rows(inputs=Table(columns=columns), labels=np.array([0, 1, 1]), positions=np.arange(3))


def test_the_digest_is_that_of_the_rows_alone():
    """Where they stood in their source, and classes that none of them has, are not of them."""
    moved = replace(images(), positions=np.arange(4) + 100)
    shifted = replace(images(), labels=images().labels + 1)

    assert digest_of_labeled(moved, CLASSES) == digest_of_labeled(images(), CLASSES)
    assert digest_of_labeled(shifted, ("ant", *CLASSES)) == digest_of_labeled(images(), CLASSES)
    assert digest_of_labeled(table(), CLASSES) == digest_of_labeled(table(), CLASSES)


def test_rows_that_differ_in_anything_have_another_digest():
    """An input, a label, a class's name, the order, a row less, the shape of images, a column's name."""
    rows = [
        images(),
        images(seed=1),
        images(labels=(0, 1, 2, 2)),
        images().take(np.array([1, 0, 2, 3])),
        images().take(np.arange(3)),
        images(shape=(3, 2, 1)),
        table(),
        table(words=("a", "", "b")),
        table(numbers=(1.0, 2.0, 3.0)),
        table(name="cold"),
        table().take(np.array([0, 2, 1])),
    ]
    found = [digest_of_labeled(one, CLASSES) for one in rows]

    assert len({*found, digest_of_labeled(images(), ("cat", "dog", "eel"))}) == len(rows) + 1
