"""What each node of a graph costs, whatever executes it: multiply-adds, bytes moved, and the arena of activations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.export.graph_shapes import Shape, ShapedGraph, shaped_graph
from hpmkd_edge.export.multiply_adds import is_depthwise, multiply_adds

if TYPE_CHECKING:
    import onnx

# They give another shape to the same bytes, which no runtime moves.
VIEWS: Final = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
CONTROL_FLOW: Final = frozenset({"If", "Loop", "Scan", "SequenceMap"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCost:
    """One node of a graph.

    Attributes:
        name: the node's, or where it has none its first output's.
        macs: multiply-adds; 0 of what is neither a product nor a convolution, recurrence or attention.
        depthwise: whether it is a convolution that has each channel to itself.
        moved_bytes: read and written, weights too; 0 of views, and of what hangs on constants alone, which runtimes
            compute once.
        parameter_bytes: of the weights that it is the first to read; over a graph they sum to all of its weights.
    """

    name: str
    operator: str
    macs: int
    depthwise: bool
    moved_bytes: int
    parameter_bytes: int


def node_costs(path: Path, shapes: Mapping[str, Shape]) -> tuple[NodeCost, ...]:
    """Return the cost of each node but Constants, in the graph's order.

    Args:
        path: a file that `inspect_file` accepts.
        shapes: of each input, the batch filled in.

    Raises:
        BadConfiguration: the file is no graph, *shapes* are not those of its inputs, a shape does not follow from
            them, or the graph has loops or branches, whose cost hangs on values.
    """
    graph = shaped_graph(path, shapes)
    _refuse_control_flow(graph)
    constants = _constants(graph)
    unread = {name: graph.bytes(name) for name in graph.weights}
    costs = []
    for node in graph.nodes:
        if node.op_type == "Constant":
            continue
        read = [name for name in dict.fromkeys(node.input) if name]
        written = [name for name in node.output if name]
        fixed = all(name in constants for name in written)
        still = fixed or node.op_type in VIEWS
        moved = sum(constants[name] if name in constants else graph.bytes(name) for name in read)
        costs.append(
            NodeCost(
                name=node.name or node.output[0],
                operator=node.op_type,
                macs=0 if fixed else multiply_adds(node, graph),
                depthwise=is_depthwise(node, graph),
                moved_bytes=0 if still else moved + sum(map(graph.bytes, written)),
                parameter_bytes=sum(unread.pop(name, 0) for name in read),
            )
        )
    return tuple(costs)


def arena_bytes(path: Path, shapes: Mapping[str, Shape]) -> int:
    """Return the largest sum of activations that are alive at once, in the graph's order.

    The graph's inputs are alive throughout, its outputs from where they are made to the end, all else to its last
    reader. A view takes no bytes of its own. Weights, and what hangs on them alone, are not counted.

    Raises:
        BadConfiguration: as `node_costs`.
    """
    graph = shaped_graph(path, shapes)
    _refuse_control_flow(graph)
    constants = _constants(graph)
    owner: dict[str, str] = {}  # of the bytes that a view shows
    for node in graph.nodes:
        if node.op_type in VIEWS:
            owner[node.output[0]] = owner.get(node.input[0], node.input[0])
    readers = Counter(owner.get(name, name) for node in graph.nodes for name in dict.fromkeys(node.input) if name)
    readers.update(owner.get(name, name) for name in (*graph.inputs, *graph.outputs))  # never the last one gone
    alive = sum(map(graph.bytes, graph.inputs))
    largest = alive
    for node in graph.nodes:
        made = [name for name in node.output if name and name not in constants and name not in owner]
        alive += sum(map(graph.bytes, made))
        largest = max(largest, alive)
        alive -= sum(graph.bytes(name) for name in made if not readers[name])
        for name in dict.fromkeys(node.input):
            whose = owner.get(name, name)
            if not name or whose in constants:
                continue
            readers[whose] -= 1
            if not readers[whose]:
                alive -= graph.bytes(whose)
    return largest


def parameter_count(path: Path) -> int:
    """Return how many numbers the weights of the file are, whatever they are stored in."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    return sum(math.prod(tensor.dims) for tensor in graph.initializer)


def _constants(graph: ShapedGraph) -> dict[str, int]:
    """Map each weight, and each value that hangs on weights alone, to the bytes of the weights behind it."""
    found = {name: graph.bytes(name) for name in graph.weights}
    for node in graph.nodes:
        read = [name for name in dict.fromkeys(node.input) if name]
        # Without inputs: Constant, or a draw, which is no constant.
        if all(name in found for name in read) and (read or node.op_type == "Constant"):
            behind = sum(found[name] for name in read)
            found |= {name: behind if read else graph.bytes(name) for name in node.output if name}
    return found


def _refuse_control_flow(graph: ShapedGraph) -> None:
    for node in graph.nodes:
        if node.op_type in CONTROL_FLOW:
            raise BadConfiguration(
                f"the graph has {_named(node)}, whose cost hangs on values; one without loops and branches is needed."
            )


def _named(node: onnx.NodeProto) -> str:
    return f"the {node.op_type} {node.name or node.output[0]!r}"
