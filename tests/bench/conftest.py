"""Small models and values that the tests of this room share."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, load, numpy_helper, save
from sample_records import make_host, make_profile

from hpmkd_edge.bench.protocol import Sampling

HOST = make_host()
PROFILE = make_profile(
    samples_ns=(1_000_000,) * 100, reference_ns=(500_000,) * 100, host=HOST, model_bytes=1000, peak_memory_mb=None
)
BRIEF = Sampling(
    name="brief",
    least_runs=64,
    least_seconds=0.0,
    processes=1,
    warmup_runs=20,
    warmup_seconds=0.0,
    warmup_limit_seconds=0.2,
    settled=0.5,
)


def save_model(path, inputs, nodes, initializers, outputs):
    """Write an ONNX file of the opset and version that every runtime here takes."""
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        initializers,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def images_model(path, pixels=8, classes=3):
    """Bytes to probabilities, by one product: [batch, pixels, pixels, 3] to [batch, classes]."""
    size = pixels * pixels * 3
    weights = np.sin(np.arange(size * classes, dtype=np.float32)).reshape(size, classes) / 1000
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    return save_model(
        path,
        [("images", TensorProto.UINT8, ["batch", pixels, pixels, 3])],
        nodes,
        [numpy_helper.from_array(weights, "weights")],
        [("probabilities", TensorProto.FLOAT, ["batch", classes])],
    )


def table_model(path):
    """A number and a word to two shares: [batch, 1] each to [batch, 2]."""
    nodes = [
        helper.make_node("LabelEncoder", ["file"], ["code"], domain="ai.onnx.ml", keys_strings=["b"],
                         values_floats=[1.0], default_float=0.0),
        helper.make_node("Concat", ["a/b", "code"], ["shares"], axis=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "table",
        [
            helper.make_tensor_value_info("a/b", TensorProto.FLOAT, ["batch", 1]),
            helper.make_tensor_value_info("file", TensorProto.STRING, ["batch", 1]),
        ],
        [helper.make_tensor_value_info("shares", TensorProto.FLOAT, ["batch", 2])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@pytest.fixture
def weights_beside(tmp_path):
    """The images' model with its 2,304 bytes of weights in a folder beside it."""
    path = images_model(tmp_path / "split.onnx")
    (tmp_path / "data").mkdir()
    save(load(path), path, save_as_external_data=True, location="data/weights.bin", size_threshold=0)
    return path


@pytest.fixture
def images_file(tmp_path):
    return images_model(tmp_path / "images.onnx")


@pytest.fixture
def table_file(tmp_path):
    return table_model(tmp_path / "table.onnx")


@pytest.fixture(scope="session")
def profile():
    """A profile with some fields changed."""
    return lambda **changes: replace(PROFILE, **changes)


@pytest.fixture(scope="session")
def host():
    return lambda **changes: replace(HOST, **changes)


@pytest.fixture(scope="session")
def brief():
    """The shortest sampling that still bounds a p90."""
    return lambda **changes: replace(BRIEF, **changes)
