"""The multiply-adds of one node, by operator: what arithmetic a graph asks for, whatever executes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from hpmkd_edge.export.graph_shapes import Shape, ShapedGraph

if TYPE_CHECKING:
    import onnx

# Letters as in ONNX's own pages: M, N, K of a product; S, T positions of queries and of keys; H hidden.


def multiply_adds(node: onnx.NodeProto, graph: ShapedGraph) -> int:
    """Return the multiply-adds of *node*: of products, convolutions, recurrences and attention; 0 of all others.

    Raises:
        BadConfiguration: a shape that it hangs on is not known.
    """
    rule = RULES.get(node.op_type)
    return 0 if rule is None else rule(node, graph)


def is_depthwise(node: onnx.NodeProto, graph: ShapedGraph) -> bool:
    """Say whether *node* is a convolution that has each channel to itself."""
    if node.op_type not in _WEIGHTS_OF_CONVOLUTIONS:
        return False
    group = int(attribute(node, "group", 1))
    return group > 1 and group == graph.shape(node.input[0])[1]


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return an attribute of *node*, or *default* where it is not written."""
    from onnx import helper

    for one in node.attribute:
        if one.name == name:
            return helper.get_attribute_value(one)
    return default


def _convolution(node: onnx.NodeProto, graph: ShapedGraph) -> int:
    # The weights: [channels out, channels in / group, *kernel].
    weights = graph.shape(node.input[_WEIGHTS_OF_CONVOLUTIONS[node.op_type]])
    return math.prod(graph.shape(node.output[0])) * math.prod(weights[1:])


def _transposed_convolution(node: onnx.NodeProto, graph: ShapedGraph) -> int:
    # [channels in, channels out / group, *kernel]: each input element is spread over a kernel.
    return math.prod(graph.shape(node.input[0])) * math.prod(graph.shape(node.input[1])[1:])


def _gemm(node: onnx.NodeProto, graph: ShapedGraph) -> int:
    a = graph.shape(node.input[0])
    return math.prod(graph.shape(node.output[0])) * a[0 if attribute(node, "transA", 0) else -1]


def _product(node: onnx.NodeProto, graph: ShapedGraph) -> int:
    a = graph.shape(node.input[0])
    return math.prod(graph.shape(node.output[0])) * a[-2 if attribute(node, "transA", 0) else -1]


def _einsum(node: onnx.NodeProto, graph: ShapedGraph) -> int:
    """Count one multiply-add for each choice of all letters; an ellipsis is as long as the output says."""
    equation = attribute(node, "equation", b"").decode().replace(" ", "")
    sizes: dict[str, int] = {}
    beyond = 1
    for letters, name in zip(equation.split("->")[0].split(","), node.input, strict=True):
        shape: Shape = graph.shape(name)
        before, dots, after = letters.partition("...")
        sizes |= dict(zip(before, shape, strict=False))
        if dots:
            inner = shape[len(before) : len(shape) - len(after)]
            beyond = max(beyond, math.prod(inner))
            sizes |= dict(zip(reversed(after), reversed(shape), strict=False))
    return math.prod(sizes.values()) * beyond if len(node.input) > 1 else 0


def _recurrence(node: onnx.NodeProto, graph: ShapedGraph) -> int:
    # W: [directions, gates · H, inputs], R: [directions, gates · H, H]; X: [steps, batch, inputs] in either order.
    steps_and_batch = math.prod(graph.shape(node.input[0])[:2])
    return steps_and_batch * sum(math.prod(graph.shape(name)) for name in node.input[1:3])


def _attention(node: onnx.NodeProto, graph: ShapedGraph) -> int:
    """ONNX's own: scores and weighted sum; [batch, heads, S, size], or [batch, S, heads · size]."""
    if node.domain == "com.microsoft":
        return _projected_attention(node, graph)
    query, key, value = (graph.shape(name) for name in node.input[:3])
    past = graph.shape(node.input[4])[2] if len(node.input) > 4 and node.input[4] else 0
    if len(query) == 4:
        return math.prod(query[:3]) * (key[2] + past) * (query[3] + value[3])
    heads = int(attribute(node, "q_num_heads", 1)), int(attribute(node, "kv_num_heads", 1))
    widths = query[2] + value[2] // heads[1] * heads[0]
    return query[0] * query[1] * (key[1] + past) * widths


def _projected_attention(node: onnx.NodeProto, graph: ShapedGraph) -> int:
    # ONNX Runtime's: X [batch, S, inputs] times W [inputs, 3 · hidden], then scores and weighted sum.
    batch, length, inputs = graph.shape(node.input[0])
    width = graph.shape(node.input[1])[1]
    return batch * length * (inputs * width + 2 * length * (width // 3))


def _multi_head_attention(node: onnx.NodeProto, graph: ShapedGraph) -> int:
    batch, length, width = graph.shape(node.input[0])[:3]
    keys = graph.shape(node.input[1])[1] if len(node.input) > 1 and node.input[1] else length
    return 2 * batch * length * keys * width


# Which input holds the weights.
_WEIGHTS_OF_CONVOLUTIONS: Final = {"Conv": 1, "FusedConv": 1, "NhwcConv": 1, "ConvInteger": 1, "QLinearConv": 3}

RULES: Final[dict[str, Callable[[onnx.NodeProto, ShapedGraph], int]]] = {
    **dict.fromkeys(_WEIGHTS_OF_CONVOLUTIONS, _convolution),
    "ConvTranspose": _transposed_convolution,
    **dict.fromkeys(("Gemm", "FusedGemm", "QGemm"), _gemm),
    **dict.fromkeys(
        ("MatMul", "FusedMatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul"),
        _product,
    ),
    "Einsum": _einsum,
    **dict.fromkeys(("RNN", "GRU", "LSTM"), _recurrence),
    "Attention": _attention,
    "MultiHeadAttention": _multi_head_attention,
}
