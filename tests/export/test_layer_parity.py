"""A planted fault is found in the layer that it was planted in."""

from copy import deepcopy
from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hpmkd_edge.errors import MeasurementFailed
from hpmkd_edge.export.layer_parity import differing_module, differing_node, inner_values, relative_error
from hpmkd_edge.export.perceptron_graph import perceptron_graph
from hpmkd_edge.export.torch_graph import torch_graph

WIDTHS = (6, 16, 16, 16, 4)
ROWS = {"x": np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)}


@pytest.fixture
def chain():
    """Four products, a Relu after each but the last, and a Softmax: x [N, 6] to y [N, 4]."""
    generator = np.random.default_rng(1)
    nodes, weights, entering = [], [], "x"
    for place, (width, wide) in enumerate(pairwise(WIDTHS)):
        values = generator.normal(size=(width, wide)) / width**0.5
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{place}"))
        nodes.append(helper.make_node("MatMul", [entering, f"w{place}"], [f"product{place}"], name=f"product{place}"))
        nodes.append(helper.make_node("Relu", [f"product{place}"], [f"relu{place}"], name=f"relu{place}"))
        entering = f"relu{place}"
    nodes[-1] = helper.make_node("Softmax", ["product3"], ["y"], name="softmax", axis=1)
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture
def saved(tmp_path):
    def save(name, model):
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return save


def with_a_changed_weight(model, name, by=1.0):
    changed = deepcopy(model)
    (tensor,) = (one for one in changed.graph.initializer if one.name == name)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[len(values.flat) // 2] += by
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    return changed


@pytest.mark.parametrize("place", range(4))
def test_one_changed_weight_names_its_layer(chain, saved, place):
    """And none that only carries the error on."""
    found = differing_node(
        saved("s.onnx", with_a_changed_weight(chain, f"w{place}")), saved("o.onnx", chain), ROWS, "fp32"
    )

    assert (found.layer, found.kind) == (f"product{place}", "MatMul")
    assert str(found).startswith(f"The first layer that differs is product{place} (MatMul), by ")


def test_a_changed_operator_is_named_with_what_it_was(chain, saved):
    """Its own name may be the same."""
    changed = deepcopy(chain)
    changed.graph.node[3].op_type = "Sigmoid"
    found = differing_node(saved("s.onnx", changed), saved("o.onnx", chain), ROWS, "fp32")

    assert (found.layer, found.kind) == ("relu1", "Sigmoid, which was Relu")


def test_a_wrong_axis_is_found(chain, saved):
    """The shapes stay, the values do not."""
    changed = deepcopy(chain)
    changed.graph.node[-1].attribute[0].i = 0
    found = differing_node(saved("s.onnx", changed), saved("o.onnx", chain), ROWS, "fp32")

    assert (found.layer, found.kind) == ("softmax", "Softmax")


def test_a_file_beside_itself_differs_nowhere(chain, saved):
    """In any precision."""
    path = saved("o.onnx", chain)

    assert all(differing_node(path, path, ROWS, precision) is None for precision in ("fp32", "fp16", "int8"))


def halved(model):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(deepcopy(model), keep_io_types=True)


def test_half_precision_differs_nowhere_but_where_it_overflows(chain, saved):
    """Rounding is not a fault; an infinite value is, in the layer that makes it."""
    origin = saved("o.onnx", chain)
    large = deepcopy(chain)
    (tensor,) = (one for one in large.graph.initializer if one.name == "w1")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(3e4), "w1"))
    found = differing_node(saved("l16.onnx", halved(large)), saved("l.onnx", large), {"x": 10 * ROWS["x"]}, "fp16")

    assert differing_node(saved("h.onnx", halved(chain)), origin, ROWS, "fp16") is None
    assert (found.layer, found.error) == ("product1", np.inf)


def quantized(path, output):
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Rows(CalibrationDataReader):
        def __init__(self):
            self.left = [ROWS]

        def get_next(self):
            return self.left.pop() if self.left else None

    quantize_static(str(path), str(output), Rows(), per_channel=True)
    return output


def test_integers_differ_nowhere_until_a_weight_is_changed(chain, saved, tmp_path):
    """Values between quantizers keep their names; a Relu that the quantizer took away stands for its product too."""
    origin = saved("o.onnx", chain)
    right = quantized(origin, tmp_path / "q.onnx")
    wrong = quantized(saved("w.onnx", with_a_changed_weight(chain, "w2", by=9.0)), tmp_path / "qw.onnx")

    assert differing_node(right, origin, ROWS, "int8") is None
    assert differing_node(wrong, origin, ROWS, "int8").layer == "relu2"


def test_a_mask_of_minus_infinity_is_the_least_number_of_any_precision():
    """Where both stand for never, they are the same; beside it, numbers count as they are."""
    wanted = np.array([1.0, -np.inf, -3.4e38], np.float32)

    assert relative_error(np.array([1.0, -65504, -65504], np.float16), wanted) == 0
    assert relative_error(np.array([1.0, 65504, -65504], np.float16), wanted) == np.inf
    assert relative_error(np.array([1.0, 0, -65504], np.float16), wanted) == np.inf


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_an_error_is_measured_by_the_size_of_the_value(factor):
    """In any unit."""
    wanted = factor * np.arange(1, 9.0)

    np.testing.assert_allclose(relative_error(1.25 * wanted, wanted), 0.25, rtol=1e-9)
    assert relative_error(wanted, wanted) == 0
    assert relative_error(wanted * np.nan, wanted) == relative_error(wanted[:4], wanted) == np.inf


def test_of_integers_and_words_the_share_that_differs_counts():
    """They have no size."""
    assert relative_error(np.array([1, 2, 3, 5]), np.array([1, 2, 3, 4])) == 0.25
    assert relative_error(np.array(["a", "b"], object), np.array(["a", "c"], object)) == 0.5


def test_a_file_that_cannot_be_run_is_said(chain, saved):
    """With the runtime's reason."""
    chain.graph.node[0].op_type = "Xor"

    with pytest.raises(MeasurementFailed, match=r"cannot show the inner values of s\.onnx"):
        inner_values(saved("s.onnx", chain), ROWS)


def perceptron():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), *(
        layer for width, wide in ((6, 16), (16, 16), (16, 4)) for layer in (nn.Linear(width, wide), nn.ReLU())
    ))[:-1].eval()  # fmt: skip


@pytest.mark.parametrize(("weights", "layer"), [("layer_0/weights", "1"), ("layer_1/bias", "3"), (None, None)])
def test_a_module_is_named_by_its_path(weights, layer, saved):
    """The first whose output no value of the file is; none where all are."""
    module = perceptron()
    layers = [one for one in module if isinstance(one, nn.Linear)]
    graph = perceptron_graph(layers, None, name_in="x", name_out="y")
    path = saved("s.onnx", with_a_changed_weight(graph, weights) if weights else graph)
    found = differing_module(module, torch.from_numpy(ROWS["x"]), path, ROWS)

    assert found is None if layer is None else (found.layer, found.kind) == (layer, "Linear")


def test_wrong_features_are_named_before_any_layer(saved):
    """The file gets others than the module does."""
    module = perceptron()
    graph = perceptron_graph([one for one in module if isinstance(one, nn.Linear)], None, name_in="x", name_out="y")
    found = differing_module(module, torch.from_numpy(ROWS["x"]), saved("s.onnx", graph), {"x": ROWS["x"] + 3})

    assert (found.layer, found.kind) == ("the features", "preprocessing")


class Residual(nn.Module):
    """A block whose sum is no module."""

    def __init__(self, width):
        super().__init__()
        self.first, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.bend, self.second = nn.ReLU(inplace=True), nn.Conv2d(width, width, 1)

    def forward(self, x):
        return x + self.second(self.bend(self.norm(self.first(x))))


@pytest.fixture(scope="module")
def convolutions():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), Residual(8), Residual(8), nn.Flatten(), nn.LazyLinear(5))
    images = torch.randn(4, 3, 8, 8)
    module(images)
    module.eval()
    return module, images, torch_graph(module, images, name_in="x", name_out="y")


@pytest.mark.slow
def test_every_changed_weight_of_convolutions_names_its_module(convolutions, saved):
    """Also beside a normalization that the exporter fused into its convolution."""
    module, images, graph = convolutions
    feeds = {"x": images.numpy()}
    wrong = {}
    for tensor in graph.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and numpy_helper.to_array(tensor).ndim > 1:
            path = saved("s.onnx", with_a_changed_weight(graph, tensor.name))
            wrong[tensor.name] = differing_module(module, images, path, feeds).layer

    assert differing_module(module, images, saved("right.onnx", graph), feeds) is None
    assert len(wrong) == 6
    assert sorted(wrong.values()) == ["0", "1.first", "1.second", "2.first", "2.second", "4"]
    assert not any(part._forward_hooks for part in module.modules())


@pytest.mark.slow
def test_a_sum_that_is_no_module_is_named_by_its_block(convolutions, saved):
    """All its layers are right, and it is not."""
    module, images, graph = convolutions
    changed = deepcopy(graph)
    sums = [node for node in changed.graph.node if node.op_type == "Add"]
    sums[1].op_type = "Sub"
    found = differing_module(module, images, saved("s.onnx", changed), {"x": images.numpy()})

    assert (found.layer, found.kind) == ("2", "Residual")
