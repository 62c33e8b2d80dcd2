"""What text families of one plan share: their sizes, and that their embeddings begin from the lexicon's origin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from hpmkd_edge.students.embedding import start_embedding
from hpmkd_edge.students.family import Shape, Size, pieces_of
from hpmkd_edge.students.rungs import build_seeded, sorted_rungs


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFamily:
    """Modules with an `embedding` of pieces, scaled in width and depth.

    Attributes:
        rungs: (width, depth).
        module: makes one from the number of pieces, classes, width and depth.
    """

    name: str
    digest: str
    rungs: tuple[tuple[int, int], ...]
    module: Callable[[int, int, int, int], nn.Module]

    def ladder(self, shape: Shape) -> tuple[Size, ...]:
        """Return the sizes for *shape*, fewest parameters first.

        Raises:
            BadStudent: the task has no texts.
        """
        pieces = pieces_of(shape, self.name)
        return sorted_rungs(
            self.name, self.rungs, lambda width, depth: self.module(pieces, shape.classes, width, depth)
        )

    def build(self, size: Size, shape: Shape, seed: int) -> nn.Module:
        """Return a module from ids [N, T] to logits [N, K]; its embeddings begin from the lexicon's origin.

        Raises:
            BadStudent: the task has no texts.
        """
        pieces = pieces_of(shape, self.name)
        module = build_seeded(lambda: self.module(pieces, shape.classes, size.width, size.depth), seed)
        embedding = module.embedding
        assert isinstance(embedding, nn.Embedding)
        start_embedding(embedding, shape.lexicon)
        return module
