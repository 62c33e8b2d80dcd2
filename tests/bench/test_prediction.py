"""Latencies on a device that isn't here: from its own records, or unknown."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import helper, numpy_helper, save
from onnx.onnx_ml_pb2 import TensorProto
from sample_records import make_profile

from hpmkd_edge.bench.prediction import (
    Calibration,
    GraphFeatures,
    calibrations_of,
    features_of,
    predict,
    read_records,
)
from hpmkd_edge.bench.profile import Shape, write_profile
from hpmkd_edge.errors import BadReport

COSTS = (4e-8, 2e-7, 1e-7, 0.01, 1e-8)


def features(width, layers, **changes):
    """A made-up family: wider or deeper."""
    found = GraphFeatures(
        dense_macs=10_000 * width**2 * layers,
        depthwise_macs=9_000 * width * layers,
        moved_bytes=40_000 * width * layers,
        operators=3 * layers,
        parameter_bytes=4 * 90 * width**2 * layers,
        parameters=90 * width**2 * layers,
        kinds=("Add", "Conv", "Relu"),
    )
    return replace(found, **changes)


def ms_of(one):
    return float(np.dot(one.vector, COSTS))


SEEN = [features(width, layers) for width in (8, 16, 32) for layers in (4, 8, 16)]
CALIBRATIONS = [Calibration(model_sha256=f"{i:064}", features=one, ms=ms_of(one)) for i, one in enumerate(SEEN)]


def test_a_model_among_the_measured_ones_is_predicted():
    """A width and a depth between theirs; the interval holds the truth."""
    asked = features(24, 6)
    found = predict(asked, CALIBRATIONS)

    assert found.provenance == "predicted"
    assert found.ms == pytest.approx(ms_of(asked), rel=1e-3)
    assert found.low_ms <= found.ms <= found.high_ms
    assert "9 models" in found.reason


def test_noise_widens_the_interval():
    """What the records do not agree on is not known better than they agree."""
    generator = np.random.default_rng(0)
    noisy = [replace(one, ms=one.ms * np.exp(generator.normal(0, 0.2))) for one in CALIBRATIONS]
    found = predict(features(24, 6), noisy)

    assert found.high_ms / found.low_ms > 1.5


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (features(24, 6, kinds=("Add", "Conv", "Relu", "Softmax")), "none of them has Softmax"),
        (features(24, 6, kinds=("Conv", "Relu")), "all of them have Add"),
        (features(64, 6), "against"),
        (features(24, 6, depthwise_macs=0), "depthwise MACs"),
        (features(24, 6, parameter_bytes=90 * 24**2 * 6), "0 models in int8"),
    ],
)
def test_what_the_records_do_not_speak_for_is_unknown(asked, reason):
    """Other operators, sizes or proportions than theirs, another precision: no number."""
    found = predict(asked, CALIBRATIONS)

    assert (found.provenance, found.ms, found.low_ms, found.high_ms) == ("unknown", None, None, None)
    assert reason in found.reason


def test_four_records_are_too_few():
    """Five are needed."""
    found = predict(SEEN[0], CALIBRATIONS[:4])

    assert found.provenance == "unknown"
    assert found.reason == "4 models in fp32 were measured on the device; 5 are needed."


def test_one_file_in_two_batches_is_one_model():
    """Its points do not make up for a model that is not there, nor tell what leaving it out would."""
    twice = [replace(one, model_sha256="0" * 64) for one in CALIBRATIONS[:2]] + CALIBRATIONS[2:5]
    generator = np.random.default_rng(0)
    noisy = [replace(one, ms=one.ms * np.exp(generator.normal(0, 0.3))) for one in CALIBRATIONS]
    asked = features(24, 6)

    assert predict(asked, twice).reason == "4 models in fp32 were measured on the device; 5 are needed."
    # The same points once more are nothing new.
    assert predict(asked, noisy + noisy).high_ms == pytest.approx(predict(asked, noisy).high_ms)


def save_product(path, rows, columns):
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((rows, columns), np.float32), "w")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_features_are_those_of_the_graph(tmp_path):
    """By hand, for one product of a batch of two."""
    found = features_of(save_product(tmp_path / "m.onnx", 6, 5), {"x": (2, 6)})

    assert found == GraphFeatures(
        dense_macs=60,
        depthwise_macs=0,
        moved_bytes=4 * (12 + 30 + 10),
        operators=1,
        parameter_bytes=120,
        parameters=30,
        kinds=("MatMul",),
    )
    assert found.precision == "fp32"


def record(folder, name, path, **changes):
    import hashlib

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    shapes = (Shape(name="x", sizes=(1, 6)),)
    profile = make_profile(model=path.name, model_sha256=digest, **{"shapes": shapes, **changes})
    write_profile(profile, folder / name)


def test_records_lie_beside_their_models(tmp_path):
    """A model's calibration is the median over its profiles; one that was timed too briefly is none."""
    path = save_product(tmp_path / "m.onnx", 6, 5)
    for name, ms in (("a.json", 1.0), ("b.json", 2.0), ("c.json", 9.0)):
        record(tmp_path, name, path, ms=ms)
    record(tmp_path, "brief.json", path, samples_ns=(1,) * 5)
    (found,) = calibrations_of(read_records(tmp_path))

    assert found.ms == pytest.approx(2.0)
    assert found.features.dense_macs == 30


def test_a_folder_that_does_not_hold_them_is_refused(tmp_path):
    """No folder, no profile, or a profile whose model is not there."""
    with pytest.raises(BadReport, match="there is no folder"):
        read_records(tmp_path / "none")
    with pytest.raises(BadReport, match="has no profile"):
        read_records(tmp_path)
    write_profile(make_profile(), tmp_path / "alone.json")
    with pytest.raises(BadReport, match="that file is needed beside it"):
        read_records(tmp_path)
