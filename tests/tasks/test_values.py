"""When a label is a value, how its rows are parted, and in which units it is learned."""

import numpy as np
import pytest

from hpmkd_edge.errors import BadConfiguration, BadData
from hpmkd_edge.tasks.labels import read_labels
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.values import scale_of


def written(tmp_path, values, name="t.csv", extra=None):
    lines = ["x,y" + (",split" if extra else "")]
    lines += [f"{row % 7},{value}" + (f",{extra[row]}" if extra else "") for row, value in enumerate(values)]
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("values", "goal", "found"),
    [
        (np.array([1.5, 2.0, 2.0]), None, "value"),
        (np.arange(51), None, "value"),
        (np.arange(51.0), None, "value"),
        (np.arange(50), None, "classes"),
        (np.array([1.0, 2.0]), None, "classes"),
        (np.array([1, 2]), "value", "value"),
        (np.arange(60.0), "classes", "classes"),
        (np.array([True, False]), None, "classes"),
        (np.array(["1.5", "2"]), None, "classes"),
    ],
)
def test_decimal_and_many_numbers_are_values_unless_the_user_says_otherwise(values, goal, found):
    """A note says so where nobody was asked."""
    labels = read_labels(values, "label column 'y'", goal=goal, table=True)

    assert (labels.classes == ()) == (found == "value")
    assert (labels.note is not None) == (found == "value" and goal is None)
    assert labels.codes.dtype == (np.float32 if found == "value" else np.int64)


@pytest.mark.parametrize(
    ("values", "goal", "error", "message"),
    [
        (np.array([1.0, np.inf]), "value", BadData, "row 2 of y holds inf; finite"),
        (np.array([0.5, 1e39]), None, BadData, "row 2 of y holds 1e"),
        (np.array([0.5, np.nan]), None, BadData, "row 2 of y holds nan"),
        (np.array([2.5, 2.5]), None, BadData, r"one value only, 2\.5"),
        (np.array(["a", "b"], object), "value", BadData, "holds text; numbers are needed"),
        (1e6 + np.arange(60) / 1000, None, BadData, "too little for numbers of 32 bits"),
        (np.array([0.5, 1.0]), "classes", BadData, r"row 1 of y holds 0\.5; text, whole numbers"),
    ],
)
def test_labels_that_are_no_values_are_refused(values, goal, error, message):
    """The sentence names what was found."""
    with pytest.raises(error, match=message):
        read_labels(values, "y", goal=goal, table=True)


def test_images_have_classes():
    """A value is asked of them in vain."""
    with pytest.raises(BadConfiguration, match="--goal value is for a table"):
        read_labels(np.array([1, 2]), "the labels", goal="value", table=False)
    with pytest.raises(BadConfiguration, match="digits holds images"):
        open_task("digits", goal="value")

    assert read_labels(np.arange(60), "the labels", goal=None, table=False).classes != ()


def test_rows_of_values_are_drawn_from_all_alike(tmp_path):
    """15 % each of validation and test, by the permutation that the rule names; raw units, another digest by goal."""
    values = np.arange(100) / 4
    task = open_task(written(tmp_path, values), label="y")
    order = np.random.default_rng(0).permutation(100)
    whole = written(tmp_path, np.arange(100) % 3, "w.csv")

    assert task.goal == "value"
    np.testing.assert_array_equal(task.test.positions, np.sort(order[:15]))
    np.testing.assert_array_equal(task.validation.positions, np.sort(order[15:30]))
    np.testing.assert_array_equal(task.train.labels, values[task.train.positions].astype(np.float32))
    assert "class" not in task.split_rule
    assert open_task(whole, label="y").digest != open_task(whole, label="y", goal="value").digest


def test_students_learn_standardized_values(tmp_path):
    """Mean 0 and deviation 1 on the training rows."""
    task = open_task(written(tmp_path, np.arange(100) / 4 + 1000), label="y")
    learned = scale_of(task).standardized(task.train.labels)

    np.testing.assert_allclose([learned.mean(), learned.std()], [0, 1], atol=1e-5)


def test_a_split_with_one_value_is_refused(tmp_path):
    """It has no R²."""
    split = ["train"] * 60 + ["test"] * 20
    values = [*(np.arange(60) / 4), *[7.5] * 20]
    with pytest.raises(BadData, match=r"the label is 7\.5 in all test rows"):
        open_task(written(tmp_path, values, extra=split), label="y", split="split")


def test_a_column_may_not_have_the_output_s_name(tmp_path):
    """Only where that is the output: of classes it is another."""
    path = tmp_path / "t.csv"
    path.write_text("value,y\n" + "".join(f"{row % 7},{row % 2}\n" for row in range(60)))

    assert open_task(str(path), label="y").goal == "classes"
    with pytest.raises(BadData, match="a column is named 'value', as the shipped file's output"):
        open_task(str(path), label="y", goal="value")


def test_an_archive_of_numbers_may_have_values(tmp_path):
    """Also below zero, which no class is."""
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=generator.normal(size=(40, 2)), y=generator.normal(size=40))

    assert open_task(str(tmp_path / "a.npz")).goal == "value"
    assert open_task(str(tmp_path / "a.npz")).train.labels.min() < 0
