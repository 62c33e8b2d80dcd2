"""Raw labels to classes."""

import numpy as np
import pytest

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.labels import code_labels


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (np.array([10, 2, -1]), ("-1", "2", "10")),
        (np.array([10.0, 2.0]), ("2", "10")),
        (np.array([True, False]), ("False", "True")),
        (np.array(["10", "2", "é"], object), ("10", "2", "é")),
        (np.array(["b", "a"]), ("a", "b")),
    ],
)
def test_whole_numbers_sort_as_numbers_and_text_as_text(values, classes):
    """The order of the classes is the order of the outputs; codes lead back to the values."""
    labels = code_labels(values, "labels")

    assert labels.classes == classes
    assert [labels.classes[code] for code in labels.codes] == [
        str(int(value)) if values.dtype.kind == "f" else str(value) for value in values
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1.0, 0.5]), "row 2 of labels holds 0.5; text, whole numbers or booleans are needed"),
        (np.array([1.0, np.nan]), "row 2 of labels holds nan"),
        (np.array([1.0, 1e300]), "row 2 of labels holds 1e"),
        (np.arange(51.0), "51 distinct decimal numbers"),
        (np.array([3, 3]), "one class only, '3'"),
        (np.array(["a", "\ud800"]), "half a Unicode character"),
        (np.array([1, 2], "datetime64[s]"), "holds datetime64"),
    ],
)
def test_labels_that_are_no_classes_are_refused(values, message):
    """The sentence names what was found."""
    with pytest.raises(BadData, match=message):
        code_labels(values, "labels")


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (
            ["no", "yes", "yes "],
            "The labels holds 'yes' and 'yes ', which white space alone tells apart, as two classes.",
        ),
        (["a b", "ab"], None),
    ],
)
def test_classes_that_look_alike_are_told(words, note):
    """They stay two: what a user's labels say is not changed."""
    labels = code_labels(np.array(words, object), "labels")

    assert labels.classes == tuple(words)
    assert labels.note == note
