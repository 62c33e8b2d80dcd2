"""Integers where they are wanted, floats where they must stay, and nearly the answers of before."""

import collections

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from sample_graphs import FACTS, SAMPLES, floats, images_graph, save_nodes, table_sample, text_graph

from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
from hpmkd_edge.bench.runtimes.tensor_rt import build_engine
from hpmkd_edge.bench.scoring import answer
from hpmkd_edge.errors import BadConfiguration, ConversionFailed
from hpmkd_edge.export.passes.calibration import CALIBRATIONS
from hpmkd_edge.export.passes.fold import fold
from hpmkd_edge.export.passes.half import halve
from hpmkd_edge.export.passes.quantize import observe, quantize
from hpmkd_edge.tasks.values import Scale

PRODUCTS = ("Conv", "Gemm", "MatMul")


@pytest.fixture(params=SAMPLES)
def sample(request, tmp_path):
    source, feeds = SAMPLES[request.param](tmp_path / "s.onnx")
    fold(source, source)
    return source, feeds


def quantized(source, feeds, form="x86", calibration="minmax", **options):
    output = source.with_name("q.onnx")
    quantize(source, output, feeds=feeds(300), form=form, calibration=calibration, **options)
    return output


def makers(model):
    return {name: node for node in model.graph.node for name in node.output}


def constants(model):
    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def integers_in_the_runtime(path):
    """Count the operators that ONNX Runtime computes, once it has optimized the graph."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_name("o.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return collections.Counter(node.op_type for node in onnx.load(path.with_name("o.onnx")).graph.node)


@pytest.mark.parametrize("form", ["x86", "tensorrt"])
@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_a_quantized_file_answers_nearly_the_same(sample, form, calibration, tmp_path, capfd):
    """On rows that it was not calibrated on; a mask of −3·10³⁸ does not widen the steps, a dead channel is no NaN."""
    source, feeds = sample
    output = quantized(source, feeds, form, calibration)
    given, wanted = answer(output, feeds(100)), answer(source, feeds(100))
    model = onnx.load(output)

    # Entropy cuts off rare values, and a small table's features are full of them.
    error, agreement = (0.05, 0.8) if calibration == "entropy" else (0.03, 0.9)
    assert np.abs(given - wanted).mean() < error
    assert (given.argmax(1) == wanted.argmax(1)).mean() > agreement
    assert {fact.key: fact.value for fact in model.metadata_props} == FACTS
    assert [one.name for one in model.graph.input] == [one.name for one in onnx.load(source).graph.input]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["q.onnx", "s.onnx"]
    assert capfd.readouterr() == ("", "")


def test_every_product_computes_in_integers_on_x86(sample):
    """None is left in floats by ONNX Runtime's own optimizer, nor an addition in a network of convolutions."""
    source, feeds = sample
    found = integers_in_the_runtime(quantized(source, feeds))
    whole = collections.Counter(node.op_type for node in onnx.load(source).graph.node)

    assert not any(found[kind] for kind in (*PRODUCTS, "FusedConv", "FusedGemm", "FusedMatMul"))
    assert found["QLinearConv"] == whole["Conv"]
    assert found["QGemm"] == whole["Gemm"]
    assert found["QLinearMatMul"] + found["MatMulIntegerToFloat"] == whole["MatMul"]
    assert found["QLinearAdd"] >= bool(whole["Conv"])


def test_weights_are_stored_in_eight_bits_per_channel(sample):
    """A scale for each channel, biases in 32 bits on x86, and no weights beside them in floats."""
    source, feeds = sample
    model = onnx.load(quantized(source, feeds))
    made, known = makers(model), constants(model)
    for node in model.graph.node:
        if node.op_type in PRODUCTS and node.input[1] in made and made[node.input[1]].input[0] in known:
            stored, scales = (known[name] for name in made[node.input[1]].input[:2])
            outputs = stored.shape[0 if node.op_type == "Conv" or node.attribute else 1]
            assert (stored.dtype, scales.shape) == (np.int8, (outputs,))
            for bias in node.input[2:]:
                assert known[made[bias].input[0]].dtype == np.int32

    largest = max(values.size for values in known.values() if values.dtype == np.float32)
    assert largest < 100  # the places of a text, which are added before all products


def test_for_tensorrt_it_is_symmetric_and_the_bias_is_whole(sample):
    """All zero points are zero, of int8; only what enters a product is rounded, and what is added stays as it was."""
    source, feeds = sample
    model = onnx.load(quantized(source, feeds, "tensorrt"))
    made, known = makers(model), constants(model)
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    rounded = {node.output[0] for node in pairs if node.op_type == "DequantizeLinear"}
    readers = {node.op_type for node in model.graph.node if rounded & set(node.input)}

    assert all(
        known[node.input[2]].dtype == np.int8 and not known[node.input[2]].any() for node in pairs if node.input[2:]
    )
    assert readers <= {*PRODUCTS, "Gather"}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            assert made[node.input[0]].op_type == made[node.input[1]].op_type == "DequantizeLinear"
            assert known[node.input[2]].dtype == np.float32


@pytest.mark.parametrize("form", ["x86", "tensorrt"])
def test_a_table_s_encoding_and_what_follows_the_last_product_stay_whole(form, tmp_path):
    """Columns of millions are encoded as before, and a value in millions is not one of 256."""
    source, feeds = table_sample(tmp_path / "s.onnx", scale=Scale(mean=4e6, deviation=1e6))
    output = quantized(source, feeds, form)
    model = onnx.load(output)
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    before, after = answer(source, feeds(300)), answer(output, feeds(300))

    assert first.input[0] == "features"
    assert np.corrcoef(before[:, 0], after[:, 0])[0, 1] > 0.99
    assert len(np.unique(after)) > 270


@pytest.mark.parametrize("form", ["x86", "tensorrt"])
def test_a_table_that_is_looked_up_is_stored_in_integers(form, tmp_path):
    """An embedding is most of a text model; on the CPU only the rows that are found become floats."""
    source, feeds = text_graph(tmp_path / "s.onnx", words=2000)
    output = quantized(source, feeds, form)
    model = onnx.load(output)
    table = next(values for values in constants(model).values() if values.shape == (2000, 16))
    (gather,) = (node for node in model.graph.node if node.op_type == "Gather")

    assert table.dtype == np.int8
    assert output.stat().st_size < 0.32 * source.stat().st_size
    assert (gather.input[0] in constants(model)) == (form == "x86")


@pytest.mark.parametrize("form", ["x86", "tensorrt"])
def test_what_is_looked_up_can_enter_a_product_directly(form, tmp_path):
    """With nothing in between: the rows that are found are rounded to the product's steps."""
    source = save_nodes(
        tmp_path / "s.onnx",
        [("ids", TensorProto.INT64, ["batch"])],
        [("Gather", ["table", "ids"], "x", {}), ("MatMul", ["x", "w"], "y", {})],
        {"table": floats(200, 16, scale=1), "w": floats(16, 3, scale=1)},
        "y",
    )
    ids = np.arange(200)
    output = quantized(source, lambda rows: {"ids": ids}, form)
    given, wanted = answer(output, {"ids": ids}), answer(source, {"ids": ids})

    assert np.abs(given - wanted).max() < 0.03 * (wanted.max() - wanted.min())


@pytest.mark.parametrize("make", [fold, halve, lambda source, output: quantize_images(source, output)])
def test_constants_that_are_inputs_too_are_constants(make, tmp_path):
    """As version 3 of the format has them; the file that is made has its own inputs only."""
    source, feeds = images_graph(tmp_path / "s.onnx")
    model = onnx.load(source)
    declared = [
        onnx.helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in model.graph.initializer
    ]
    own = model.graph.input.pop()
    model.graph.input.extend([*declared, own])
    model.ir_version = 3
    onnx.save(model, source)
    make(source, tmp_path / "q.onnx")
    made = onnx.load(tmp_path / "q.onnx")

    assert [one.name for one in made.graph.input] == ["images"]
    assert np.abs(answer(tmp_path / "q.onnx", feeds(40)) - answer(source, feeds(40))).mean() < 0.03


def quantize_images(source, output):
    feeds = {"images": np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)}
    quantize(source, output, feeds=feeds, form="x86", calibration="minmax")


@pytest.mark.parametrize("form", ["x86", "tensorrt"])
def test_kept_layers_stay_whole(form, tmp_path):
    """One of them alone; and with all of them kept the file answers as its source, without a node more."""
    source, feeds = SAMPLES["table"](tmp_path / "s.onnx")
    layers = observe(source, feeds(50), form).layers
    one = onnx.load(quantized(source, feeds, form, keep=layers[1:2]))
    kept = next(node for node in one.graph.node if node.name == layers[1])
    all_of_them = quantized(source, feeds, form, keep=layers)

    assert constants(one)[kept.input[1]].dtype == np.float32
    assert [node.name for node in onnx.load(all_of_them).graph.node] == [
        node.name for node in onnx.load(source).graph.node
    ]
    np.testing.assert_array_equal(answer(all_of_them, feeds(40)), answer(source, feeds(40)))


def test_the_same_rows_give_the_same_bytes(sample):
    """Nothing is drawn."""
    source, feeds = sample
    first = quantized(source, feeds, calibration="entropy").read_bytes()

    assert quantized(source, feeds, calibration="entropy").read_bytes() == first


def test_a_large_bias_on_small_weights_fits(tmp_path):
    """The scale of such a channel is made coarser, instead of a bias that leaves 32 bits."""
    weights = np.array([[1e-9, 1.0], [1e-9, -1.0]], np.float32)
    source = save_nodes(
        tmp_path / "s.onnx",
        [("x", TensorProto.FLOAT, ["batch", 2])],
        [("Gemm", ["x", "w", "b"], "y", {})],
        {"w": weights, "b": np.array([1e4, 1], np.float32)},
        "y",
        classes=2,
    )
    rows = np.random.default_rng(0).standard_normal((100, 2)).astype(np.float32)
    quantize(source, tmp_path / "q.onnx", feeds={"x": rows}, form="x86", calibration="minmax")
    given, wanted = answer(tmp_path / "q.onnx", {"x": rows}), answer(source, {"x": rows})

    np.testing.assert_allclose(given[:, 0], wanted[:, 0], rtol=1e-3)
    np.testing.assert_allclose(given[:, 1], wanted[:, 1], atol=0.05)


def test_what_cannot_be_quantized_is_a_sentence(tmp_path):
    """No product, a layer that is not there; nothing is written."""
    source, feeds = images_graph(tmp_path / "s.onnx")
    with pytest.raises(BadConfiguration, match=r"'stem' is no layer of the model; n_y1, n_y4, n_logits are"):
        quantized(source, feeds, keep=["stem"])
    bare = save_nodes(
        tmp_path / "b.onnx", [("x", TensorProto.FLOAT, ["batch", 3])], [("Relu", ["x"], "y", {})], {}, "y"
    )
    with pytest.raises(ConversionFailed, match="no Conv, Gemm or MatMul of float32; one is needed"):
        quantized(bare, lambda rows: {"x": np.zeros((rows, 3), np.float32)})

    assert sorted(one.name for one in tmp_path.iterdir()) == ["b.onnx", "s.onnx"]


def product_then(path, *nodes, **constants):
    """Write a graph of a product, then *nodes* from y to z, then a product of 3 classes."""
    known = {"w": floats(5, 4, scale=1), "b": floats(1, 4), "v": floats(4, 3, scale=1), **constants}
    nodes = [
        ("Gemm", ["x", "w", "b"], "y", {"alpha": 0.5, "beta": 2.0}),
        *nodes,
        ("MatMul", ["z", "v"], "answer", {}),
    ]
    return save_nodes(path, [("x", TensorProto.FLOAT, ["batch", 5])], nodes, known, "answer")


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([("Relu", ["y"], "r", {}), ("Exp", ["r"], "z", {})], {}),
        ([("Relu", ["y"], "r", {}), ("Exp", ["r"], "e", {}), ("Add", ["e", "r"], "z", {})], {}),
        ([("Relu", ["y"], "r", {}), ("Add", ["y", "r"], "z", {})], {}),
        ([("Clip", ["y", "c0", "c1"], "z", {})], {"c0": np.float32(0), "c1": np.float32(0.7)}),
        ([("Clip", ["y", "c0", "c1"], "z", {})], {"c0": np.float32(-0.5), "c1": np.float32(0.7)}),
        (
            [
                ("Less", ["y", "c0"], "low", {}),
                ("Where", ["low", "lowest", "y"], "m", {}),
                ("Max", ["m", "c0"], "z", {}),
            ],
            {"c0": np.float32(0), "lowest": np.float32(-np.inf)},
        ),
    ],
)
def test_what_stands_between_two_products_is_not_lost(nodes, constants, tmp_path):
    """A rectifier, whoever reads it; a clip; a mark of −∞, which is no quantity; names that are taken already."""
    source = product_then(tmp_path / "s.onnx", *nodes, **constants)
    rows = np.random.default_rng(0).standard_normal((500, 5)).astype(np.float32)
    quantize(source, tmp_path / "q.onnx", feeds={"x": rows}, form="x86", calibration="minmax")
    given, wanted = answer(tmp_path / "q.onnx", {"x": rows}), answer(source, {"x": rows})

    assert np.abs(given - wanted).max() < 0.03 * (wanted.max() - wanted.min())
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(tmp_path / "q.onnx").graph.node)


def test_rows_without_numbers_are_a_sentence(tmp_path):
    """NaN in what enters a product says nothing of its steps."""
    source = product_then(tmp_path / "s.onnx", ("Relu", ["y"], "z", {}))
    with pytest.raises(ConversionFailed, match="x is not finite on rows to calibrate on"):
        quantized(source, lambda rows: {"x": np.full((rows, 5), np.nan, np.float32)})


@pytest.mark.slow
@pytest.mark.parametrize("graph", [images_graph, text_graph])
def test_tensorrt_builds_its_form_and_refuses_the_other(graph, rtx, tmp_path):
    """Unsigned steps are not for it; that is why there are two."""
    source, feeds = graph(tmp_path / "s.onnx", **({"words": 2000} if graph is text_graph else {}))
    fold(source, source)
    output = quantized(source, feeds, "tensorrt")
    build_engine(output, feeds_of_file(output, batch=4))

    with pytest.raises(Exception, match="cannot parse"):
        build_engine(quantized(source, feeds, "x86"), feeds_of_file(output, batch=4))
