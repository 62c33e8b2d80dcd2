"""The encoding of a table as an ONNX graph, so that the device takes raw rows; and joining two graphs."""

# Shape suffixes: B = batch, M = columns of numbers, S = shares of bins, F = features, V = values of categories of whole
# numbers.

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hpmkd_edge.errors import ConversionFailed
from hpmkd_edge.export.versions import IR_VERSION, ML_OPSET, OPSET
from hpmkd_edge.tasks.encoding import CLIP, Encoding

if TYPE_CHECKING:
    import onnx

FEATURES: Final = "features"


def table_graph(encoding: Encoding) -> onnx.ModelProto:
    """Return the graph of `encode`: the same features from one input a column.

    Inputs: every column under its own name, float32 [batch, 1] (NaN is missing), string [batch, 1] ("" is
    missing) or int64 [batch, 1] (MISSING_NUMBER is missing). Output: float32 [batch, F], named `features`, or
    with underscores before it where a column has that name. All numbers are encoded together, and so are all
    categories of whole numbers: only those of text have nodes of their own, and other operators than the
    standard ones.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    names = [column.name for column in encoding.columns]
    inner = _prefix("table/", names)
    output = FEATURES
    while output in names:
        output = f"_{output}"
    nodes, constants, pieces = [], [], []

    def constant(name: str, values: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values), inner + name))
        return inner + name

    def node(operator: str, name: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [inner + name], name=inner + name, **attributes))
        return inner + name

    numbers = encoding.numbers
    if numbers:
        raw_BM = node("Concat", "numbers", *(number.name for number in numbers), axis=1)
        missing_BM = node("IsNaN", "missing", raw_BM)
        fill_M = constant("fill", np.array([number.fill for number in numbers], np.float32))
        mean_M = constant("mean", np.array([number.mean for number in numbers], np.float32))
        deviation_M = constant("deviation", np.array([number.deviation for number in numbers], np.float32))
        filled_BM = node("Where", "filled", missing_BM, fill_M, raw_BM)
        scaled_BM = node("Div", "scaled", node("Sub", "centered", filled_BM, mean_M), deviation_M)
        limits = (constant("least", np.float32(-CLIP)), constant("most", np.float32(CLIP)))
        pieces.append(node("Clip", "clipped", scaled_BM, *limits))
        owners_S, middle_S, width_S = encoding.bins()
        if len(owners_S):
            spread_BS = node("Gather", "spread", filled_BM, constant("owners", owners_S), axis=1)
            shifted_BS = node("Sub", "shifted", spread_BS, constant("middle", middle_S))
            shares_BS = node("Div", "shares", shifted_BS, constant("width", width_S))
            ends = (constant("below", np.float32(-0.5)), constant("above", np.float32(0.5)))
            pieces.append(node("Clip", "bounded", shares_BS, *ends))
        marked = [place for place, number in enumerate(numbers) if number.marks_missing]
        if marked:
            places = constant("marked", np.array(marked, np.int64))
            marks = node("Gather", "marks", missing_BM, places, axis=1)
            pieces.append(node("Cast", "marks_as_numbers", marks, to=TensorProto.FLOAT))
    for place, category in enumerate(one for one in encoding.categories if one.holds_text):
        # zeros=1: a word that train did not show is 0 in every feature.
        hot = node(
            "OneHotEncoder",
            f"words_{place}",
            category.name,
            domain="ai.onnx.ml",
            cats_strings=list(category.words),
            zeros=1,
        )
        pieces.append(node("Flatten", f"flat_{place}", hot, axis=1))
    whole = [one for one in encoding.categories if not one.holds_text]
    if whole:
        raw = node("Concat", "whole", *(category.name for category in whole), axis=1)
        owners_V = constant("whole_owners", np.repeat(np.arange(len(whole)), [category.width for category in whole]))
        known_V = constant("known", np.array([value for category in whole for value in category.words], np.int64))
        same_BV = node("Equal", "same", node("Gather", "whole_spread", raw, owners_V, axis=1), known_V)
        pieces.append(node("Cast", "same_as_numbers", same_BV, to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Concat", pieces, [output], name=inner + "features", axis=1))

    types = {number.name: TensorProto.FLOAT for number in numbers}
    types |= {one.name: TensorProto.STRING if one.holds_text else TensorProto.INT64 for one in encoding.categories}
    inputs = [helper.make_tensor_value_info(name, types[name], ["batch", 1]) for name in names]
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", encoding.width])
    graph = helper.make_graph(nodes, "table", inputs, [result], initializer=constants)
    opsets = [helper.make_opsetid("", OPSET)]
    if any(category.holds_text for category in encoding.categories):
        opsets.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="hpmkd-edge")
    checker.check_model(model, full_check=True)
    return model


def join_graphs(first: onnx.ModelProto, second: onnx.ModelProto, *, via: str) -> onnx.ModelProto:
    """Return one graph: the inputs of *first*, whose single output feeds input *via* of *second*.

    The names of all inputs and of the outputs of *second* stay; every other name of *second* gets a prefix
    that no name of *first* has. Neither argument is changed.

    Raises:
        ConversionFailed: *first* has several outputs, *second* another input than *via* or an output named
            as an input of *first*, or the two import an operator set in different versions.
    """
    import onnx
    from onnx import checker, helper

    body = onnx.ModelProto()
    body.CopyFrom(second)
    initialized = {tensor.name for tensor in body.graph.initializer}
    taken = [value.name for value in body.graph.input if value.name not in initialized]
    if taken != [via]:
        raise ConversionFailed(f"the second graph takes {', '.join(taken)}; {via} alone is needed.")
    if len(first.graph.output) != 1:
        raise ConversionFailed(f"the first graph has {len(first.graph.output)} outputs; one is needed.")
    (link,) = first.graph.output
    outputs = {value.name for value in body.graph.output}
    both = sorted(outputs & {value.name for value in first.graph.input})
    if both:
        raise ConversionFailed(f"{both[0]!r} names an input and an output; rename the input.")

    known = set(_names(first.graph))
    if outputs & known:
        raise ConversionFailed(f"{min(outputs & known)!r} is in both graphs; different names are needed.")
    inner = _prefix("body/", known | outputs)
    renamed = {name: inner + name for name in _names(body.graph) if name and name not in outputs}
    _rename(body.graph, renamed | {via: link.name}, inner)

    graph = onnx.GraphProto(name=body.graph.name)
    graph.input.extend(first.graph.input)
    graph.output.extend(body.graph.output)
    for part in (first.graph, body.graph):
        graph.node.extend(part.node)
        graph.initializer.extend(part.initializer)
        graph.sparse_initializer.extend(part.sparse_initializer)
        graph.value_info.extend(part.value_info)
    model = helper.make_model(
        graph,
        opset_imports=_opsets(first, body),
        ir_version=max(first.ir_version, body.ir_version),
        producer_name="hpmkd-edge",
        functions=[*first.functions, *body.functions],
    )
    model.metadata_props.extend(body.metadata_props)
    try:
        checker.check_model(model)
    except checker.ValidationError as error:
        raise ConversionFailed(f"the joined graph is not valid: {str(error).splitlines()[0]}") from error
    return model


def _opsets(first: onnx.ModelProto, second: onnx.ModelProto) -> list[Any]:
    from onnx import helper

    versions: dict[str, int] = {}
    for entry in (*first.opset_import, *second.opset_import):
        # "ai.onnx" is another spelling of the standard domain.
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if versions.setdefault(domain, entry.version) != entry.version:
            raise ConversionFailed(
                f"the graphs import versions {versions[domain]} and {entry.version} of operator set "
                f"{domain or 'ai.onnx'!r}; one version is needed."
            )
    return [helper.make_opsetid(domain, version) for domain, version in versions.items()]


def _prefix(wish: str, names: Iterable[str]) -> str:
    """Return a prefix that none of *names* begins with."""
    held = tuple(names)
    while any(name.startswith(wish) for name in held):
        wish = f"_{wish}"
    return wish


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the name of every value that *graph* defines, and those of the graphs inside its nodes."""
    for value in (*graph.input, *graph.initializer):
        yield value.name
    for sparse in graph.sparse_initializer:
        yield sparse.values.name
    for node in graph.node:
        yield from node.output
        for inside in _subgraphs(node):
            yield from _names(inside)


def _rename(graph: onnx.GraphProto, names: dict[str, str], inner: str) -> None:
    """Rename values by *names* and put *inner* before the name of every node, in place."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = names.get(sparse.values.name, sparse.values.name)
    for node in graph.node:
        node.name = inner + node.name
        for uses in (node.input, node.output):
            uses[:] = [names.get(name, name) for name in uses]
        for inside in _subgraphs(node):
            _rename(inside, names, inner)
