"""The shapes in a graph, from those of its inputs: what costs are counted on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpmkd_edge.errors import BadConfiguration

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]

# Bits of an element; what is not here has no fixed size (strings) and counts nothing.
_BITS: Final = {
    "FLOAT": 32, "UINT8": 8, "INT8": 8, "UINT16": 16, "INT16": 16, "INT32": 32, "INT64": 64, "BOOL": 8, "FLOAT16": 16,
    "DOUBLE": 64, "UINT32": 32, "UINT64": 64, "COMPLEX64": 64, "COMPLEX128": 128, "BFLOAT16": 16, "FLOAT8E4M3FN": 8,
    "FLOAT8E4M3FNUZ": 8, "FLOAT8E5M2": 8, "FLOAT8E5M2FNUZ": 8, "UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4,
}  # fmt: skip


class ShapedGraph:
    """A graph whose every value has a shape.

    Attributes:
        nodes: in the graph's order, local functions inlined.
        weights: the shape of each initializer.
        inputs, outputs: names of values, inputs without initializers.
    """

    __slots__ = ("_kinds", "_shapes", "inputs", "nodes", "outputs", "weights")

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = tuple(graph.node)
        self.weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self.weights |= {tensor.values.name: tuple(tensor.dims) for tensor in graph.sparse_initializer}
        self.inputs = tuple(value.name for value in graph.input if value.name not in self.weights)
        self.outputs = tuple(value.name for value in graph.output)
        self._kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
        self._kinds |= {tensor.values.name: tensor.values.data_type for tensor in graph.sparse_initializer}
        self._shapes: dict[str, Shape | None] = dict(self.weights)
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.name not in self._shapes:
                self._shapes[value.name] = _whole(value)
                self._kinds[value.name] = value.type.tensor_type.elem_type

    def knows(self, name: str) -> bool:
        """Say whether the shape of the value follows from those of the inputs."""
        return self._shapes.get(name) is not None

    def shape(self, name: str) -> Shape:
        """Return the shape of a value.

        Raises:
            BadConfiguration: it does not follow from those of the inputs.
        """
        shape = self._shapes.get(name)
        if shape is None:
            raise BadConfiguration(
                f"the shape of {name!r} does not follow from those of the inputs; a graph whose shapes do is needed."
            )
        return shape

    def bytes(self, name: str) -> int:
        """Return what a value takes; 0 for strings, whose length nothing declares."""
        from onnx import TensorProto

        bits = _BITS.get(TensorProto.DataType.Name(self._kinds.get(name, 0)), 0)
        # Before the kind: a value without a shape is no tensor of 0 bytes.
        return -(-math.prod(self.shape(name)) * bits // 8)


def shaped_graph(path: Path, shapes: Mapping[str, Shape]) -> ShapedGraph:
    """Read a graph and infer the shape of each value; weights that lie outside the file are not read.

    Args:
        path: a file that `inspect_file` accepts.
        shapes: of each input, the batch filled in.

    Raises:
        BadConfiguration: the file is no graph, or *shapes* are not those of its inputs.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import checker, inliner, shape_inference

    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise BadConfiguration(f"{path} is no ONNX file: {error}; a whole one is needed.") from error
    _fill_in(model.graph, shapes)
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        # With data: shapes that a graph computes, as of `view(x.shape[0], -1)`, are followed too.
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except (checker.ValidationError, shape_inference.InferenceError, RuntimeError) as error:
        raise BadConfiguration(f"the shapes in {path} cannot be followed: {error}; a valid graph is needed.") from error
    graph = ShapedGraph(inferred.graph)
    if all(graph.knows(name) for node in graph.nodes for name in node.output if name):
        return graph
    symbolic = _symbolic(model)
    return graph if symbolic is None else ShapedGraph(symbolic.graph)


def _fill_in(graph: onnx.GraphProto, shapes: Mapping[str, Shape]) -> None:
    """Give the inputs their shapes, and take away those that were written for others."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    _check_names([value.name for value in inputs], shapes)
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    for value in inputs:
        declared, wanted = value.type.tensor_type.shape.dim, shapes[value.name]
        fixed = [axis.dim_value if axis.HasField("dim_value") else None for axis in declared]
        if value.type.tensor_type.HasField("shape") and (
            len(fixed) != len(wanted) or any(one not in (None, size) for one, size in zip(fixed, wanted, strict=True))
        ):
            needed = ", ".join("any" if one is None else str(one) for one in fixed)
            raise BadConfiguration(f"the input {value.name} was given the shape {list(wanted)}; [{needed}] is needed.")
        value.type.tensor_type.ClearField("shape")
        for size in wanted:
            value.type.tensor_type.shape.dim.add().dim_value = size


def _check_names(inputs: Iterable[str], shapes: Mapping[str, Shape]) -> None:
    wanted = sorted(inputs)
    if wanted != sorted(shapes):
        raise BadConfiguration(
            f"shapes were given for {', '.join(sorted(shapes)) or 'nothing'}; the graph takes {', '.join(wanted)}."
        )


def _symbolic(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Infer the shapes of ONNX Runtime's own operators too; None where its tool gives up."""
    from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

    try:
        return SymbolicShapeInference.infer_shapes(model, auto_merge=True)
    except Exception:  # noqa: BLE001  it asserts and raises whatever; then the first answer stands, with what it lacks
        return None


def _whole(value: onnx.ValueInfoProto) -> Shape | None:
    """Return the shape, or None where it is not known in whole."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    axes = value.type.tensor_type.shape.dim
    if not all(axis.HasField("dim_value") for axis in axes):
        return None
    return tuple(axis.dim_value for axis in axes)
