"""What a student family is: a ladder of sizes, each of which can be built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a student takes and gives.

    Attributes:
        features: (C, H, W) for images, (F,) for an encoded table.
        classes: number of outputs; 1 where values are learned.
    """

    features: tuple[int, ...]
    classes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One rung of a family's ladder; *parameters* counts trained numbers."""

    family: str
    width: int
    depth: int
    parameters: int

    @property
    def label(self) -> str:
        """A short name for people, e.g. "residual 16×2"."""
        return f"{self.family} {self.width}×{self.depth}"


class Family(Protocol):
    """A way to build students of many sizes."""

    @property
    def name(self) -> str:
        """The name that `--student` takes, and reports print."""
        ...

    @property
    def digest(self) -> str:
        """Text that changes when the same size would be built differently."""
        ...

    def ladder(self, shape: Shape) -> tuple[Size, ...]:
        """Return the sizes for *shape*, fewest parameters first."""
        ...

    def build(self, size: Size, shape: Shape, seed: int) -> nn.Module:
        """Return a module from features [N, *features] to logits [N, classes], weights drawn by *seed*."""
        ...


def count_parameters(module: nn.Module) -> int:
    """Count the trained numbers of *module*."""
    return sum(parameter.numel() for parameter in module.parameters())
