"""Which nodes of a graph may change their precision: those between the first product of weights and the last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hpmkd_edge.export.passes.model_file import read_by

if TYPE_CHECKING:
    import onnx

# Where the multiply-adds are, and so what precision is for.
PRODUCTS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_IDENTIFIERS: Final = ("INT32", "INT64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """The nodes of a graph by where they stand, each by name.

    Attributes:
        products: in the graph's order.
        inner: other nodes that some product comes before and some product after.
        softened: those of `inner` that lead to a softmax with no product between, and the softmax: scores, and the
            masks that are added to them.
        encoding: nodes before all products that turn raw numbers and words into features.
        tail: other nodes after which no product comes: probabilities, values in the units of the data.
    """

    products: tuple[str, ...]
    inner: frozenset[str]
    softened: frozenset[str]
    encoding: frozenset[str]
    tail: frozenset[str]


def regions_of(model: onnx.ModelProto, *, without: Collection[str] = ()) -> Regions:
    """Return the regions of a graph whose nodes have names; products named in *without* do not count as such."""
    nodes = list(model.graph.node)
    maker = {name: node.name for node in nodes for name in node.output if name}
    before = {node.name: {maker[name] for name in read_by(node) if name in maker} for node in nodes}
    after: dict[str, set[str]] = {node.name: set() for node in nodes}
    for name, makers in before.items():
        for one in makers:
            after[one].add(name)
    products = [node.name for node in nodes if node.op_type in PRODUCTS and node.name not in without]
    following, leading = _reached(products, after), _reached(products, before)
    others = {node.name for node in nodes} - set(products)
    soft = [node.name for node in nodes if node.op_type in ("Softmax", "LogSoftmax")]
    scores = _reached(soft, before, stop=products) | set(soft)
    return Regions(
        products=tuple(products),
        inner=frozenset(others & following & leading),
        softened=frozenset(scores & others & following),
        encoding=_encoding(model, others - following, after),
        tail=frozenset(others - leading),
    )


def _encoding(model: onnx.ModelProto, early: set[str], after: dict[str, set[str]]) -> frozenset[str]:
    """Return those of the *early* nodes that raw numbers or words pass through, or that lead into such alone.

    What comes of identifiers alone, as a mask of tokens does, is none.
    """
    from onnx import TensorProto

    identifiers = {getattr(TensorProto, kind) for kind in _IDENTIFIERS}
    raw = {one.name for one in model.graph.input if one.type.tensor_type.elem_type not in identifiers}
    raw -= {one.name for one in model.graph.initializer}
    found = {
        node.name
        for node in model.graph.node
        if node.name in early and (raw & set(read_by(node)) or node.domain not in ("", "ai.onnx"))
    }
    found |= _reached(list(found), after) & early
    for node in reversed(model.graph.node):
        if node.name in early and after[node.name] and after[node.name] <= found:
            found.add(node.name)
    return frozenset(found)


def _reached(start: Collection[str], steps: dict[str, set[str]], *, stop: Collection[str] = ()) -> set[str]:
    """Return all that follows from *start* by one step or several, not beyond what is in *stop*."""
    found: set[str] = set()
    edge = list(start)
    while edge:
        fresh = steps[edge.pop()] - found - set(stop)
        found |= fresh
        edge += fresh
    return found
