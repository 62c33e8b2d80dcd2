"""A perceptron as a graph, written layer by layer: a millisecond, where torch's exporter takes seconds to trace one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from hpmkd_edge.export.versions import IR_VERSION, OPSET
from hpmkd_edge.tasks.values import Scale

if TYPE_CHECKING:
    import onnx


def perceptron_graph(
    layers: Sequence[nn.Linear], scale: Scale | None, *, name_in: str, name_out: str
) -> onnx.ModelProto:
    """Return the graph of linear layers with a ReLU between any two, from features [batch, F].

    Args:
        layers: with biases; at least one.
        scale: None for classes, whose probabilities [batch, K] come out; else the labels', in whose units values
            [batch, 1] do.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, constants, entering = [], [], name_in
    for place, layer in enumerate(layers):
        weights, bias = f"layer_{place}/weights", f"layer_{place}/bias"
        constants += [
            numpy_helper.from_array(np.ascontiguousarray(value.detach().numpy(), np.float32), name)
            for name, value in ((weights, layer.weight), (bias, layer.bias))
        ]
        leaving = f"layer_{place}"
        nodes.append(helper.make_node("Gemm", [entering, weights, bias], [leaving], name=leaving, transB=1))
        entering = leaving
        if place < len(layers) - 1:
            entering = f"{leaving}/relu"
            nodes.append(helper.make_node("Relu", [leaving], [entering], name=entering))
    if scale is None:
        nodes.append(helper.make_node("Softmax", [entering], [name_out], name="softmax", axis=1))
    else:
        for name, value in (("deviation", scale.deviation), ("mean", scale.mean)):
            constants.append(numpy_helper.from_array(np.float32(value).reshape(1), name))
        nodes.append(helper.make_node("Mul", [entering, "deviation"], ["scaled"], name="scaled"))
        nodes.append(helper.make_node("Add", ["scaled", "mean"], [name_out], name="in_units"))
    shapes = (name_in, layers[0].in_features), (name_out, layers[-1].out_features)
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name, width in shapes)
    graph = helper.make_graph(nodes, "perceptron", [given], [made], initializer=constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="hpmkd-edge")
    checker.check_model(model, full_check=True)
    return model
