"""Which output is which class, of models that name their outputs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.teachers.class_order import label_order


@given(st.lists(st.text("abcXYZ019", min_size=1), min_size=2, max_size=6, unique_by=str.casefold), st.randoms())
def test_names_in_any_order_find_their_class(classes, random):
    """The output at each place of the order is called as the class there, whatever the case of its letters."""
    labels = [label.upper() for label in classes]
    random.shuffle(labels)
    order, phrase = label_order("m", labels, classes)

    assert [labels[place].casefold() for place in order] == [label.casefold() for label in classes]
    assert phrase == ""


@pytest.mark.parametrize(
    ("labels", "classes", "order", "phrase"),
    [
        (("LABEL_0", "LABEL_1"), ("0", "1"), (0, 1), ""),
        (("LABEL_0", "LABEL_1"), ("1", "0"), (1, 0), ""),
        (("NEGATIVE", "POSITIVE"), ("0", "1"), (0, 1), "; its classes NEGATIVE, POSITIVE are read as 0 … 1"),
        (("1", "0"), ("0", "1"), (1, 0), ""),
        (("LABEL_0", "LABEL_1"), ("bad", "good"), (0, 1), "; its classes, which have no names, are read as positions"),
        (("LABEL_0", "LABEL_1"), ("1", "2"), (0, 1), "; its classes, which have no names, are read as positions"),
        (("0", "1"), ("bad", "good"), (0, 1), "; its classes 0 … 1 are read as positions"),
    ],
)
def test_numbers_and_positions_are_taken_where_names_say_nothing(labels, classes, order, phrase):
    """And a phrase tells what was taken for what."""
    assert label_order("m", labels, classes) == (order, phrase)


@pytest.mark.parametrize(
    ("labels", "classes", "match"),
    [
        (("bad", "good"), ("bad", "best"), "m knows the classes bad, good; the task has bad, best"),
        (("LABEL_0", "LABEL_1"), ("a", "b", "c"), "m gives 2 classes; the task has 3: a, b, c"),
    ],
)
def test_other_classes_are_refused(labels, classes, match):
    """With both lists."""
    with pytest.raises(BadTeacher, match=match):
        label_order("m", labels, classes)
