"""Teachers from scikit-learn."""

from dataclasses import replace

import joblib
import numpy as np
import pytest
import skops.io
from sample_texts import text_task
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.svm import SVC, LinearSVC

from hpmkd_edge.errors import BadData, BadTeacher
from hpmkd_edge.tasks.task import Column, Table
from hpmkd_edge.teachers.estimator import class_order, fit_boosted
from hpmkd_edge.teachers.features import data_frame, number_matrix
from hpmkd_edge.teachers.open import open_teacher


def shout(values):
    return values


def dumped(folder, estimator):
    skops.io.dump(estimator, folder / "m.skops")
    return str(folder / "m.skops")


def opened(path, task, **flags):
    return open_teacher(path, **({"task": task, "weights": None, "normalize": None, "trust": False} | flags))


def named_labels(rows, task):
    return np.array(task.classes)[rows.labels]


def pipeline():
    columns = ColumnTransformer(
        [("n", SimpleImputer(), ["size"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["color"])]
    )
    return make_pipeline(columns, LogisticRegression())


def test_a_pipeline_gets_the_frame_that_it_was_fitted_on(tmp_path, mixed):
    """By column name, in its own order, with NaN for what is missing."""
    frame = data_frame(mixed.train.inputs, ("color", "size"))
    estimator = pipeline().fit(frame, named_labels(mixed.train, mixed))
    teacher = opened(dumped(tmp_path, estimator), mixed, trust=True)  # for the imputer's numpy.dtype
    expected = estimator.predict_log_proba(data_frame(mixed.test.inputs, ("color", "size")))

    np.testing.assert_allclose(teacher.logits(mixed.test), expected, rtol=1e-4, atol=1e-5)
    assert frame["color"].isna().any()
    assert teacher.parameters == 1 + 4 + 1
    assert teacher.preprocessing == "raw columns as a data frame; its probabilities are read as logarithms"


def test_the_logits_follow_the_tasks_order_of_classes(tmp_path, numbers):
    """A task that lists its classes the other way round gets the columns the other way round."""
    estimator = LogisticRegression().fit(number_matrix(numbers.train.inputs), named_labels(numbers.train, numbers))
    path = dumped(tmp_path, estimator)
    turned = replace(numbers, classes=numbers.classes[::-1])

    np.testing.assert_array_equal(
        opened(path, turned).logits(numbers.test), opened(path, numbers).logits(numbers.test)[:, ::-1]
    )


@pytest.mark.parametrize("estimator", [LinearSVC(), RidgeClassifier()])
def test_one_distance_becomes_two_logits(tmp_path, numbers, estimator):
    """Their difference is the decision function."""
    matrix = number_matrix(numbers.train.inputs)
    estimator.fit(matrix, named_labels(numbers.train, numbers))
    teacher = opened(dumped(tmp_path, estimator), numbers)
    logits = teacher.logits(numbers.test)

    np.testing.assert_allclose(
        logits[:, 1] - logits[:, 0],
        estimator.decision_function(number_matrix(numbers.test.inputs)),
        rtol=1e-4,
        atol=1e-5,
    )
    assert "decision function" in teacher.preprocessing


@pytest.mark.parametrize("last", [LogisticRegression(), LinearSVC()])
def test_a_pipeline_of_words_gets_strings(tmp_path, last):
    """From a .skops file, every type of which is known to be safe, and from a pickle."""
    task = text_task()
    pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), last)
    pipeline.fit(task.train.inputs.strings(), named_labels(task.train, task))
    expected = pipeline.decision_function(task.test.inputs.strings())
    joblib.dump(pipeline, tmp_path / "m.joblib")

    for path, trust in ((dumped(tmp_path, pipeline), False), (str(tmp_path / "m.joblib"), True)):
        teacher = opened(path, task, trust=trust)
        logits = teacher.logits(task.test)
        np.testing.assert_allclose(logits[:, 1] - logits[:, 0], expected, rtol=1e-4, atol=1e-4)
        assert teacher.parameters == last.coef_.size + 1
        assert teacher.preprocessing.startswith("sentences as strings; its ")


def test_an_estimator_of_numbers_fails_on_text_in_one_sentence(tmp_path, numbers):
    """scikit-learn says why."""
    path = dumped(tmp_path, LogisticRegression().fit(number_matrix(numbers.train.inputs), numbers.train.labels))

    with pytest.raises(BadTeacher, match=r"m\.skops fails on an input of shape \(8,\): ValueError"):
        opened(path, text_task(), trust=True)


@pytest.mark.parametrize(("normalize", "factor"), [(None, 1), ("unit", 255)])
def test_images_go_in_flat(tmp_path, images, normalize, factor):
    """0 … 255 unless asked otherwise; integer classes are positions."""
    flat = images.train.inputs.pixels.reshape(-1, 60) / np.float32(factor)
    estimator = LogisticRegression(max_iter=50).fit(flat, images.train.labels)
    teacher = opened(dumped(tmp_path, estimator), images, normalize=normalize)
    expected = estimator.predict(images.test.inputs.pixels.reshape(-1, 60) / np.float32(factor))

    np.testing.assert_array_equal(teacher.logits(images.test).argmax(1), expected)
    assert "flat" in teacher.preprocessing
    assert "classes 0 … 2 are read as positions" in teacher.preprocessing


@pytest.mark.parametrize("suffix", [".joblib", ".pkl", ".pickle"])
def test_a_pickle_is_loaded_only_with_trust(tmp_path, numbers, suffix):
    """The refusal names both ways out."""
    estimator = LogisticRegression().fit(number_matrix(numbers.train.inputs), numbers.train.labels)
    path = tmp_path / f"m{suffix}"
    joblib.dump(estimator, path)

    with pytest.raises(BadTeacher, match=r"holds a pickle.*a \.skops file or --trust is needed"):
        opened(str(path), numbers)
    assert opened(str(path), numbers, trust=True).logits(numbers.test).shape == (20, 2)


def test_unknown_types_in_a_skops_file_are_named(tmp_path, numbers):
    """They are loaded with trust only."""
    estimator = make_pipeline(FunctionTransformer(shout), LogisticRegression())
    estimator.fit(number_matrix(numbers.train.inputs), numbers.train.labels)
    path = dumped(tmp_path, estimator)

    with pytest.raises(BadTeacher, match=r"holds .*shout, not known to be safe; --trust is needed"):
        opened(path, numbers)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (LogisticRegression(), "LogisticRegression that is not fitted"),
        ({"a": 1}, "holds dict, without predict_proba and decision_function"),
    ],
)
def test_what_is_no_fitted_classifier_is_refused(tmp_path, numbers, content, match):
    """It is named by its type."""
    with pytest.raises(BadTeacher, match=match):
        opened(dumped(tmp_path, content), numbers)


def test_an_unreadable_file_is_refused(tmp_path, numbers):
    """With its path."""
    (tmp_path / "m.skops").write_bytes(b"no zip")

    with pytest.raises(BadTeacher, match=r"m\.skops cannot be loaded"):
        opened(str(tmp_path / "m.skops"), numbers)


def test_a_missing_column_is_named(tmp_path, mixed):
    """The frame cannot be made without it."""
    estimator = pipeline().fit(data_frame(mixed.train.inputs, ("size", "color")), mixed.train.labels)
    color = Table(columns=mixed.train.inputs.columns[1:])

    with pytest.raises(BadTeacher, match="was fitted on 'size', which the task does not have"):
        opened(
            dumped(tmp_path, estimator),
            replace(mixed, train=replace(mixed.train, inputs=color)),
            trust=True,
        )


def test_another_number_of_columns_is_named(tmp_path, mixed):
    """A matrix of three columns cannot be made of one."""
    estimator = LogisticRegression().fit(np.eye(3), [0, 1, 0])

    with pytest.raises(BadTeacher, match=r"matrix of 3 column\(s\); the task has 1 columns of numbers, and text"):
        opened(dumped(tmp_path, estimator), mixed)


@pytest.mark.parametrize(
    ("own", "classes", "order"),
    [
        ([0, 1, 2], ("2", "0", "1"), (2, 0, 1)),
        ([1.0, 2.0], ("1", "2"), (0, 1)),
        (["b", "a"], ("a", "b"), (1, 0)),
        ([0, 1], ("no", "yes"), (0, 1)),
        ([False, True], ("False", "True"), (0, 1)),
    ],
)
def test_classes_are_the_same_if_they_read_the_same(own, classes, order):
    """Numbers as text, floats as integers, and positions where no name is shared."""
    assert class_order("x", own, classes)[0] == order


@pytest.mark.parametrize("own", [["a", "b"], ["a", "b", "c", "d"], [1, 2, 3], [0, 1]])
def test_other_classes_are_refused_with_both_lists(own):
    """Fewer, more, or others."""
    with pytest.raises(BadTeacher, match=r"knows the classes .*; the task has a, b, c"):
        class_order("x", own, ("a", "b", "c"))


def test_boosted_trees_learn_numbers_and_categories(mixed):
    """Both columns are needed to be right nearly always, and missing ones don't stop them."""
    teacher = fit_boosted(mixed, 0)
    accuracy = (teacher.logits(mixed.train).argmax(1) == mixed.train.labels).mean()

    assert accuracy > 0.85
    assert teacher.logits(mixed.test).shape == (50, 2)
    assert teacher.model_bytes > 0


def test_boosting_is_told_by_its_seed(mixed):
    """The same seed gives the same answers and digest, another one another digest."""
    one, same, other = fit_boosted(mixed, 0), fit_boosted(mixed, 0), fit_boosted(mixed, 1)

    np.testing.assert_array_equal(one.logits(mixed.test), same.logits(mixed.test))
    assert one.digest == same.digest != other.digest


def test_boosting_takes_more_categories_than_its_trees_hold():
    """The rarest share one place, and a category that training never saw is missing."""
    names = np.array([f"c{place}" for place in range(300)] * 2, dtype=object)
    numbers = np.zeros(600, np.float32)

    teacher = fit_boosted(table_task(names, numbers), 0)
    strange = table_task(np.full(600, "never seen", dtype=object), numbers)

    assert np.isfinite(teacher.logits(strange.test)).all()


def table_task(names, numbers):
    from hpmkd_edge.tasks.task import Rows, Task

    columns = (
        Column(name="name", kind="category", values=names),
        Column(name="number", kind="number", values=numbers),
    )
    rows = Rows(inputs=Table(columns=columns), labels=np.arange(600) % 2, positions=np.arange(600))
    return Task(
        name="t",
        source="t",
        classes=("a", "b"),
        train=rows,
        validation=rows,
        test=rows,
        split_rule="",
        digest="",
    )


def test_boosting_needs_every_class_and_a_table(mixed, images):
    """Each refusal names what is missing."""
    lone = replace(mixed, classes=("no", "yes", "maybe"))

    with pytest.raises(BadData, match="class 'maybe' has no training row"):
        fit_boosted(lone, 0)
    with pytest.raises(BadTeacher, match="images; a table is needed"):
        fit_boosted(images, 0)


def test_boosting_stands_a_class_of_one_row(mixed):
    """Too few to hold any out: a fixed number of rounds."""
    labels = np.zeros(100, np.int64)
    labels[3] = 1

    teacher = fit_boosted(replace(mixed, train=replace(mixed.train, labels=labels)), 0)

    assert isinstance(teacher.estimator.steps[-1][1], HistGradientBoostingClassifier)
    assert teacher.logits(mixed.test).shape == (50, 2)


@pytest.mark.parametrize(
    ("estimator", "count"),
    [
        (LogisticRegression(), 3),
        (SVC(kernel="rbf"), None),
        (MLPClassifier((4,), max_iter=1), 2 * 4 + 4 + 4 + 1),
        (HistGradientBoostingClassifier(max_iter=1), None),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_only_what_has_weights_has_a_count(tmp_path, numbers, estimator, count):
    """A kernel machine has an intercept, and keeps the rest in rows."""
    estimator.fit(number_matrix(numbers.train.inputs), named_labels(numbers.train, numbers))

    assert opened(dumped(tmp_path, estimator), numbers, trust=True).parameters == count
