"""Multilayer perceptrons, for tables and for very small images."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

from torch import nn

from hpmkd_edge.students.family import Shape, Size, cannot_learn
from hpmkd_edge.students.rungs import build_seeded, sorted_rungs

RUNGS: Final = (
    (4, 1), (8, 1), (16, 1), (16, 2), (24, 2), (32, 2), (48, 2), (64, 2), (96, 2), (128, 2), (192, 2), (256, 3),
    (384, 3), (512, 3),
)  # fmt: skip


def _perceptron(shape: Shape, width: int, depth: int) -> nn.Module:
    if shape.kind == "text":
        raise cannot_learn("mlp", "tables and images", shape)
    layers: list[nn.Module] = [nn.Flatten()]
    entering = prod(shape.features)
    for _ in range(depth):
        layers += [nn.Linear(entering, width), nn.ReLU()]
        entering = width
    return nn.Sequential(*layers, nn.Linear(entering, shape.classes))


def linear_layers(module: nn.Module) -> tuple[nn.Linear, ...]:
    """Return the layers of a perceptron: linear with biases, a ReLU between any two; none of any other module.

    No other either where a user's module is one but for a subclass, a parametrization, a layer that comes twice, or a
    weight that is not to be trained.
    """
    if type(module) is not nn.Sequential:
        return ()
    layers = [layer for layer in module if type(layer) is not nn.Flatten]
    linear = tuple(layer for layer in layers[::2] if type(layer) is nn.Linear and layer.bias is not None)
    turned = all(type(layer) is nn.ReLU for layer in layers[1::2])
    parameters = list(module.parameters())
    own = len(parameters) == 2 * len(linear) and all(parameter.requires_grad for parameter in parameters)
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    return linear if turned and own and not hooked and len(layers) == 2 * len(linear) - 1 else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp:
    """*depth* hidden layers of *width* units, ReLU between them."""

    name: str = "mlp"
    digest: str = "mlp-1"

    def ladder(self, shape: Shape) -> tuple[Size, ...]:
        """Return the sizes for *shape*, fewest parameters first.

        Raises:
            BadStudent: the task is text.
        """
        return sorted_rungs(self.name, RUNGS, lambda width, depth: _perceptron(shape, width, depth))

    def build(self, size: Size, shape: Shape, seed: int) -> nn.Module:
        """Return a module from [N, *features] to logits [N, classes].

        Raises:
            BadStudent: the task is text.
        """
        return build_seeded(lambda: _perceptron(shape, size.width, size.depth), seed)
