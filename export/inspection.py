"""Look at an ONNX file that anybody may have written, before a runtime gets it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpmkd_edge.errors import BadConfiguration, nearest
from hpmkd_edge.export.declared_tensors import MOST_BYTES, made_faults, shown, tensor_faults, tensors_of, value_faults
from hpmkd_edge.export.protobuf_fields import MOST_FIELDS, has_too_many_fields

if TYPE_CHECKING:
    from typing import TypeAlias

    import onnx

    Block: TypeAlias = onnx.GraphProto | onnx.FunctionProto

# Domains of ONNX Runtime's own operators and of its extensions, of which only they know the names.
RUNTIME_DOMAINS: Final = frozenset(
    {
        "ai.onnx.contrib",
        "com.microsoft",
        "com.microsoft.experimental",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
        "org.pytorch.aten",
    }
)
# Ten times the largest graph that is known to be run anywhere; functions that call functions can unfold to any number.
MOST_NODES: Final = 1_000_000


def inspect_file(path: Path) -> None:
    """Refuse an ONNX file that must not be handed to a runtime; read nothing but the file itself.

    What passes may still be refused by a runtime: types and shapes of inner values are its to check.

    Raises:
        BadConfiguration: it is no ONNX file, of a version or with operators that nobody knows, without inputs or with
            others than tensors, in a circle, with tensors that are larger than what is there or than 2 GB, or with
            data outside its folder.
    """
    model = _read(path)
    for fault in _faults(model, path.parent):
        raise BadConfiguration(f"{path.name} {fault}")


def weight_files(path: Path) -> tuple[Path, ...]:
    """Return the files beside an inspected ONNX file in which some of its tensors lie.

    Raises:
        BadConfiguration: it is no ONNX file.
    """
    model = _read(path)
    locations = {
        entry.value
        for block, _ in _blocks(model)
        for tensor in tensors_of(block)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return tuple(path.parent / location for location in sorted(locations))


def _read(path: Path) -> onnx.ModelProto:
    import onnx

    needed = "an ONNX file is needed."
    if not path.is_file():
        raise BadConfiguration(f"{path} is {'a folder' if path.is_dir() else 'no file'}; {needed}")
    size = path.stat().st_size
    if not 0 < size < MOST_BYTES:
        raise BadConfiguration(
            f"{path.name} has {size:,} bytes; an ONNX file of 1 byte to 2 GB, with larger weights beside it, is needed."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read ({error.strerror}); {needed}") from error
    model = onnx.ModelProto()
    if has_too_many_fields(content, model.DESCRIPTOR):
        raise BadConfiguration(f"{path.name} has too many parts; at most {MOST_FIELDS:,} are taken.")
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's own, which has no types
        if "MaxDepth" in str(error):
            fault = "is nested more than 100 messages deep; a flatter ONNX file is needed."
        else:
            fault = "is cut off, or no ONNX at all; a whole ONNX file is needed."
        raise BadConfiguration(f"{path.name} {fault}") from error
    if not model.ir_version or not model.HasField("graph"):
        raise BadConfiguration(f"{path.name} holds no ONNX graph; {needed}")
    return model


def _faults(model: onnx.ModelProto, folder: Path) -> Iterator[str]:
    """Yield what is wrong, cheapest first: what comes later relies on what came before."""
    yield from _version_faults(model)
    yield from _signature_faults(model.graph)
    yield from _function_faults(model)
    local = {(function.domain, function.name) for function in model.functions}
    for block, opsets in _blocks(model):
        # protobuf hands out bytes where a name is no UTF-8, on which runtimes stumble in their own messages.
        yield from (f"has the name {shown(name)}; text is needed." for name in _names(block) if isinstance(name, bytes))
        yield from _operator_faults(block, opsets, local)
        for value in (*getattr(block, "value_info", ()), *getattr(block, "output", ())):
            if not isinstance(value, (str, bytes)):
                yield from value_faults(value, f"the value {shown(value.name)}")
        for tensor in tensors_of(block):
            yield from tensor_faults(tensor, folder)
        yield from made_faults(block)
    faults: list[str] = []
    for root in (model.graph, *model.functions):
        missing = _free_names(root, faults)
        faults += [f"takes {shown(name)}, which nothing in it gives." for name in sorted(missing, key=str)]
    yield from faults


def _versions(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    return {"" if one.domain == "ai.onnx" else one.domain: one.version for one in imports}


def _version_faults(model: onnx.ModelProto) -> Iterator[str]:
    import onnx

    if not 3 <= model.ir_version <= onnx.IR_VERSION:
        yield f"is of version {model.ir_version} of the format; 3 to {onnx.IR_VERSION} is needed."
    known: dict[str, int] = {}
    for domain, version in onnx.helper.OP_SET_ID_VERSION_MAP:
        name = "" if domain == "ai.onnx" else domain
        known[name] = max(version, known.get(name, 0))
    stated = [_versions(imports) for imports in (model.opset_import, *(one.opset_import for one in model.functions))]
    if not stated[0]:
        yield "does not say of which opset it is; one is needed."
    for domain, version in (pair for one in stated for pair in one.items()):
        most = known.get(domain)
        if most is not None and not 1 <= version <= most:
            yield f"is of opset {version}{f' of {domain}' if domain else ''}; 1 to {most} is needed."


def _signature_faults(graph: onnx.GraphProto) -> Iterator[str]:
    from onnx import TensorProto

    constant = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constant]
    if not inputs:
        yield "takes no input; at least one is needed."
    if not graph.output:
        yield "gives no output; at least one is needed."
    for name, times in Counter(value.name for value in inputs).items():
        if times > 1 or not name or not isinstance(name, str):
            yield f"declares the input {shown(name)} {times} times; one name for each is needed."
    for value in inputs:
        kind = value.type.WhichOneof("value") or "value without a type"
        if kind != "tensor_type":
            article = "an" if kind.startswith("o") else "a"
            yield f"takes {article} {kind.replace('_type', '')} as {shown(value.name)}; a tensor is needed."
        elif value.type.tensor_type.elem_type not in TensorProto.DataType.values()[1:]:
            yield f"takes {shown(value.name)} of a type that ONNX does not know; a tensor of a known one is needed."
        yield from value_faults(value, f"the input {shown(value.name)}")


def _blocks(model: onnx.ModelProto) -> Iterator[tuple[Block, dict[str, int]]]:
    """Yield the graph, all subgraphs and all functions, with the opsets that each is written in."""
    own = _versions(model.opset_import)
    roots: list[tuple[Block, dict[str, int]]] = [(model.graph, own)]
    for training in model.training_info:
        roots += [(training.initialization, own), (training.algorithm, own)]
    roots += [(function, own | _versions(function.opset_import)) for function in model.functions]
    while roots:
        block, opsets = roots.pop()
        yield block, opsets
        roots += [(inner, opsets) for node in block.node for inner in _subgraphs(node)]


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _names(block: Block) -> Iterator[object]:
    """Yield every name in a block, that of an input's or output's axis too."""
    for side in (block.input, block.output, getattr(block, "initializer", ())):
        for value in side:
            yield getattr(value, "name", value)
            if hasattr(value, "type"):
                yield from (axis.dim_param for axis in value.type.tensor_type.shape.dim)
    for node in block.node:
        yield from (block.name, node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


def _operator_faults(block: Block, opsets: dict[str, int], local: set[tuple[str, str]]) -> Iterator[str]:
    from onnx import defs

    for domain, name in {(node.domain, node.op_type) for node in block.node} - local:
        own = "" if domain == "ai.onnx" else domain
        of = f" of the domain {shown(domain)}" if own else ""
        if own in RUNTIME_DOMAINS:
            continue
        elif own not in opsets:
            yield f"uses {shown(name)}{of}, whose version it does not state; that is needed."
        elif not defs.has(name, opsets[own], own):
            known = {schema.name for schema in defs.get_all_schemas() if schema.domain == own}
            # Without the list of all: there are 200.
            offer = nearest(name, known).partition("Known:")[0]
            found = f"uses {shown(name)}{of}, which opset {opsets[own]} does not have"
            yield f"{found}; a known operator is needed. {offer}".rstrip()


def _function_faults(model: onnx.ModelProto) -> Iterator[str]:
    """Runtimes unfold functions where they are called: without end if they call themselves."""
    from graphlib import (
        CycleError,
        TopologicalSorter,
    )  # since Python 3.9: a board may be older, and looks at sizes only

    bodies = {(function.domain, function.name): function for function in model.functions}
    calls = {key: Counter(_called(body)) for key, body in bodies.items()}
    order = TopologicalSorter({key: [name for name in made if name in bodies] for key, made in calls.items()})
    try:
        names = list(order.static_order())
    except CycleError as error:
        yield f"has a function {shown(error.args[1][0][1])} that calls itself; functions without a circle are needed."
        return
    sizes: dict[tuple[str, str], int] = {}
    for key in names:
        sizes[key] = sum(times * sizes.get(name, 1) for name, times in calls[key].items())
    nodes = sum(sizes.get(name, 1) for name in _called(model.graph))
    if nodes > MOST_NODES:
        yield f"has {nodes:,} nodes once its functions are unfolded; at most {MOST_NODES:,} are taken."


def _called(block: Block) -> Iterator[tuple[str, str]]:
    for node in block.node:
        yield node.domain, node.op_type
        for inner in _subgraphs(node):
            yield from _called(inner)


def _free_names(block: Block, faults: list[str]) -> set[str]:
    """Return the names that a block takes from outside; add to *faults* where its own go wrong."""
    from graphlib import CycleError, TopologicalSorter

    given = {getattr(value, "name", value) for value in block.input}
    given |= {tensor.name for tensor in getattr(block, "initializer", ())}
    given |= {sparse.values.name for sparse in getattr(block, "sparse_initializer", ())}
    made: dict[str, int] = {}
    taken = []
    for place, node in enumerate(block.node):
        inner = (_free_names(graph, faults) for graph in _subgraphs(node))
        taken.append(set(node.input).union(*inner) - {""} - given)
        for name in filter(None, node.output):
            if name in made or name in given:
                faults.append(f"gives {shown(name)} twice; one maker for each value is needed.")
            made[name] = place
    order = TopologicalSorter(
        {place: [made[name] for name in names if name in made] for place, names in enumerate(taken)}
    )
    try:
        order.prepare()
    except CycleError as error:
        first = block.node[error.args[1][0]]
        value = shown(first.output[0])
        faults.append(f"runs in a circle through {first.op_type}, which gives {value}; a graph without one is needed.")
    leaving = {getattr(value, "name", value) for value in block.output}
    return set().union(*taken, leaving - given) - made.keys()
