"""A graph in half precision: weights and inner values in float16, what the user gives and gets as it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hpmkd_edge.errors import ConversionFailed
from hpmkd_edge.export.passes.model_file import (
    drop_unread,
    graphs_inside,
    read_by,
    read_model,
    value_types,
    write_model,
)
from hpmkd_edge.export.passes.regions import regions_of

if TYPE_CHECKING:
    import onnx

LARGEST: Final = float(np.finfo(np.float16).max)
# Operators that take no float16, by ONNX or by the CPU's runtime; casts go around them.
_FLOAT_ONLY: Final = ("CumSum", "If", "Loop", "NonMaxSuppression", "Range", "Resize", "RoiAlign", "Scan", "TopK")
_TYPED: Final = ("to", "dtype")  # attributes that name the type of what comes out


def halve(source: Path, output: Path) -> None:
    """Write *source* to *output* with weights and inner values in float16; inputs and outputs keep their types.

    What makes features of raw numbers stays in float32, and so does what follows the last product: a column of a table
    may hold numbers beyond 65,504, where float16 ends, and so may an answer in the units of its data. Constants beyond
    that become it, as those of masks are.

    Raises:
        ConversionFailed: the file cannot be read, has nothing to halve, or values of unknown type.
    """
    from onnx import TensorProto

    model = read_model(source)
    like = type(model)()
    like.CopyFrom(model)
    regions = regions_of(model)
    if not regions.products:
        raise ConversionFailed(f"{source.name} has no product of weights; one is needed to change its precision.")
    whole = regions.encoding | regions.tail
    graph = model.graph
    halved = [
        node
        for node in graph.node
        if node.name not in whole and node.op_type not in _FLOAT_ONLY and node.domain in ("", "ai.onnx")
    ]
    types = value_types(model)
    floats = {name for name, kind in types.items() if kind == TensorProto.FLOAT}
    inner = {node.name for node in halved}
    small = {name for node in halved for name in node.output if name in floats}
    constants = {one.name: one for one in graph.initializer if one.data_type == TensorProto.FLOAT}

    casts: dict[tuple[str, int], str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        changed = node.name in inner
        wanted = TensorProto.FLOAT16 if changed else TensorProto.FLOAT
        needed = [name for name in read_by(node) if name in (floats - small if changed else small)]
        for name in dict.fromkeys(needed):
            if (name, wanted) in casts:
                continue
            casts[name, wanted] = f"{name}/{'half' if changed else 'whole'}"
            if name in constants:
                graph.initializer.append(_halved(constants[name], casts[name, wanted]))
            else:
                nodes.append(_cast(name, casts[name, wanted], wanted))
        _reread(node, {name: casts[name, wanted] for name in needed})
        if changed:
            _retype(node)
        nodes.append(node)
    for value in graph.output:
        if value.name in small:
            # Who reads it inside keeps the halved one, under another name.
            inside = f"{value.name}/half"
            for node in nodes:
                _reread(node, {value.name: inside})
                node.output[:] = [inside if name == value.name else name for name in node.output]
            nodes.append(_cast(inside, value.name, TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unread(graph)
    write_model(model, output, like=like)


def _cast(name: str, output: str, kind: int) -> onnx.NodeProto:
    from onnx import helper

    return helper.make_node("Cast", [name], [output], name=output, to=kind)


def _halved(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    finite = np.isfinite(values)
    return numpy_helper.from_array(
        np.where(finite, np.clip(values, -LARGEST, LARGEST), values).astype(np.float16), name
    )


def _retype(node: onnx.NodeProto) -> None:
    """Let what *node* makes by its attributes be of half precision."""
    from onnx import TensorProto, helper

    for attribute in node.attribute:
        if attribute.name in _TYPED and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        elif attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
            attribute.t.CopyFrom(_halved(attribute.t, attribute.t.name))
    if node.op_type == "ConstantOfShape" and not node.attribute:
        node.attribute.append(helper.make_attribute("value", helper.make_tensor("", TensorProto.FLOAT16, [1], [0.0])))


def _reread(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Let *node*, and the graphs inside it, read other values."""
    node.input[:] = [names.get(name, name) for name in node.input]
    for graph in graphs_inside(node):
        for one in graph.node:
            _reread(one, names)
