"""What a student family is: a ladder of sizes, each of which can be built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from hpmkd_edge.errors import BadStudent
from hpmkd_edge.students.lexicon import Lexicon

if TYPE_CHECKING:
    from torch import Tensor, nn

# The family of a kind of task where none is asked for.
DEFAULTS: Final = {"images": "residual", "table": "mlp", "text": "gated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a student takes and gives.

    Attributes:
        features: (C, H, W) for images, (F,) for an encoded table, (L,) for the pieces of a text, at most.
        classes: number of outputs; 1 where values are learned.
        lexicon: what the pieces of a text are, and what a larger model knows of them; None for images and tables.
    """

    features: tuple[int, ...]
    classes: int
    lexicon: Lexicon | None = None

    @property
    def kind(self) -> str:
        """What a row is, as `Task.kind` says it."""
        if self.lexicon is not None:
            return "text"
        return "images" if len(self.features) == 3 else "table"

    def example(self, rows: int) -> Tensor:
        """Return what a module of this shape takes: zeros, float32 [N, *features]; for texts ids of 1, int64 [N, L]."""
        import torch

        if self.lexicon is not None:
            return torch.ones((rows, *self.features), dtype=torch.int64)
        return torch.zeros((rows, *self.features))


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


def cannot_learn(family: str, learns: str, shape: Shape) -> BadStudent:
    """Return the error for a *family* that learns something else than the rows of *shape*."""
    is_of = {"images": "images", "table": "a table", "text": "text"}[shape.kind]
    return BadStudent(
        f"the {family} family learns {learns}; this task is {is_of}: use --student {DEFAULTS[shape.kind]}."
    )


def pieces_of(shape: Shape, family: str) -> int:
    """Return how many pieces the vocabulary of *shape* has.

    Raises:
        BadStudent: its rows are no texts, which the *family* learns.
    """
    if shape.lexicon is None:
        raise cannot_learn(family, "text", shape)
    return shape.lexicon.pieces
