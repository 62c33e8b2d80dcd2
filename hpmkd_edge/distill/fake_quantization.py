"""A module that computes in fp32 as its int8 file will: weights, and what flows between layers, on grids of 8 bits.

The grids are those of ONNX's QuantizeLinear, and lie where `export.passes.quantize` lays them: weights symmetric, one
scale an output channel, embeddings among them; tensors one scale each, for x86 those of all integer operators, U8 with
a zero point, for TensorRT the inputs of convolutions and linear layers, S8 about zero. Rounding has the gradient 1
inside the range and 0 outside (straight through; Bengio et al. 2013, arXiv 1308.3432; Jacob et al. 2018, arXiv
1712.05877).
"""

# Shape suffixes: O = outputs of a layer.

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from hpmkd_edge.errors import BadStudent
from hpmkd_edge.export.passes.quantize import LEAST_TABLE

Form = Literal["x86", "tensorrt"]

WEIGHT_LIMIT: Final = 127  # both ways: of −128 there is no opposite
QUANTIZED: Final = (nn.Conv1d, nn.Conv2d, nn.Linear)
NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d)
RELUS: Final = (nn.ReLU, nn.ReLU6, torch.relu, functional.relu, functional.relu6, "relu")
# With layers and ReLUs, what ONNX Runtime computes in integers on x86.
ARITHMETIC: Final = (
    *(nn.MaxPool2d, nn.AvgPool2d, functional.max_pool2d, functional.avg_pool2d),
    *(operator.add, operator.iadd, torch.add, "add", operator.mul, operator.imul, torch.mul, "mul", torch.cat),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The lowest and the highest number of a tensor."""

    lowest: float
    highest: float


def weight_scales(weight: Tensor, axis: int = 0) -> Tensor:
    """Return the scale of each output channel along *axis*, float32 [O]: its largest weight is 127 steps long."""
    scale_O = weight.detach().float().transpose(0, axis).flatten(1).abs().amax(1) / WEIGHT_LIMIT
    # A channel of zeros has any scale; 0 would make NaNs of it.
    return torch.where(scale_O < torch.finfo(torch.float32).tiny, 1.0, scale_O)


class WeightGrid(nn.Module):
    """Puts a weight on the grid of each output channel; the scales follow the weight, so nothing is ever cut off."""

    def __init__(self, axis: int = 0) -> None:
        super().__init__()
        self.axis = axis  # of the output channels

    def forward(self, weight: Tensor) -> Tensor:
        scale_O = weight_scales(weight, self.axis)
        zeros_O = torch.zeros_like(scale_O, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale_O, zeros_O, self.axis, -WEIGHT_LIMIT, WEIGHT_LIMIT)


class TensorGrid(nn.Module):
    """Puts a tensor on one grid that reaches over *span* and over 0."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, span: Span, form: Form) -> None:
        super().__init__()
        lowest, highest = min(span.lowest, 0.0), max(span.highest, 0.0)
        if form == "x86":
            self.least, self.most = 0, 255
            scale = (highest - lowest) / 255
        else:
            self.least, self.most = -128, 127
            scale = max(-lowest, highest) / 127
        if scale < torch.finfo(torch.float32).tiny:
            scale = 1.0
        zero = round(-lowest / scale) if form == "x86" else 0
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("zero_point", torch.tensor(zero, dtype=torch.int32))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(inputs, self.scale, self.zero_point, self.least, self.most)


class _Tracer(fx.Tracer):
    """Takes a layer for one node also where its class is the user's own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, QUANTIZED) or super().is_leaf_module(m, module_qualified_name)


def traced(module: nn.Module) -> fx.GraphModule:
    """Return *module* as a graph of its layers, which it shares; what folding left in a norm's place is no node of it.

    Raises:
        BadStudent: torch.fx cannot trace it.
    """
    try:
        graph = fx.GraphModule(module, _Tracer().trace(module))
    except Exception as error:  # a user's module raises anything
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise BadStudent(
            f"torch.fx cannot trace the student, whose graph tells what int8 rounds: {first}; a module without"
            " data-dependent control flow is needed."
        ) from error
    for node in graph.graph.nodes:
        if isinstance(_module_of(node, graph), nn.Identity):
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


class _Watch(fx.Interpreter):
    """Runs a graph, and keeps the span of each node's numbers."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.spans: dict[str, Span] = {}

    def run_node(self, n: fx.Node) -> Any:
        made = super().run_node(n)
        if n.op not in ("output", "get_attr") and isinstance(made, Tensor) and made.is_floating_point():
            low, high = (float(end) for end in torch.aminmax(made))
            known = self.spans.get(n.name, Span(lowest=low, highest=high))
            self.spans[n.name] = Span(lowest=min(low, known.lowest), highest=max(high, known.highest))
        return made


def spans_of(graph: fx.GraphModule, batches: Iterable[Tensor]) -> dict[str, Span]:
    """Return, by node, the spans of all floating tensors that *graph* makes of *batches* of features, [B, …] each."""
    watch = _Watch(graph.eval())
    with torch.no_grad():
        for batch in batches:
            watch.run(batch)
    return watch.spans


def rounded_reads(graph: fx.GraphModule, form: Form) -> dict[fx.Node, tuple[fx.Node, ...]]:
    """Return, in the graph's order, the nodes whose numbers an int8 file of this *form* rounds, and who reads them so.

    On x86 what stands between layers is computed in integers too, and a ReLU is part of the operator before it. For
    TensorRT layers alone read what is rounded; a shortcut around them goes on in floats.
    """
    nodes = list(graph.graph.nodes)
    layers = {node for node in nodes if isinstance(_module_of(node, graph), QUANTIZED)}
    if form == "tensorrt":
        return {node: readers for node in nodes if (readers := tuple(user for user in node.users if user in layers))}
    after, before = set(layers), set(layers)  # what follows a layer, and what leads to one
    for node in nodes:
        after |= {node} if after.intersection(node.all_input_nodes) else set()
    for node in reversed(nodes):
        before |= {node} if before.intersection(node.users) else set()
    chosen = layers | {node for node in after & before if _is(node, graph, (*RELUS, *ARITHMETIC))}
    reads: dict[fx.Node, tuple[fx.Node, ...]] = {}
    for node in nodes:
        readers = tuple(user for user in node.users if user in chosen)
        if node in chosen and node.users and all(_is(user, graph, RELUS) for user in node.users):
            continue
        # A linear layer hands floats to those who compute in floats.
        if node in chosen and (readers or not isinstance(_module_of(node, graph), nn.Linear)):
            reads[node] = tuple(node.users)
        elif readers:
            reads[node] = readers
    return reads


def fake_quantized(module: nn.Module, spans: Mapping[str, Span], form: Form) -> nn.Module:
    """Return a copy of *module*, as a graph, with weights and tensors on the grids of an int8 file.

    Args:
        spans: of `spans_of`; what is not among them is not of floats, and is left alone.

    Raises:
        BadStudent: torch.fx cannot trace the module.
    """
    fake = traced(deepcopy(module))
    for part in fake.modules():
        if isinstance(part, nn.Dropout | nn.Dropout1d | nn.Dropout2d):
            part.p = 0.0  # what it scales up would leave the spans, and a training this short needs none
    for layer in list(fake.modules()):
        if isinstance(layer, QUANTIZED):
            parametrize.register_parametrization(layer, "weight", WeightGrid())
        elif isinstance(layer, nn.Embedding) and layer.weight.numel() >= LEAST_TABLE:
            # What a row gives is made floats again at once: one scale for each of its places.
            parametrize.register_parametrization(layer, "weight", WeightGrid(axis=1))
    for node, readers in rounded_reads(fake, form).items():
        if node.name not in spans:
            continue
        name = f"{node.name}_grid"
        fake.add_submodule(name, TensorGrid(spans[node.name], form))
        with fake.graph.inserting_after(node):
            rounded = fake.graph.call_module(name, (node,))
        for reader in readers:
            reader.replace_input_with(node, rounded)
    fake.recompile()
    return fake


def _module_of(node: fx.Node, graph: fx.GraphModule) -> nn.Module | None:
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def _is(node: fx.Node, graph: fx.GraphModule, kinds: tuple[Any, ...]) -> bool:
    """Tell whether *node* calls one of *kinds*: classes of modules, functions, or names of methods."""
    module = _module_of(node, graph)
    return type(module) in kinds if module is not None else node.target in kinds and node.op != "placeholder"


def copy_weights(fake: nn.Module, module: nn.Module) -> nn.Module:
    """Give *module* the numbers of the *fake* that was made of it, weights as they lie on their grids; return it.

    On the grid and not beside it: to quantize them again changes nothing, the ranges of what flows between layers are
    then found as the int8 file has them, and a layer that is kept in higher precision has the weights that were
    trained.
    """
    twins = dict(fake.named_modules())
    with torch.no_grad():
        for name, part in module.named_modules():
            for key, own in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
                own.copy_(getattr(twins.get(name), key, own))  # what the graph does not use it does not have
    return module


def folded(module: nn.Module) -> nn.Module:
    """Return a copy of *module*, in eval mode, whose batch norms are part of the layers before them where that can be.

    A norm after anything but a convolution or a linear layer, or after one that is also read elsewhere, stays.

    Raises:
        BadStudent: torch.fx cannot trace it.
    """
    copy = deepcopy(module).eval()
    graph = traced(copy)
    calls = Counter(node.target for node in graph.graph.nodes if node.op == "call_module")
    for node in graph.graph.nodes:
        norm = _module_of(node, graph)
        if not isinstance(norm, NORMS) or norm.running_mean is None:
            continue
        before = node.all_input_nodes[0]
        layer = _module_of(before, graph)
        if len(before.users) > 1 or calls[before.target] > 1 or calls[node.target] > 1:
            continue
        if isinstance(layer, nn.Linear):
            copy.set_submodule(before.target, fuse_linear_bn_eval(layer, norm))
        elif isinstance(layer, nn.Conv1d | nn.Conv2d):
            copy.set_submodule(before.target, fuse_conv_bn_eval(layer, norm))
        else:
            continue
        copy.set_submodule(node.target, nn.Identity())
    return copy
