"""What an ONNX file says of its tensors, held against the bytes that there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import onnx

# A file's own limit, and more than any tensor of a model for a small device.
MOST_BYTES: Final = 2**31
# numpy of the oldest supported version makes arrays of so many axes.
MOST_AXES: Final = 32
# Bits of an element by TensorProto.DataType; strings have no size, and 6-bit floats no settled packing.
_BITS: Final = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
    15: 128,
}
_STRING: Final = 8
_COMPLEX: Final = (14, 15)
# Operators that make a tensor of a size that a constant says, and which of their inputs is that constant.
_SIZED_BY: Final = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}


def shown(name: object) -> str:
    """Return *name*, from a file that may be hostile, short enough for a sentence."""
    text = repr(name)
    return text if len(text) <= 60 else f"{text[:58]}…'"


def element_bits(kind: int) -> int:
    """Return the bits of one element; 0 where that is not known beforehand."""
    return _BITS.get(kind, 0)


def size_fault(what: str, dims: Sequence[int], kind: int) -> str | None:
    """Say that *what*, a tensor of *dims*, is too large to be made, or None."""
    if len(dims) > MOST_AXES:
        return f"{what} of {len(dims)} axes; at most {MOST_AXES} are taken."
    size = prod(dims) * max(element_bits(kind), 8) // 8
    if size <= MOST_BYTES:
        return None
    # Sizes multiply to more than a float holds.
    return f"{what} of {min(size, 10**21) / 1e9:,.1f} GB; at most {MOST_BYTES / 1e9:.1f} GB is taken."


def value_faults(value: onnx.ValueInfoProto, what: str) -> Iterator[str]:
    """Say what is wrong with a declared input, output or inner value; axes without a size are none of it."""
    if value.type.WhichOneof("value") != "tensor_type":
        return
    tensor = value.type.tensor_type
    sizes = [max(axis.dim_value, 1) for axis in tensor.shape.dim]
    if fault := size_fault(f"declares {what}", sizes, tensor.elem_type):
        yield fault


def tensor_faults(tensor: onnx.TensorProto, folder: Path) -> Iterator[str]:
    """Say what is wrong with a tensor that the file holds, or that lies beside it.

    Args:
        tensor: with its data, or with the place of its data.
        folder: the model file's; nothing outside it may be read.
    """
    what, kind = f"the tensor {shown(tensor.name)}", tensor.data_type
    from onnx import TensorProto

    if kind == TensorProto.UNDEFINED or kind not in TensorProto.DataType.values():
        yield f"holds {what} of the type {kind}; a type that ONNX knows is needed."
        return
    if len(tensor.dims) > MOST_AXES or any(size < 0 for size in tensor.dims) or tensor.HasField("segment"):
        yield f"holds {what} with negative sizes, more than {MOST_AXES} axes, or in parts; a whole tensor is needed."
        return
    count, bits = prod(tensor.dims), element_bits(kind)
    size = -(-count * bits // 8)
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        yield from _external_faults(tensor, what, size, folder)
        return
    if kind != _STRING and not bits:
        return
    if tensor.HasField("raw_data"):
        found, wanted, unit = len(tensor.raw_data), size, "bytes"
    else:
        found, wanted, unit = (
            _stored(tensor),
            size if bits < 8 and bits else count * (1 + (kind in _COMPLEX)),
            "numbers",
        )
    if found != wanted:
        yield f"holds {found:,} {unit} of {what}, whose shape needs {wanted:,}."


def _stored(tensor: onnx.TensorProto) -> int:
    from onnx import helper

    return len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type)))


def _external_faults(tensor: onnx.TensorProto, what: str, size: int, folder: Path) -> Iterator[str]:
    entries: Mapping[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if not isinstance(location, str) or not location or "\0" in location:
        yield f"says that {what} lies beside it, but not where; the name of a file is needed."
        return
    inside = "a file in the model's own folder is needed."
    parts = PureWindowsPath(location)  # takes both kinds of slashes, and drives
    if parts.drive or parts.root or ".." in parts.parts:
        yield f"looks for {what} at {shown(location)}; {inside}"
        return
    try:
        place, own = (folder / location).resolve(), folder.resolve()
        if not place.is_relative_to(own):
            yield f"looks for {what} at {shown(location)}, a link that leads out of its folder; {inside}"
            return
        if not place.is_file():
            yield f"looks for {what} in {shown(location)}, which is not there; {inside}"
            return
        there = place.stat().st_size
    except (OSError, RuntimeError):  # a name too long, a circle of links
        yield f"looks for {what} at {shown(location)}, which cannot be followed; {inside}"
        return
    numbers = [entries.get("offset", "0"), entries.get("length", str(size))]
    if not all(isinstance(one, str) and one.isascii() and one.isdigit() and len(one) < 20 for one in numbers):
        yield f"gives {what} the place {shown(numbers)} in {shown(location)}; two whole numbers are needed."
        return
    offset, length = map(int, numbers)
    if length != size:
        yield f"gives {what} {length:,} bytes of {shown(location)}; its shape needs {size:,}."
    elif offset + length > there:
        yield f"needs {offset + length:,} bytes of {shown(location)} for {what}; the file has {there:,}."


def tensors_of(block: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a graph or function, those of subgraphs excepted."""
    if hasattr(block, "initializer"):
        yield from block.initializer
        for sparse in block.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in block.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
            for sparse in attribute.sparse_tensors:
                yield from (sparse.values, sparse.indices)


def made_faults(block: onnx.GraphProto | onnx.FunctionProto) -> Iterator[str]:
    """Say what a block would make that is too large: sparse tensors made dense, and constants of a stated shape."""
    sparse = [*getattr(block, "sparse_initializer", ())]
    constants: dict[str, Any] = {tensor.name: tensor for tensor in getattr(block, "initializer", ())}
    for node in block.node:
        for attribute in node.attribute:
            sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            if node.op_type == "Constant" and attribute.name == "value" and node.output:
                constants[node.output[0]] = attribute.t
    for one in sparse:
        if fault := size_fault(f"holds the sparse tensor {shown(one.values.name)}", [*one.dims], one.values.data_type):
            yield fault
    for node in block.node:
        shape = _shape_made(node, constants)
        if fault := size_fault(f"has {node.op_type} make {shown(node.output[0] if node.output else '')}", shape, 1):
            yield fault


def _shape_made(node: onnx.NodeProto, constants: Mapping[str, Any]) -> list[int]:
    """Return the shape that a node's constants ask for; empty where none do."""
    if node.op_type.startswith("Random"):
        return [abs(size) for attribute in node.attribute if attribute.name == "shape" for size in attribute.ints]
    place = _SIZED_BY.get(node.op_type)
    tensor = constants.get(node.input[place]) if place is not None and len(node.input) > place else None
    if tensor is None or tensor.data_type != 7 or tensor.external_data or prod(tensor.dims) > MOST_AXES:
        return []
    from onnx import numpy_helper

    return [abs(int(size)) for size in numpy_helper.to_array(tensor).ravel()]
