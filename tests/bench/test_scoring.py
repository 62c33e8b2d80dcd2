"""A file is scored by its own answers, however they are batched."""

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
from hpmkd_edge.bench.scoring import answer, score
from hpmkd_edge.errors import BadData, MeasurementFailed


@pytest.fixture
def echo(tmp_path):
    """A model that answers with its input: probabilities as we please."""

    def build(kind=TensorProto.FLOAT, axes=("n", 3)):
        graph = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "echo",
            [helper.make_tensor_value_info("x", kind, axes)],
            [helper.make_tensor_value_info("y", kind, axes)],
        )
        opsets = [helper.make_opsetid("", 18)]
        save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "echo.onnx")
        return tmp_path / "echo.onnx"

    return build


@pytest.mark.parametrize("batch", [1, 3, 10, 64])
def test_the_batch_does_not_change_the_answers(images_file, batch):
    """Nor does a last batch that is not full."""
    feeds = feeds_of_file(images_file, batch=10)

    np.testing.assert_allclose(answer(images_file, feeds, batch=batch), answer(images_file, feeds), rtol=1e-6)


def test_accuracy_and_loss_are_those_of_the_formula(echo):
    """The share of greatest probabilities on the label, and the mean of −log p, clipped."""
    probabilities = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.6, 0.4, 0.0]], np.float32)
    found = score(echo(), {"x": probabilities}, np.array([0, 1, 2]))

    np.testing.assert_array_equal(found.predictions, [0, 1, 0])
    np.testing.assert_array_equal(found.predictions == found.labels, [True, True, False])
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.loss == pytest.approx(-np.log([0.5, 0.8, 1e-7]).mean(), rel=1e-6)
    assert found.standard_error == pytest.approx((2 / 9 / 2) ** 0.5)


def test_the_order_of_rows_does_not_change_the_score(echo):
    """Rows are answered one by one."""
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(3), 50).astype(np.float32), rng.integers(0, 3, 50)
    order = rng.permutation(50)
    here, there = (score(echo(), {"x": probabilities[o]}, labels[o]) for o in (np.arange(50), order))

    assert here.accuracy == there.accuracy
    assert here.loss == pytest.approx(there.loss)


def test_an_output_that_is_no_probabilities_is_refused(echo):
    """Labels, or a shape without classes."""
    with pytest.raises(MeasurementFailed, match=r"with a int64 of shape \(2, 3\); floats of shape"):
        answer(echo(TensorProto.INT64), {"x": np.zeros((2, 3), np.int64)})
    with pytest.raises(MeasurementFailed, match=r"float32 of shape \(2,\); floats of shape \(2, classes\)"):
        answer(echo(axes=("n",)), {"x": np.zeros(2, np.float32)})


def test_an_answer_that_is_no_number_is_refused(echo):
    """A NaN has no class."""
    rows = np.array([[np.nan, 0, 0], [1, 0, 0]], np.float32)

    with pytest.raises(MeasurementFailed, match="answers 1 rows with NaN"):
        score(echo(), {"x": rows}, np.array([0, 0]))


@pytest.mark.parametrize("labels", [[0], [0, 3], [0, -1]])
def test_labels_must_fit_the_answers(echo, labels):
    """As many as rows, each with a class."""
    with pytest.raises(BadData, match=r"the labels have shape .* each in 0 … 2, are needed"):
        score(echo(), {"x": np.zeros((2, 3), np.float32)}, np.array(labels))


def test_rows_must_be_there_and_as_many_in_every_input(table_file):
    """Before anything is loaded."""
    feeds = feeds_of_file(table_file, batch=2)

    with pytest.raises(BadData, match="the same number, at least 1, is needed"):
        answer(table_file, {**feeds, "file": feeds["file"][:1]})
    with pytest.raises(BadData, match="at least 1"):
        answer(table_file, {name: array[:0] for name, array in feeds.items()})
