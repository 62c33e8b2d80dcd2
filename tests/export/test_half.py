"""Half precision between the features and the last product, and full precision where numbers are large."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from sample_graphs import FACTS, SAMPLES, images_graph, save_nodes, table_sample, text_graph

from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
from hpmkd_edge.bench.runtimes.tensor_rt import build_engine
from hpmkd_edge.bench.scoring import answer
from hpmkd_edge.errors import ConversionFailed
from hpmkd_edge.export.passes.half import halve
from hpmkd_edge.tasks.values import Scale


def signature(model):
    return [(one.name, one.type) for one in (*model.graph.input, *model.graph.output)]


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_halved_file_answers_nearly_the_same(kind, tmp_path, capfd):
    """With the inputs and outputs of before; a text without words is no NaN, and every product's weights are halved."""
    source, feeds = SAMPLES[kind](tmp_path / "s.onnx")
    halve(source, tmp_path / "h.onnx")
    model = onnx.load(tmp_path / "h.onnx")
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]

    np.testing.assert_allclose(answer(tmp_path / "h.onnx", feeds(60)), answer(source, feeds(60)), atol=0.01)
    assert {kinds[name] for node in products for name in node.input if name in kinds} == {TensorProto.FLOAT16}
    assert signature(model) == signature(onnx.load(source))
    assert {fact.key: fact.value for fact in model.metadata_props} == FACTS
    assert sorted(one.name for one in tmp_path.iterdir()) == ["h.onnx", "s.onnx"]
    assert capfd.readouterr() == ("", "")


def test_columns_beyond_half_precision_are_encoded_whole(tmp_path):
    """Millions become infinity in float16: nothing of the encoding is in it, and one cast leads out of it."""
    source, feeds = table_sample(tmp_path / "s.onnx")
    halve(source, tmp_path / "h.onnx")
    model = onnx.load(tmp_path / "h.onnx")
    casts = [node for node in model.graph.node if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT16]
    shifted = feeds(50)
    shifted["money"] = shifted["money"] + np.float32(1e6)

    assert [node.input[0] for node in casts] == ["features"]
    assert np.abs(answer(source, feeds(50)) - answer(source, shifted)).max() > 0.05
    np.testing.assert_allclose(answer(tmp_path / "h.onnx", shifted), answer(source, shifted), atol=0.01)


def test_values_beyond_half_precision_come_out_whole(tmp_path):
    """The units of the data are put on in float32."""
    source, feeds = table_sample(tmp_path / "s.onnx", scale=Scale(mean=4e6, deviation=1e6))
    halve(source, tmp_path / "h.onnx")
    whole = answer(source, feeds(50))

    assert whole.max() > 65504
    np.testing.assert_allclose(answer(tmp_path / "h.onnx", feeds(50)), whole, atol=0.01 * 1e6)


def test_a_product_may_be_the_output(tmp_path):
    """It is cast back, under its own name, and other readers have it still."""
    nodes = [
        ("MatMul", ["x", "w"], "y", {}),
        ("MatMul", ["y", "v"], "z", {}),
        ("Add", ["y", "z"], "sum", {}),
    ]
    constants = {"w": np.eye(3, dtype=np.float32), "v": 2 * np.eye(3, dtype=np.float32)}
    source = save_nodes(tmp_path / "s.onnx", [("x", TensorProto.FLOAT, ["batch", 3])], nodes, constants, "sum")
    model = onnx.load(source)
    model.graph.output.append(onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3]))
    onnx.save(model, source)
    halve(source, tmp_path / "h.onnx")
    rows = np.array([[1, 2, 3]], np.float32)

    np.testing.assert_allclose(answer(tmp_path / "h.onnx", {"x": rows}), 3 * rows)


def test_a_graph_without_products_is_a_sentence(tmp_path):
    """There is nothing to halve."""
    source = save_nodes(
        tmp_path / "s.onnx", [("x", TensorProto.FLOAT, ["batch", 3])], [("Relu", ["x"], "y", {})], {}, "y"
    )
    with pytest.raises(ConversionFailed, match="no product of weights; one is needed"):
        halve(source, tmp_path / "h.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("graph", [images_graph, text_graph])
def test_tensorrt_builds_what_was_halved(graph, rtx, tmp_path):
    """Strongly typed: the precision is that of the file."""
    source, _ = graph(tmp_path / "s.onnx")
    halve(source, tmp_path / "h.onnx")

    build_engine(tmp_path / "h.onnx", feeds_of_file(tmp_path / "h.onnx", batch=4))
