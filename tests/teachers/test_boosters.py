"""Teachers of boosted trees, from the files of their libraries."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.tasks.task import MISSING_NUMBER, Column, Rows, Table, Task
from hpmkd_edge.teachers.open import open_teacher

catboost = pytest.importorskip("catboost")
lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")

SUFFIXES = (".ubj", ".json", ".txt", ".lgb", ".cbm")
ROWS = 240


def table_and_labels(classes):
    generator = np.random.default_rng(0)
    size = generator.normal(size=ROWS).astype(np.float32)
    size[::11] = np.nan
    color = generator.choice(np.array(["red", "green", "blue", ""], object), ROWS)
    code = generator.choice(np.array([3, 70, 200, MISSING_NUMBER]), ROWS)
    labels = np.sum([color == "red", code == 70, np.nan_to_num(size) > 1], axis=0) % classes
    columns = (
        Column(name="the size", kind="number", values=size),
        Column(name="color", kind="category", values=color),
        Column(name="code", kind="category", values=code),
    )
    return Table(columns=columns), labels.astype(np.int64)


def task_of(table, labels, names):
    rows = Rows(inputs=table, labels=labels, positions=np.arange(ROWS))
    return Task(
        name="small",
        source="made here",
        classes=names,
        train=rows,
        validation=rows,
        test=rows,
        split_rule="all",
        digest="0" * 64,
    )


def frame_of(table, words=False):
    """Return the table as its user would have it, with categories of pandas or, for CatBoost, words."""
    columns = {}
    for column in table.columns:
        if column.kind == "number":
            columns[column.name] = column.values
        elif words:
            spelled = np.where(column.missing, "", column.values.astype(str)).astype(object)
            columns[column.name] = pd.Series(spelled, dtype=object)
        else:
            columns[column.name] = pd.Categorical(np.where(column.missing, None, column.values.astype(object)))
    return pd.DataFrame(columns)


def fitted(suffix, frame, labels, rounds=4):
    """Return a fitted estimator and how it is saved."""
    if suffix in (".ubj", ".json"):
        model = xgboost.XGBClassifier(n_estimators=rounds, max_depth=3, enable_categorical=True)
        return model.fit(frame, labels), model.save_model
    if suffix in (".txt", ".lgb"):
        model = lightgbm.LGBMClassifier(n_estimators=rounds, num_leaves=5, verbose=-1)
        model.fit(frame, labels)
        return model, model.booster_.save_model
    model = catboost.CatBoostClassifier(iterations=rounds, depth=3, verbose=0, allow_writing_files=False)
    words = [name for name in getattr(frame, "columns", ()) if frame[name].dtype == object]
    return model.fit(frame, labels, cat_features=words), model.save_model


def opened(path, task, trust=False, **flags):
    return open_teacher(str(path), **({"task": task, "weights": None, "normalize": None, "trust": trust} | flags))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_answers_as_the_estimator_that_wrote_it(tmp_path, suffix, classes):
    """exp of its logits is predict_proba: numbers, text and whole numbers as categories, and missing ones."""
    table, labels = table_and_labels(classes)
    frame = frame_of(table, words=suffix == ".cbm")
    model, save = fitted(suffix, frame, labels)
    path = tmp_path / f"model{suffix}"
    save(str(path))
    teacher = opened(
        path, task_of(table, labels, ("a", "b", "c")[:classes] if suffix != ".cbm" else tuple("012")[:classes])
    )

    np.testing.assert_allclose(
        np.exp(teacher.logits(task_of(table, labels, ("a", "b")).test)), model.predict_proba(frame), rtol=0, atol=1e-6
    )
    assert teacher.model_bytes == path.stat().st_size
    assert teacher.graph() is None


@pytest.mark.parametrize("suffix", [".ubj", ".txt", ".cbm"])
def test_an_estimator_in_joblib_answers_as_its_file(tmp_path, suffix):
    """The same numbers for the same trees, whichever file holds them."""
    table, labels = table_and_labels(2)
    model, save = fitted(suffix, frame_of(table, words=suffix == ".cbm"), labels)
    save(str(tmp_path / f"model{suffix}"))
    joblib.dump(model, tmp_path / "model.joblib")
    task = task_of(table, labels, ("0", "1"))

    np.testing.assert_array_equal(
        opened(tmp_path / "model.joblib", task, trust=True).logits(task.test),
        opened(tmp_path / f"model{suffix}", task).logits(task.test),
    )


@pytest.mark.parametrize("suffix", [".ubj", ".txt", ".cbm"])
def test_a_model_fitted_on_a_matrix_takes_the_numbers_in_order(tmp_path, suffix):
    """Such a model has no names of columns."""
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(ROWS, 2)).astype(np.float32)
    labels = (matrix[:, 0] > matrix[:, 1]).astype(np.int64)
    model, save = fitted(suffix, matrix, labels)
    save(str(tmp_path / f"model{suffix}"))
    table = Table(columns=tuple(Column(name=f"n{i}", kind="number", values=matrix[:, i]) for i in range(2)))
    task = task_of(table, labels, ("0", "1"))

    np.testing.assert_allclose(
        np.exp(opened(tmp_path / f"model{suffix}", task).logits(task.test)), model.predict_proba(matrix), atol=1e-6
    )
    with pytest.raises(BadTeacher, match=r"takes a matrix of 2 column\(s\); the task has 1 columns of numbers"):
        opened(tmp_path / f"model{suffix}", task_of(Table(columns=table.columns[:1]), labels, ("0", "1")))


@pytest.mark.parametrize("suffix", [".ubj", ".txt", ".cbm"])
def test_a_category_that_the_model_has_not_seen_is_answered(tmp_path, suffix):
    """New words reach a device; a library's own rule for them holds."""
    table, labels = table_and_labels(2)
    _, save = fitted(suffix, frame_of(table, words=suffix == ".cbm"), labels)
    save(str(tmp_path / f"model{suffix}"))
    task = task_of(table, labels, ("0", "1"))
    columns = (*table.columns[:1], Column(name="color", kind="category", values=np.array(["pink"] * ROWS, object)))
    code = Column(name="code", kind="category", values=np.full(ROWS, 9))
    rows = task_of(Table(columns=(*columns, code)), labels, ("0", "1")).test

    assert np.isfinite(opened(tmp_path / f"model{suffix}", task).logits(rows)).all()


@pytest.mark.parametrize("suffix", [".ubj", ".txt", ".cbm"])
def test_other_columns_and_classes_are_named(tmp_path, suffix):
    """Before the first row is asked for."""
    table, labels = table_and_labels(2)
    _, save = fitted(suffix, frame_of(table, words=suffix == ".cbm"), labels)
    path = tmp_path / f"model{suffix}"
    save(str(path))
    renamed = Column(name="colour", kind="category", values=table.columns[1].values)
    as_number = Column(name="code", kind="number", values=np.ones(ROWS, np.float32))

    with pytest.raises(BadTeacher, match=r"fitted on 'color', which the task does not have\. Did you mean 'colour'"):
        opened(path, task_of(Table(columns=(table.columns[0], renamed, table.columns[2])), labels, ("0", "1")))
    with pytest.raises(BadTeacher, match=r"takes 'code' as a category; .* --schema with `code: category` is needed"):
        opened(path, task_of(Table(columns=(*table.columns[:2], as_number)), labels, ("0", "1")))
    with pytest.raises(BadTeacher, match="gives 2 classes; the task has 3: a, b, c"):
        opened(path, task_of(table, labels, ("a", "b", "c")))


def test_catboost_knows_the_names_of_its_classes(tmp_path):
    """Its outputs fall on their own classes, and other names are refused."""
    table, labels = table_and_labels(2)
    model, save = fitted(".cbm", frame_of(table, words=True), np.array(["b", "a"])[labels])
    save(str(tmp_path / "m.cbm"))
    task = task_of(table, labels, ("b", "a"))
    answers = opened(tmp_path / "m.cbm", task).logits(task.test)

    np.testing.assert_allclose(
        np.exp(answers[:, ::-1]), model.predict_proba(frame_of(table, words=True)), rtol=0, atol=1e-6
    )
    with pytest.raises(BadTeacher, match="knows the classes a, b; the task has a, c"):
        opened(tmp_path / "m.cbm", task_of(table, labels, ("a", "c")))


def test_codes_of_categories_without_their_names_are_refused(tmp_path):
    """A file that holds codes alone does not tell which word is which."""
    table, labels = table_and_labels(2)
    codes = frame_of(table).apply(lambda one: one if one.dtype == np.float32 else one.cat.codes.clip(0))
    data = lightgbm.Dataset(codes, labels, categorical_feature=["color", "code"])
    lightgbm.train({"objective": "binary", "verbose": -1}, data, 2).save_model(str(tmp_path / "m.txt"))
    rows = xgboost.DMatrix(codes.to_numpy(np.float32), labels, feature_names=list(codes), feature_types=["q", "c", "c"])
    xgboost.train({"objective": "binary:logistic"}, rows, 2).save_model(str(tmp_path / "m.ubj"))
    task = task_of(table, labels, ("0", "1"))

    with pytest.raises(BadTeacher, match="takes 2 columns as codes of categories and tells those of 0"):
        opened(tmp_path / "m.txt", task)
    with pytest.raises(BadTeacher, match="takes 'color' as codes of categories, and does not say which"):
        opened(tmp_path / "m.ubj", task)


def test_scores_and_classes_of_xgboost_become_probabilities(tmp_path):
    """logitraw and softmax answer otherwise; their margins are the same trees."""
    table, labels = table_and_labels(3)
    rows = xgboost.DMatrix(frame_of(table), labels, enable_categorical=True)
    task, answers = task_of(table, labels, ("a", "b", "c")), {}
    for name in ("multi:softprob", "multi:softmax"):
        path = tmp_path / f"{name[6:]}.ubj"
        xgboost.train({"objective": name, "num_class": 3}, rows, 3).save_model(str(path))
        answers[name] = opened(path, task).logits(task.test)

    np.testing.assert_allclose(answers["multi:softmax"], answers["multi:softprob"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_pickle_under_another_name_runs_nothing(tmp_path, suffix, numbers):
    """These files are read without trust, since their readers know no code."""

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / f"m{suffix}"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BadTeacher, match="cannot be read as a model of"):
        opened(path, numbers)

    assert not (tmp_path / "ran").exists()


def test_a_regression_is_refused(tmp_path, numbers):
    """By what it was fitted for."""
    matrix, target = np.random.default_rng(0).normal(size=(2, 80, 1))
    xgboost.XGBRegressor(n_estimators=2).fit(matrix, target).save_model(str(tmp_path / "m.ubj"))
    lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(matrix, target[:, 0]).booster_.save_model(
        str(tmp_path / "m.txt")
    )
    trees = catboost.CatBoostRegressor(iterations=2, verbose=0, allow_writing_files=False).fit(matrix, target)
    trees.save_model(str(tmp_path / "m.cbm"))

    for name, purpose in (("m.ubj", "reg:squarederror"), ("m.txt", "regression"), ("m.cbm", "RMSE")):
        with pytest.raises(BadTeacher, match=f"was fitted for {purpose}; the task has classes, and a classifier"):
            opened(tmp_path / name, numbers)


def test_a_missing_library_and_images_are_sentences(tmp_path, monkeypatch, numbers, images):
    """With the extra that brings the library."""
    path = tmp_path / "m.cbm"
    path.touch()
    with pytest.raises(BadTeacher, match="boosted trees, which take a table; the task has images"):
        opened(path, images)
    with pytest.raises(BadConfiguration, match="is for images; the task has a table"):
        opened(path, numbers, normalize="unit")
    monkeypatch.setattr("hpmkd_edge.teachers.boosters.find_spec", lambda name: None)
    with pytest.raises(BadTeacher, match=r"needs the catboost package.*pip install 'hpmkd-edge\[boosting\]'"):
        opened(path, numbers)


@pytest.mark.parametrize(
    ("learned", "needed"),
    [
        (lambda column: column.astype(str), "`code: text`"),
        (lambda column: column.astype(float), "a model fitted on numbers, text or whole numbers"),
    ],
)
def test_categories_of_another_type_are_refused(tmp_path, learned, needed):
    """Not one value of the task would be known: the teacher would see a column of nothing, and answer all the same."""
    table, labels = table_and_labels(2)
    code = table.columns[2].values
    frame = pd.DataFrame({"code": pd.Series(learned(np.where(code == MISSING_NUMBER, 3, code))).astype("category")})
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(frame, labels)
    model.booster_.save_model(tmp_path / "t.txt")

    with pytest.raises(BadTeacher, match=needed):
        open_teacher(
            str(tmp_path / "t.txt"),
            task=task_of(Table(columns=table.columns[2:]), labels, ("0", "1")),
            weights=None,
            normalize=None,
            trust=False,
        )
