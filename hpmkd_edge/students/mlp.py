"""Multilayer perceptrons, for tables and for very small images."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

from torch import nn

from hpmkd_edge.students.family import Shape, Size
from hpmkd_edge.students.rungs import build_seeded, sorted_rungs

RUNGS: Final = (
    (4, 1), (8, 1), (16, 1), (16, 2), (24, 2), (32, 2), (48, 2), (64, 2), (96, 2), (128, 2), (192, 2), (256, 3),
    (384, 3), (512, 3),
)  # fmt: skip


def _perceptron(shape: Shape, width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    entering = prod(shape.features)
    for _ in range(depth):
        layers += [nn.Linear(entering, width), nn.ReLU()]
        entering = width
    return nn.Sequential(*layers, nn.Linear(entering, shape.classes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp:
    """*depth* hidden layers of *width* units, ReLU between them."""

    name: str = "mlp"
    digest: str = "mlp-1"

    def ladder(self, shape: Shape) -> tuple[Size, ...]:
        """Return the sizes for *shape*, fewest parameters first."""
        return sorted_rungs(self.name, RUNGS, lambda width, depth: _perceptron(shape, width, depth))

    def build(self, size: Size, shape: Shape, seed: int) -> nn.Module:
        """Return a module from [N, *features] to logits [N, classes]."""
        return build_seeded(lambda: _perceptron(shape, size.width, size.depth), seed)
