"""Read the file that a pass begins with, and write the one that it ends with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpmkd_edge.errors import ConversionFailed
from hpmkd_edge.export.torch_graph import cleaned

if TYPE_CHECKING:
    import onnx

# ONNX has per-channel DequantizeLinear since 13.
LEAST_OPSET: Final = 13
# The first in which a constant need not be an input.
LEAST_IR_VERSION: Final = 4


def read_model(source: Path) -> onnx.ModelProto:
    """Read *source*, and give every node a name of its own: passes tell nodes apart by it.

    Constants that are declared as inputs too, as files of version 3 of the format must, are constants only.

    Raises:
        ConversionFailed: the file cannot be read, or its operator set is older than 13.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(source)
    except (OSError, DecodeError, ValueError, onnx.checker.ValidationError) as error:
        raise ConversionFailed(f"{source} cannot be read as ONNX: {str(error).splitlines()[0]}.") from error
    versions = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    if not versions or versions[0] < LEAST_OPSET:
        raise ConversionFailed(
            f"{source.name} is of ONNX operator set {versions[0] if versions else 'none'}; {LEAST_OPSET} or later is"
            " needed to change its precision."
        )
    held = {one.name for one in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, LEAST_IR_VERSION)
    taken: set[str] = set()
    for place, node in enumerate(model.graph.node):
        wish = node.name or f"{node.op_type}_{place}"
        while wish in taken:
            wish = f"{wish}_{place}"
        node.name = wish
        taken.add(wish)
    return model


def write_model(model: onnx.ModelProto, output: Path, *, like: onnx.ModelProto) -> None:
    """Write *model* to *output*, clean, whole or not at all, with the metadata and the signature of *like*.

    Raises:
        ConversionFailed: it is not valid ONNX, or a pass has changed its inputs or outputs.
        OSError: the file cannot be written.
    """
    import onnx

    facts = {one.key: one.value for one in like.metadata_props}
    cleaned(model)
    onnx.helper.set_model_props(model, facts)
    model.producer_name, model.producer_version = like.producer_name, like.producer_version
    model.graph.name = like.graph.name
    used = {node.domain for node in _all_nodes(model.graph)} | {""}
    kept = [one for one in model.opset_import if one.domain in used or one.domain == "ai.onnx"]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    if _signature(model) != _signature(like):
        raise ConversionFailed(f"the inputs and outputs became {_signature(model)}; {_signature(like)} were there.")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ConversionFailed(f"the rewritten graph is not valid: {str(error).splitlines()[0]}") from error
    draft = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        draft.write_bytes(model.SerializeToString(deterministic=True))
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)


def value_types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every value of the graph, by ONNX's own inference.

    Raises:
        ConversionFailed: that of a value is not known.
    """
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    known = {one.name: one.type.tensor_type.elem_type for one in (*graph.input, *graph.output, *graph.value_info)}
    known |= {one.name: one.data_type for one in graph.initializer}
    for node in graph.node:
        for name in node.output:
            if name and not known.get(name):
                raise ConversionFailed(f"the type of {name}, which {node.op_type} makes, is not known; it is needed.")
    return known


def graphs_inside(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs of a node's branches and bodies."""
    single = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return [*single, *(graph for attribute in node.attribute for graph in attribute.graphs)]


def read_by(node: onnx.NodeProto) -> list[str]:
    """Return the names of the values that *node* reads, and of those that the graphs inside it do."""
    inside = [name for graph in graphs_inside(node) for one in graph.node for name in read_by(one)]
    return [name for name in (*node.input, *inside) if name]


def drop_unread(graph: onnx.GraphProto) -> None:
    """Remove the constants that no node reads."""
    read = {name for node in graph.node for name in read_by(node)} | {one.name for one in graph.output}
    kept = [one for one in graph.initializer if one.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for inside in graphs_inside(node):
            yield from _all_nodes(inside)


def _signature(model: onnx.ModelProto) -> list[tuple[str, int]]:
    held = {one.name for one in model.graph.initializer}
    return [
        (one.name, one.type.tensor_type.elem_type)
        for one in (*model.graph.input, *model.graph.output)
        if one.name not in held
    ]
