"""Q and DQ nodes around those that are to compute in integers, and weights as integers: the rewriting itself."""

# Shape suffixes: C = channels.

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.export.passes.calibration import Calibration, Spread
from hpmkd_edge.export.passes.model_file import drop_unread, graphs_inside

if TYPE_CHECKING:
    import onnx

# What comes out of these is what went in, so it keeps its scale.
MOVERS: Final = ("Flatten", "MaxPool", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
PRODUCTS: Final = ("Conv", "Gemm", "MatMul")
_LARGEST_BIAS: Final = 2.0**30
_ZERO: Final = 1e-15  # of float32: a product of two scales must not vanish


@dataclass(slots=True, kw_only=True)
class Integers:
    """A rewriting in the making.

    Attributes:
        graph: rewritten in place.
        chosen: the nodes to be quantized, by name.
        spreads: of what flows between them.
        x86: whether activations are uint8, what comes out is quantized too, and biases are int32; else activations are
            int8 with zero points of zero, and only what goes in is quantized.
    """

    graph: onnx.GraphProto
    chosen: frozenset[str]
    spreads: Mapping[str, Spread]
    calibration: Calibration
    x86: bool
    made: dict[Any, str] = field(default_factory=dict)
    before: list[onnx.NodeProto] = field(default_factory=list)
    after: list[onnx.NodeProto] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def rewrite(self) -> None:
        """Quantize the chosen nodes."""
        if self.x86:
            self._drop_rectifiers()
        nodes = list(self.graph.node)
        constants = {one.name: one for one in self.graph.initializer}
        maker = {name: node for node in nodes for name in node.output}
        readers = _readers(nodes)
        quantized: dict[str, tuple[float, int]] = {}
        for node in nodes:
            if node.name not in self.chosen:
                continue
            for name in node.input:
                if name in self.spreads and name not in quantized:
                    quantized[name] = self._steps(name)
            if not self.x86 or node.op_type == "Gather":
                continue
            for name in node.output:
                if name in self.spreads and self._goes_on_in_integers(node, readers.get(name, [])):
                    moved = node.op_type in MOVERS and node.input[0] in quantized
                    quantized[name] = quantized[node.input[0]] if moved else self._steps(name)

        rewritten: list[onnx.NodeProto] = []
        for value in self.graph.input:
            if value.name in quantized:
                rewritten += self._pair(value.name, quantized[value.name])
        for node in nodes:
            inside, given = node.name in self.chosen, list(node.output)  # what is looked up gets another name
            entering = quantized.get(node.input[0]) if node.input else None
            for place, name in enumerate(node.input):
                if name in quantized and (inside or (self.x86 and name in maker and maker[name].name in self.chosen)):
                    node.input[place] = f"{name}/d"
            if inside:
                self.before, self.after = [], []
                self._constants_of(node, constants, entering)
                rewritten += self.before
            rewritten.append(node)
            if inside:
                rewritten += self.after
            for name in given:
                if name in quantized:
                    rewritten += self._pair(name, quantized[name])
        del self.graph.node[:]
        self.graph.node.extend(rewritten)
        drop_unread(self.graph)

    def _drop_rectifiers(self) -> None:
        """Remove each Relu and Clip from zero that an unsigned quantization does by itself."""
        constants = {one.name: one for one in self.graph.initializer}
        given = {one.name for one in self.graph.output}
        maker = {name: node for node in self.graph.node for name in node.output}
        readers = _readers(self.graph.node)
        if any(graphs_inside(node) for node in self.graph.node):
            return  # what is read in there would not be clipped
        for node in list(self.graph.node):
            source = maker.get(node.input[0]) if node.input else None
            if (
                node.name in self.chosen
                and source is not None
                and source.name in self.chosen
                and source.op_type in (*PRODUCTS, "Add")
                and len(readers[node.input[0]]) == 1
                and self._goes_on_in_integers(source, readers.get(node.output[0], []))
                and node.input[0] not in given
                and node.output[0] not in given
                and _clips_at_zero(node, constants)
            ):
                source.output[0] = node.output[0]
                maker[node.output[0]] = source
                self.graph.node.remove(node)

    def _goes_on_in_integers(self, node: onnx.NodeProto, readers: list[onnx.NodeProto]) -> bool:
        """Say whether what *node* makes is quantized: a matrix product hands floats to those who compute in floats."""
        if node.op_type not in ("Gemm", "MatMul"):
            return bool(readers)
        return any(reader.name in self.chosen for reader in readers)

    def _steps(self, name: str) -> tuple[float, int]:
        """Return scale and zero point of an activation."""
        spread = self.spreads[name]
        low, high = spread.limits(self.calibration, 255 if self.x86 and spread.least >= 0 else 128)
        if high - low <= _ZERO:
            return 1.0, 0
        if not self.x86:
            return max(-low, high) / 127, 0
        scale = (high - low) / 255
        return scale, int(np.clip(round(-low / scale), 0, 255))

    def _pair(self, name: str, steps: tuple[float, int]) -> list[onnx.NodeProto]:
        """Return the two nodes that round a value to its steps."""
        from onnx import helper

        scale, zero = steps
        kind = np.uint8 if self.x86 else np.int8
        inputs = [self._constant(("scale", scale), np.float32(scale)), self._zero(kind(zero))]
        return [
            helper.make_node("QuantizeLinear", [name, *inputs], [f"{name}/q"], name=f"{name}/q"),
            helper.make_node("DequantizeLinear", [f"{name}/q", *inputs], [f"{name}/d"], name=f"{name}/d"),
        ]

    def _constants_of(
        self, node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], entering: tuple[float, int] | None
    ) -> None:
        """Turn the constants of a chosen node into integers."""
        from onnx import TensorProto, numpy_helper

        arrays = {
            place: numpy_helper.to_array(constants[name])
            for place, name in enumerate(node.input)
            if name in constants and constants[name].data_type == TensorProto.FLOAT
        }
        if node.op_type == "Gather":
            self._look_up(node, arrays[0])
            return
        if node.op_type not in PRODUCTS:
            if self.x86 and node.op_type != "Clip":  # whose limits are no terms
                for place, values in arrays.items():
                    node.input[place] = self._even(node.input[place], values)
            return
        weight = 0 if node.op_type == "MatMul" and 0 in arrays else 1
        if weight not in arrays:
            return
        values, bias = arrays[weight], arrays.get(2)
        if node.op_type == "Gemm":
            values, bias = _unscaled(node, values, bias)
        axis = _channel_axis(node, weight, values)
        if not self.x86 or bias is None or bias.ndim != 1:
            entering = None
        scales_C = _weight_scales(values, axis, bias, entering)
        # ONNX Runtime knows an integer Gemm by its weights' zero points, and does without those of a Conv.
        zero = np.zeros_like(scales_C, np.int8) if self.x86 and node.op_type != "Conv" else None
        node.input[weight] = self._channels(node.input[weight], values, scales_C, axis, zero)
        if bias is None:
            return
        name = node.input[2]
        if entering is None or bias.shape != scales_C.shape:
            node.input[2] = self._constant(("bias", name, bias.tobytes()), bias)
            return
        both_C = (scales_C * entering[0]).astype(np.float32)
        whole_C = np.rint(bias / both_C.astype(np.float64)).astype(np.int32)
        node.input[2] = self._dequantized(("bias", name, node.name), whole_C, both_C, 0)

    def _channels(
        self,
        name: str,
        values: NDArray[Any],
        scales_C: NDArray[np.float32],
        axis: int | None,
        zero: NDArray[np.int8] | None,
    ) -> str:
        shape = [1] * values.ndim
        if axis is not None:
            shape[axis] = -1
        whole = np.clip(np.rint(values / scales_C.reshape(shape)), -127, 127).astype(np.int8)
        return self._dequantized(("weights", name, whole.tobytes(), scales_C.tobytes()), whole, scales_C, axis, zero)

    def _look_up(self, node: onnx.NodeProto, table: NDArray[Any]) -> None:
        """Store what is looked up as integers, and let the CPU make floats of the rows that it finds alone."""
        from onnx import helper

        scales_C = _weight_scales(table, 1, None, None)
        if not self.x86:
            node.input[0] = self._channels(node.input[0], table, scales_C, 1, None)
            return
        whole = np.clip(np.rint(table / scales_C), -127, 127).astype(np.int8)
        found = node.output[0]
        node.input[0] = self._constant(("table", node.input[0]), whole)
        node.output[0] = f"{found}/w"
        scale = self._constant(("table", node.input[0], "scale"), scales_C)
        self.after.append(
            helper.make_node("DequantizeLinear", [node.output[0], scale], [found], name=f"{found}/w", axis=-1)
        )

    def _even(self, name: str, values: NDArray[Any]) -> str:
        """Quantize a constant beside activations, as they are."""
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        scale = (high - low) / 255 or 1.0
        zero = int(np.clip(round(-low / scale), 0, 255))
        whole = np.clip(np.rint(values / scale) + zero, 0, 255).astype(np.uint8)
        return self._dequantized(("even", name), whole, np.float32(scale), None, np.uint8(zero))

    def _dequantized(self, key: Any, whole: NDArray[Any], scales: Any, axis: int | None, zero: Any = None) -> str:
        """Store integers, and return the name of what they stand for."""
        from onnx import helper

        if key not in self.made:
            inputs = [self._constant((key, "whole"), whole), self._constant((key, "scale"), scales)]
            if zero is not None:
                inputs.append(self._zero(zero))
            name = self.made[key] = f"{inputs[0]}/d"
            options = {} if axis is None else {"axis": axis}
            self.before.append(helper.make_node("DequantizeLinear", inputs, [name], name=name, **options))
        return self.made[key]

    def _zero(self, points: Any) -> str:
        return self._constant(("zero", points.dtype.str, points.shape, points.tobytes()), points)

    def _constant(self, key: Any, values: Any) -> str:
        """Store a constant under a short name, each but once: names are a good part of a small file."""
        from onnx import numpy_helper

        if key not in self.made:
            self.made[key] = self._fresh()
            self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), self.made[key]))
        return self.made[key]

    def _fresh(self) -> str:
        if not self.taken:
            made = {name for node in self.graph.node for name in node.output}
            self.taken = made | {one.name for one in (*self.graph.input, *self.graph.initializer)}
        name = next(name for place in itertools.count(len(self.made)) if (name := f"c{place}") not in self.taken)
        self.taken.add(name)
        return name


def _readers(nodes: Iterable[onnx.NodeProto]) -> dict[str, list[onnx.NodeProto]]:
    """Return who reads each value."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _clips_at_zero(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    from onnx import numpy_helper

    if node.op_type != "Clip":
        return bool(node.op_type == "Relu")
    least = node.input[1] if len(node.input) > 1 else ""
    return least in constants and not numpy_helper.to_array(constants[least]).any()


def _unscaled(
    node: onnx.NodeProto, weights: NDArray[Any], bias: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Take a Gemm's factors into its constants, and give a bias that all rows share a number for each channel."""
    factors = {one.name: one.f for one in node.attribute if one.name in ("alpha", "beta")}
    for attribute in [one for one in node.attribute if one.name in factors]:
        node.attribute.remove(attribute)
    weights = weights * np.float32(factors.get("alpha", 1))
    if bias is None:
        return weights, None
    bias = bias * np.float32(factors.get("beta", 1))
    if bias.ndim < 2 or bias.shape[0] == 1:
        channels = weights.shape[_channel_axis(node, 1, weights) or 0]
        bias = np.array(np.broadcast_to(bias.reshape(-1), channels))
    return weights, bias


def _channel_axis(node: onnx.NodeProto, place: int, weights: NDArray[Any]) -> int | None:
    """Return the axis of what comes out, or None where the weights have one scale."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if any(one.name == "transB" and one.i for one in node.attribute) else 1
    return 1 if place == 1 and weights.ndim == 2 else None


def _weight_scales(
    weights: NDArray[Any], axis: int | None, bias: NDArray[Any] | None, entering: tuple[float, int] | None
) -> NDArray[np.float32]:
    """Return the scale of each channel, such that its bias fits into 32 bits; a scalar where there is no axis."""
    others = None if axis is None else tuple(one for one in range(weights.ndim) if one != axis)
    reach = np.abs(weights).max(axis=others)
    scales = np.where(reach > _ZERO, reach / 127, 1.0)
    if bias is not None and entering is not None and bias.shape == scales.shape:
        scales = np.maximum(scales, np.abs(bias) / (entering[0] * _LARGEST_BIAS))
    return np.asarray(scales, np.float32)
