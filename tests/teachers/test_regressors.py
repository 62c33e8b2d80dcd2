"""Teachers of values: one number a row, in the label's units, whatever the kind of file."""

from dataclasses import replace

import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.teachers.estimator import fit_boosted
from hpmkd_edge.teachers.open import open_teacher


@pytest.fixture
def valued(numbers):
    """The task of numbers, its label 500 + 100·a + 20·b."""

    def of(rows):
        a, b = (column.values for column in rows.inputs.columns)
        return replace(rows, labels=(500 + 100 * a + 20 * b).astype(np.float32))

    parts = {part: of(getattr(numbers, part)) for part in ("train", "validation", "test")}
    return replace(numbers, classes=(), **parts)


def frame_of(rows):
    return pd.DataFrame({column.name: column.values for column in rows.inputs.columns})


def opened(path, task):
    return open_teacher(str(path), task=task, weights=None, normalize=None, trust=True)


def boosted(path, frame, labels):
    """Fit and save trees of the library that the suffix names."""
    if path.suffix == ".ubj":
        model = pytest.importorskip("xgboost").XGBRegressor(n_estimators=20).fit(frame, labels)
        model.save_model(str(path))
    elif path.suffix == ".txt":
        model = pytest.importorskip("lightgbm").LGBMRegressor(n_estimators=20, verbose=-1, min_child_samples=5)
        model.fit(frame, labels).booster_.save_model(str(path))
    else:
        catboost = pytest.importorskip("catboost")
        # Its trees add up a logarithm.
        model = catboost.CatBoostRegressor(
            iterations=20, loss_function="Poisson", verbose=0, allow_writing_files=False
        ).fit(frame, labels)
        model.save_model(str(path))
    return model


@pytest.mark.parametrize("name", ["m.ubj", "m.txt", "m.cbm"])
def test_boosted_trees_answer_as_their_library_predicts(valued, tmp_path, name):
    """Float32 [N, 1]."""
    frame = frame_of(valued.train)
    model = boosted(tmp_path / name, frame, valued.train.labels)
    answers = opened(tmp_path / name, valued).logits(valued.train)
    wanted = model.predict(frame, prediction_type="Exponent") if name == "m.cbm" else model.predict(frame)

    assert answers.shape == (len(frame), 1)
    np.testing.assert_allclose(answers[:, 0], wanted, rtol=1e-5)


def test_estimators_and_pipelines_answer_as_they_predict(valued, tmp_path):
    """Also where they were fitted with a column of labels, and answer with one."""
    frame = frame_of(valued.train)
    for number, labels in enumerate((valued.train.labels, valued.train.labels[:, None])):
        model = make_pipeline(StandardScaler(), Ridge()).fit(frame, labels)
        joblib.dump(model, tmp_path / f"{number}.joblib")
        teacher = opened(tmp_path / f"{number}.joblib", valued)

        np.testing.assert_allclose(
            teacher.logits(valued.test), model.predict(frame_of(valued.test)).reshape(-1, 1), rtol=1e-5
        )
        assert teacher.preprocessing.endswith("it answers with values")


def test_a_teacher_is_fitted_where_there_is_none(valued):
    """Trees that know the label better than its mean."""
    teacher = fit_boosted(valued, 0)
    away = teacher.logits(valued.test)[:, 0] - valued.test.labels

    assert (away**2).mean() < 0.5 * valued.test.labels.var()


@pytest.mark.parametrize("shape", [["rows"], ["rows", 1]])
def test_an_onnx_file_of_one_output_answers_with_it(valued, tmp_path, shape):
    """A vector or a column; values that all are 1 are no probabilities."""
    rows = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=len(shape) - 1)
    graph = helper.make_graph([node], "g", [rows], [out], [axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "m.onnx")
    answers = opened(tmp_path / "m.onnx", valued).logits(valued.test)

    np.testing.assert_allclose(answers[:, 0], frame_of(valued.test).sum(axis=1), rtol=1e-5)
    assert answers.shape == (len(valued.test), 1)


def test_a_module_answers_with_a_vector_or_a_column(valued, tmp_path):
    """As its author writes it."""
    path = tmp_path / "net.py"
    path.write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, keep):\n        super().__init__()\n        self.keep = keep\n"
        "    def forward(self, x):\n        return x.sum(1, keepdim=self.keep)\n"
        "def column():\n    return Net(True)\n"
        "def vector():\n    return Net(False)\n"
    )
    column, vector = (opened(f"{path}:{name}", valued).logits(valued.test) for name in ("column", "vector"))

    np.testing.assert_array_equal(column, vector)
    assert column.shape == (len(valued.test), 1)


def test_a_file_of_values_answers_by_place(valued, tmp_path):
    """NPY, NPZ and CSV, one value a row of the source; values that all are 1 are no probabilities."""
    values = np.arange(valued.row_count, dtype=np.float64)
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", values[:, None])
    np.savez(tmp_path / "c.npz", values=values)
    pd.DataFrame({"guess": values}).to_csv(tmp_path / "d.csv", index=False)
    order = np.random.default_rng(0).permutation(len(values))
    pd.DataFrame({"positions": order, "guess": values[order]}).to_csv(tmp_path / "e.csv", index=False)
    np.save(tmp_path / "ones.npy", np.ones(valued.row_count))

    for name in ("a.npy", "b.npy", "c.npz", "d.csv", "e.csv"):
        answers = opened(tmp_path / name, valued).logits(valued.test)
        np.testing.assert_array_equal(answers[:, 0], valued.test.positions)
    assert (opened(tmp_path / "ones.npy", valued).logits(valued.test) == 1).all()


def test_the_other_kind_of_teacher_is_one_sentence(valued, numbers, tmp_path):
    """A classifier for values and a regressor for classes, with the flag that would make them fit."""
    frame = frame_of(valued.train)
    joblib.dump(LogisticRegression().fit(frame, numbers.train.labels), tmp_path / "c.joblib")
    joblib.dump(Ridge().fit(frame, valued.train.labels), tmp_path / "r.joblib")
    np.save(tmp_path / "two.npy", np.zeros((valued.row_count, 2)))
    pd.DataFrame({"a": [1.0], "b": [2.0]}).to_csv(tmp_path / "two.csv", index=False)

    with pytest.raises(BadTeacher, match="LogisticRegression, a classifier; the label is a value"):
        opened(tmp_path / "c.joblib", valued)
    with pytest.raises(BadTeacher, match="Ridge, a regressor; the task has classes"):
        opened(tmp_path / "r.joblib", numbers)
    with pytest.raises(BadTeacher, match="one value a row is needed"):
        opened(tmp_path / "two.npy", valued)
    with pytest.raises(BadTeacher, match="has the columns a, b; one of values is needed"):
        opened(tmp_path / "two.csv", valued)


def test_trees_for_another_goal_are_one_sentence(valued, numbers, tmp_path):
    """Both ways."""
    lightgbm = pytest.importorskip("lightgbm")
    frame = frame_of(valued.train)
    trees = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(frame, numbers.train.labels)
    trees.booster_.save_model(str(tmp_path / "c.txt"))
    boosted(tmp_path / "r.txt", frame, valued.train.labels)

    with pytest.raises(BadTeacher, match="was fitted for binary; the label is a value, and a regressor is needed"):
        opened(tmp_path / "c.txt", valued)
    with pytest.raises(BadTeacher, match="was fitted for regression; the task has classes, and a classifier is needed"):
        opened(tmp_path / "r.txt", numbers)
