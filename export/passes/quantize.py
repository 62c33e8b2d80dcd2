"""A graph of eight-bit integers: static, per channel, calibrated, written as QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadConfiguration, ConversionFailed
from hpmkd_edge.export.passes.calibration import Calibration, Spread, spreads_of
from hpmkd_edge.export.passes.integers import Integers
from hpmkd_edge.export.passes.model_file import read_model, value_types, write_model
from hpmkd_edge.export.passes.regions import regions_of

if TYPE_CHECKING:
    import onnx

Form = Literal["x86", "tensorrt"]
LEAST_TABLE: Final = 1024  # numbers that are looked up, for which integers are worth two nodes
LARGEST_QUANTITY: Final = 1e5
# Times the greatest value beside it, from which on a constant is a mark: eight bits have 128 steps from zero.
MASK_REACH: Final = 16
# Of the inner nodes, those that ONNX Runtime's CPU provider computes in integers.
X86_OPERATORS: Final = (
    *("Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "LeakyRelu", "MaxPool", "Mul", "Relu"),
    *("Reshape", "Sigmoid", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze", "Where"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A model, and how its inner values are spread on the rows that it was calibrated on.

    Attributes:
        layers: the products of weights that can be quantized, in the graph's order.
        tables: whether most weights are looked up, and not multiplied by.
        floats: the values of float32, by name.
    """

    model: onnx.ModelProto
    form: Form
    layers: tuple[str, ...]
    tables: bool
    spreads: Mapping[str, Spread]
    floats: frozenset[str]


def quantize(
    source: Path,
    output: Path,
    *,
    feeds: Mapping[str, NDArray[Any]],
    form: Form,
    calibration: Calibration,
    keep: Collection[str] = (),
) -> None:
    """Write *source* to *output* with products of weights in int8, calibrated on the rows of *feeds*.

    Weights are int8, symmetric, per channel. Inputs, outputs and metadata stay, and so, in float32, do the encoding of
    raw rows, attention's scores, the softmax, and all that follows the last product.

    - "x86": what else lies between products is quantized too where ONNX Runtime has an integer kernel; activations are
      uint8, biases int32.
    - "tensorrt": the inputs of Conv, MatMul and Gemm alone, int8 with zero points of zero; biases stay in float32.

    Args:
        source: best folded first, see `fold`.
        output: written whole or not at all.
        feeds: training rows by input name.
        form: whom the file is for.
        calibration: which values eight bits span, see `calibration.Spread.limits`.
        keep: names of layers that stay in float32, of those that `observe` gives.

    Raises:
        BadConfiguration: a name in *keep* is none of a layer.
        ConversionFailed: the file cannot be read or run on the rows, or has no product to quantize.
    """
    write_int8(observe(source, feeds, form), output, calibration=calibration, keep=keep)


def observe(source: Path, feeds: Mapping[str, NDArray[Any]], form: Form) -> Observed:
    """Run *source* on the rows of *feeds*, for any number of `write_int8`.

    Raises:
        ConversionFailed: the file cannot be read or run, or has no product of weights.
    """
    from onnx import TensorProto

    model = read_model(source)
    floats = frozenset(name for name, kind in value_types(model).items() if kind == TensorProto.FLOAT)
    constants = {one.name: tuple(one.dims) for one in model.graph.initializer}
    layers = tuple(node.name for node in model.graph.node if _is_layer(node, floats, constants))
    if not layers:
        raise ConversionFailed(f"{source.name} has no Conv, Gemm or MatMul of float32; one is needed for int8.")
    chosen = _chosen(model, form, floats, layers)
    tensors = [
        name
        for node in model.graph.node
        if node.name in chosen
        for name in (*node.input, *node.output)
        if name in floats and name not in constants
    ]
    spreads = spreads_of(model, tensors, feeds)
    for node in model.graph.node:
        for name in (*node.input, *node.output) if node.name in layers else ():
            if name in spreads and not spreads[name].is_finite:
                raise ConversionFailed(f"{name} is not finite on rows to calibrate on; finite values are needed.")
    looked_up, multiplied = (
        sum(
            prod(constants[name])
            for node in model.graph.node
            if node.name in layers and (node.op_type == "Gather") == is_table
            for name in node.input
            if name in floats and name in constants
        )
        for is_table in (True, False)
    )
    return Observed(
        model=model, form=form, layers=layers, tables=looked_up > multiplied, spreads=spreads, floats=floats
    )


def write_int8(observed: Observed, output: Path, *, calibration: Calibration, keep: Collection[str] = ()) -> None:
    """Write what was observed as `quantize` does.

    Raises:
        BadConfiguration: a name in *keep* is none of a layer.
    """
    strangers = sorted(set(keep) - set(observed.layers))
    if strangers:
        raise BadConfiguration(f"{strangers[0]!r} is no layer of the model; {', '.join(observed.layers)} are.")
    model = type(observed.model)()
    model.CopyFrom(observed.model)
    left = [name for name in observed.layers if name not in keep]
    if calibration == "weights":
        chosen, spreads = frozenset(left), {}
    else:
        chosen = _chosen(model, observed.form, observed.floats, left) - _marked(model, observed.spreads, left)
        spreads = dict(observed.spreads)
    writer = Integers(
        graph=model.graph, chosen=chosen, spreads=spreads, calibration=calibration, x86=observed.form == "x86"
    )
    writer.rewrite()
    write_model(model, output, like=observed.model)


def _is_layer(node: onnx.NodeProto, floats: Collection[str], constants: Mapping[str, tuple[int, ...]]) -> bool:
    """Say whether a node is a product that has integers, or looks rows up in a table of weights."""
    if node.op_type == "Gather":
        shape = constants.get(node.input[0], ()) if node.input[0] in floats else ()
        along = any(one.name == "axis" and one.i for one in node.attribute)
        return len(shape) == 2 and prod(shape) >= LEAST_TABLE and not along
    if node.op_type not in ("Conv", "Gemm", "MatMul") or not set(node.input) - {""} <= set(floats):
        return False
    if node.op_type == "MatMul":
        return not set(node.input) <= set(constants)
    crossed = any(one.name == "transA" and one.i for one in node.attribute)
    return node.input[0] not in constants and set(node.input[1:]) - {""} <= set(constants) and not crossed


def _chosen(model: onnx.ModelProto, form: Form, floats: Collection[str], layers: Collection[str]) -> frozenset[str]:
    """Return the names of the nodes to be quantized: these *layers*, and what between them has integers, too."""
    if form == "tensorrt":
        return frozenset(layers)
    regions = regions_of(model, without=[node.name for node in model.graph.node if node.name not in layers])
    inner = {
        node.name
        for node in model.graph.node
        if node.op_type in X86_OPERATORS and node.domain in ("", "ai.onnx") and node.output[0] in floats
    }
    return frozenset(layers) | (inner & regions.inner - regions.softened)


def _marked(model: onnx.ModelProto, spreads: Mapping[str, Spread], layers: Collection[str]) -> set[str]:
    """Return the nodes, but *layers*, that hold a number which is a mark and no quantity, as −10³⁸ is to a maximum."""
    from onnx import numpy_helper

    constants = {
        one.name: float(np.abs(numpy_helper.to_array(one)).max(initial=0))
        for one in model.graph.initializer
        if one.data_type == one.FLOAT
    }
    wild = {name for name, spread in spreads.items() if not spread.reach <= LARGEST_QUANTITY}
    wild |= {node.output[0] for node in model.graph.node if _is_mask(node, spreads, constants)}
    wild |= {name for name, reach in constants.items() if not reach <= LARGEST_QUANTITY}
    return {node.name for node in model.graph.node if node.name not in layers and wild & {*node.input, *node.output}}


def _is_mask(node: onnx.NodeProto, spreads: Mapping[str, Spread], constants: Mapping[str, float]) -> bool:
    """Say whether a node puts a number far beyond all others in the place of some, as before a maximum."""
    if node.op_type != "Where":
        return False
    held = [constants[name] for name in node.input[1:] if name in constants]
    others = [spreads[name].reach for name in node.input[1:] if name in spreads]
    return bool(held and others) and max(held) > MASK_REACH * max(others)
