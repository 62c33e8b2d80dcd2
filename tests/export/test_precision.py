"""The best int8 file is found, whatever makes it the best; a file that crashes is passed over."""

import math

import numpy as np
import onnx
import pytest
from sample_graphs import table_sample

from hpmkd_edge.bench.scoring import answer
from hpmkd_edge.errors import ConversionFailed, MeasurementFailed
from hpmkd_edge.export.passes.calibration import CALIBRATIONS
from hpmkd_edge.export.passes.quantize import quantize
from hpmkd_edge.export.precision import best_int8

LAYERS = tuple(f"body/layer_{place}" for place in range(7))


@pytest.fixture
def sample(tmp_path):
    """A table's student of seven layers."""
    return table_sample(tmp_path / "s.onnx", widths=(16,) * 6)


def in_integers(path):
    """Return the layers of a file whose weights are integers."""
    graph = onnx.load(path).graph
    stored = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return {node.name for node in graph.node if node.op_type == "Gemm" and node.input[1] in stored}


def costing(costs):
    """Grade a file by what its layers in integers cost."""

    def loss_of(path):
        loss = sum(costs.get(layer, 0.001) for layer in in_integers(path))
        return 0.9 - loss, loss

    return loss_of


def best(sample, tmp_path, loss_of, most_drop, form="x86"):
    source, feeds = sample
    return best_int8(source, tmp_path / "q.onnx", feeds=feeds(100), form=form, loss_of=loss_of, most_drop=most_drop)


@pytest.mark.parametrize("form", ["x86", "tensorrt"])
@pytest.mark.parametrize(
    ("costs", "kept"),
    [
        ({}, ()),
        ({LAYERS[3]: 0.2}, (LAYERS[3],)),
        ({LAYERS[0]: 0.2, LAYERS[5]: 0.4}, (LAYERS[5], LAYERS[0])),
        (
            {LAYERS[1]: 0.2, LAYERS[2]: 0.1, LAYERS[5]: 0.4, LAYERS[6]: 0.3},
            (LAYERS[5], LAYERS[6], LAYERS[1], LAYERS[2]),
        ),
    ],
)
def test_the_fewest_of_the_most_sensitive_layers_are_kept(costs, kept, form, sample, tmp_path):
    """And the file that is written has exactly these in floats."""
    found = best(sample, tmp_path, costing(costs), 0.05, form)

    assert found.fits
    assert found.kept == kept
    assert in_integers(found.path) == set(LAYERS) - set(kept)
    assert found.layers == len(LAYERS)
    assert found.drop == pytest.approx(found.full_accuracy - found.accuracy)
    assert found.tried <= (3 if not kept else 3 + 7 + math.ceil(math.log2(7)))


@pytest.mark.parametrize("wanted", CALIBRATIONS)
def test_the_calibration_that_is_best_on_validation_stays(wanted, sample, tmp_path):
    """By accuracy, then by loss; the file is that of the calibration alone."""
    source, feeds = sample
    grades = iter([(0.9, 0.1), *((0.89, 0.2 if one == wanted else 0.3) for one in CALIBRATIONS)])
    found = best(sample, tmp_path, lambda path: next(grades), 0.05)
    quantize(source, tmp_path / "r.onnx", feeds=feeds(100), form="x86", calibration=wanted)

    assert (found.calibration, found.kept, found.loss) == (wanted, (), 0.2)
    assert found.path.read_bytes() == (tmp_path / "r.onnx").read_bytes()


def test_what_no_layer_brings_back_does_not_fit(sample, tmp_path):
    """Then none is kept: a file that is nearly all floats is not sold as int8."""
    found = best(sample, tmp_path, costing(dict.fromkeys(LAYERS, 0.1)), 0.05)

    assert not found.fits
    assert found.kept == ()
    assert in_integers(found.path) == set(LAYERS)


def test_a_file_that_cannot_be_run_is_passed_over(sample, tmp_path):
    """The failure is told; a loss that is no number is one, too."""
    grades = iter([(0.9, 0.1), MeasurementFailed("it crashed."), (0.5, math.nan), (0.9, 0.1)])

    def loss_of(path):
        grade = next(grades)
        if isinstance(grade, MeasurementFailed):
            raise grade
        return grade

    found = best(sample, tmp_path, loss_of, 0.05)

    assert found.calibration == CALIBRATIONS[2]
    assert found.failures == (
        "int8 by minmax, 0 layers kept: it crashed.",
        "int8 by entropy, 0 layers kept: its loss is nan.",
    )


def test_if_none_can_be_run_that_is_a_failure(sample, tmp_path):
    """And nothing is written."""
    graded = []

    def loss_of(path):
        graded.append(path)
        if len(graded) > 1:
            raise MeasurementFailed("it crashed.")
        return 0.9, 0.1

    with pytest.raises(MeasurementFailed, match=r"no int8 file of s.onnx could be run; .* it crashed"):
        best(sample, tmp_path, loss_of, 0.05)
    assert [one.name for one in tmp_path.iterdir()] == ["s.onnx"]
    assert not any(path.exists() for path in graded[1:])


def test_a_real_loss_is_kept_to(sample, tmp_path):
    """Graded by the runtime, a file that must lose nothing at all answers no row otherwise than its source."""
    source, feeds = sample
    rows = feeds(400)
    labels = answer(source, rows).argmax(1)

    def loss_of(path):
        given = answer(path, rows)
        return float((given.argmax(1) == labels).mean()), float(-np.log(given[np.arange(400), labels]).mean())

    found = best(sample, tmp_path, loss_of, 0.01)

    assert found.full_accuracy == 1
    assert found.fits == (found.accuracy >= 0.99)
    assert loss_of(found.path) == (found.accuracy, pytest.approx(found.loss))


def test_rows_that_do_not_fit_are_a_sentence(sample, tmp_path):
    """Those of calibration are the model's own inputs."""
    source, _ = sample
    with pytest.raises(ConversionFailed, match="cannot be run"):
        best_int8(
            source,
            tmp_path / "q.onnx",
            feeds={"x": np.zeros((2, 2), np.float32)},
            form="x86",
            loss_of=lambda path: (1.0, 0.0),
            most_drop=0.0,
        )
