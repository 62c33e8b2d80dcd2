"""From an ONNX file to TensorRT's network, with every operator that it refuses by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpmkd_edge.bench.runtimes.runtime import Input, check_file
from hpmkd_edge.errors import MeasurementFailed


@dataclass(frozen=True, slots=True)
class Library:
    """TensorRT as it was imported, with the one logger that it allows a process."""

    module: Any
    logger: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An operator that the parser does not take.

    Attributes:
        operator: ONNX's name of it; empty where the file as a whole is refused.
        node: its name in the file; may be empty.
        reason: in the parser's own words.
    """

    operator: str
    node: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.operator} ({self.node})" if self.node else self.operator
        return f"{place}: {self.reason}" if place else self.reason


def parse(library: Library, builder: Any, path: Path) -> tuple[Any, Any]:
    """Return the network of *path* and its parser, which must outlive it; the builder must outlive both.

    Networks are strongly typed: precision lives in the file.

    Raises:
        BadConfiguration: there is no such file.
        MeasurementFailed: TensorRT does not take it; with every operator that it refuses, not only the first.
    """
    check_file(path)
    network, parser = _empty(library, builder)
    if parser.parse_from_file(str(path)):
        return network, parser
    found = _refusals(parser)
    del parser, network  # before their builder
    every = tuple(dict.fromkeys((*refusals(library, builder, path), *found)))
    reasons = "; ".join(str(one) for one in every) or library.logger.last_error()
    raise MeasurementFailed(f"TensorRT cannot parse {path.name}: {reasons.rstrip('.')}.")


def refusals(library: Library, builder: Any, path: Path) -> tuple[Refusal, ...]:
    """Return every operator of *path* that TensorRT does not take.

    Parsing stops at the first one in some versions; this call of theirs goes through the whole file.

    Raises:
        BadConfiguration: there is no such file.
    """
    check_file(path)
    network, parser = _empty(library, builder)
    taken = parser.supports_model_v2(path.read_bytes(), str(path))
    found = () if taken else _refusals(parser)
    del parser, network  # before their builder
    return found


def network_inputs(library: Library, network: Any) -> tuple[Input, ...]:
    """Return the inputs of a parsed network; an axis that is open is None."""
    found = []
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = tuple(None if axis < 0 else int(axis) for axis in tensor.shape)
        found.append(Input(name=tensor.name, dtype=numpy_type(library, tensor.name, tensor.dtype), shape=shape))
    return tuple(found)


def numpy_type(library: Library, name: str, dtype: Any) -> np.dtype[Any]:
    """Return numpy's type for TensorRT's *dtype* of the tensor *name*.

    Raises:
        MeasurementFailed: numpy has none, as of bfloat16.
    """
    try:
        found: np.dtype[Any] = np.dtype(library.module.nptype(dtype))
    except TypeError as error:
        raise MeasurementFailed(f"{name} is of TensorRT's type {dtype}; one that numpy has is needed.") from error
    return found


def network_precision(library: Library, network: Any) -> str:
    """Return what a parsed network computes in: int8 where it quantizes, fp16 where it halves, else fp32."""
    module = library.module
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    if any(layer.type in (module.LayerType.QUANTIZE, module.LayerType.DEQUANTIZE) for layer in layers):
        return "int8"
    tensors = [layer.get_output(i) for layer in layers for i in range(layer.num_outputs)]
    return "fp16" if any(tensor.dtype == module.DataType.HALF for tensor in tensors) else "fp32"


def _empty(library: Library, builder: Any) -> tuple[Any, Any]:
    module = library.module
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    return network, module.OnnxParser(network, library.logger)


def _refusals(parser: Any) -> tuple[Refusal, ...]:
    return tuple(_refusal(parser.get_error(i)) for i in range(parser.num_errors))


def _refusal(failure: Any) -> Refusal:
    # Where the operator is unknown, the description is no more than the condition that did not hold: "false".
    code = failure.code().name.replace("_", " ").lower()
    desc = " ".join(failure.desc().split())
    reason = code if desc in ("", "false") else f"{code}, {desc}"
    return Refusal(operator=failure.node_operator(), node=failure.node_name(), reason=reason)
