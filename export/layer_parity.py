"""Find where an exported file leaves the model that it came from: the first layer whose values differ.

Files are run by ONNX Runtime, without its optimizations, with every inner value as an output.
"""

# Shape suffixes: N = rows.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import MeasurementFailed

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

Values = Mapping[str, NDArray[Any]]

# Root mean square of the error over that of the value. Honest layers: fp32 below 1e-6 and fp16 below 3e-3; int8's
# rounding alone makes 0.01 to 0.2.
TOLERANCES: Final = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.3}
# Graphs mask with -inf or the least float; in another precision that is another number, and means the same.
_ENDLESS: Final = 1e30
_HALF_ENDLESS: Final = 6e4
# What follows takes a value after it has passed through integers: so our quantizer and ONNX Runtime's name it then.
# Both take a Relu away where integers start at zero, and leave its name to what came before it.
_DERIVED: Final = ("/d", "_DequantizeLinear_Output", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first layer that differs.

    Attributes:
        layer: a node's name or its first output's, or a module's path.
        kind: its operator or class; both, where file and origin do not have the same.
        error: root mean square of the difference over that of the value; infinite for NaN and for other shapes.
    """

    layer: str
    kind: str
    error: float

    def __str__(self) -> str:
        size = "other values" if np.isinf(self.error) else f"{self.error:.2g} of its size"
        return f"The first layer that differs is {self.layer} ({self.kind}), by {size}."


def differing_node(file: Path, origin: Path, feeds: Values, precision: str) -> Divergence | None:
    """Return the first node of *origin*, in its order, whose values *file* does not have; None if there is none.

    Args:
        file: made from *origin* by passes that keep the names of values.
        origin: the file to be matched.
        feeds: a few rows for both.
        precision: of *file*: how far its values may be off.

    Raises:
        MeasurementFailed: one of them cannot be run with its inner values as outputs.
    """
    wanted, given = inner_values(origin, feeds), inner_values(file, feeds)
    kinds = {name: node.op_type for node in _nodes(file) for name in node.output}
    for node in _nodes(origin):
        for name in node.output:
            found = next((given[name + suffix] for suffix in _DERIVED if name + suffix in given), None)
            if name not in wanted or found is None:
                continue
            error = relative_error(found, wanted[name])
            if not error <= TOLERANCES[precision]:
                other = kinds.get(name, node.op_type)
                changed = other != node.op_type and precision == "fp32"
                kind = f"{other}, which was {node.op_type}" if changed else node.op_type
                return Divergence(layer=node.name or name, kind=kind, error=error)
    return None


def differing_module(
    module: nn.Module, features: Tensor, file: Path, feeds: Values, precision: str = "fp32"
) -> Divergence | None:
    """Return the first module, in the order in which they finish, whose output is no inner value of *file*.

    Values are sought by their elements in any order, as layouts differ. A module that the exporter fused with the next
    has no value of its own; it is right if a module that takes its output is.

    Args:
        module: in eval mode, a torch model.
        features: a few rows as it takes them.
        file: the model's, from raw rows on.
        feeds: the same rows as the file takes them.
        precision: of *file*.

    Raises:
        MeasurementFailed: the file cannot be run with its inner values as outputs.
    """
    steps = _followed(module, features)
    sorted_values: dict[int, list[NDArray[np.float64]]] = {}
    for value in (*feeds.values(), *inner_values(file, feeds).values()):
        if value.dtype.kind in "fiub":
            sorted_values.setdefault(value.size, []).append(np.sort(value, axis=None).astype(np.float64))
    errors = [
        min((relative_error(value, step.ordered) for value in sorted_values.get(step.ordered.size, ())), default=np.inf)
        for step in steps
    ]
    right = [error <= TOLERANCES[precision] for error in errors]
    for i in reversed(range(len(steps))):
        right[i] = right[i] or any(
            right[j] for j in range(i + 1, len(steps)) if not steps[i].made.isdisjoint(steps[j].taken)
        )
    first = next((i for i, fine in enumerate(right) if not fine), None)
    if first is None:
        return None
    return Divergence(layer=steps[first].name, kind=steps[first].kind, error=float(errors[first]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What one call of a module took and made: tensors by identity, and its first output's elements in order."""

    name: str
    kind: str
    taken: frozenset[int]
    made: frozenset[int]
    ordered: NDArray[np.float64]


def _followed(module: nn.Module, features: Tensor) -> list[_Step]:
    import torch
    from torch import Tensor

    steps: list[_Step] = []
    alive: list[object] = []

    def follow(name: str, kind: str, taken: object, made: object) -> None:
        into, out = ([one for one in _flat(side) if isinstance(one, Tensor)] for side in (taken, made))
        if not out or not out[0].is_floating_point():
            return
        alive.extend((into, out))  # an identity holds while its tensor does
        # Copied at once: a ReLU in place changes it later.
        ordered = np.sort(out[0].detach().cpu().double().numpy(), axis=None)
        ids = [frozenset(map(id, side)) for side in (into, out)]
        steps.append(_Step(name=name, kind=kind, taken=ids[0], made=ids[1], ordered=ordered))

    hooks = [
        part.register_forward_hook(lambda part, taken, made, name=name: follow(name, type(part).__name__, taken, made))
        for name, part in ((name or "the whole model", part) for name, part in module.named_modules())
    ]
    try:
        with torch.inference_mode():
            follow("the features", "preprocessing", (), (features,))
            module(features)
    finally:
        for hook in hooks:
            hook.remove()
    return steps


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def relative_error(given: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Return how far values are off, over their size; of integers and text, the share that is not the same."""
    if given.shape != wanted.shape:
        return np.inf
    if wanted.dtype.kind != "f":
        return float(np.mean(given != wanted)) if wanted.size else 0.0
    a, b = given.astype(np.float64), wanted.astype(np.float64)
    endless = (np.abs(b) >= _ENDLESS) & (np.abs(a) >= _HALF_ENDLESS) & (np.sign(a) == np.sign(b))
    same = endless | (np.isnan(a) & np.isnan(b))
    a, b = np.where(same, 0.0, a), np.where(same, 0.0, b)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return np.inf
    off, size = (float(np.sqrt(np.mean(np.square(one)))) if one.size else 0.0 for one in (a - b, b))
    return off / size if size else (np.inf if off else 0.0)


def inner_values(path: Path, feeds: Values) -> dict[str, NDArray[Any]]:
    """Run a file on *feeds* and return what each node of its graph gives, by name; sequences and maps are left out.

    Raises:
        MeasurementFailed: ONNX Runtime cannot run it so.
    """
    import onnx
    import onnxruntime

    model = onnx.load(path)
    declared = {value.name for value in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in declared)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        values = session.run(names, dict(feeds))
    except Exception as error:  # ONNX Runtime's errors share no class
        raise MeasurementFailed(f"ONNX Runtime cannot show the inner values of {path.name}: {error}") from error
    return {name: value for name, value in zip(names, values, strict=True) if isinstance(value, np.ndarray)}


def _nodes(path: Path) -> list[onnx.NodeProto]:
    import onnx

    return list(onnx.load(path, load_external_data=False).graph.node)
