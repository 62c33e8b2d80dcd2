"""What a distillation loss is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn


class Method(Protocol):
    """A loss between a student's and a teacher's logits."""

    @property
    def name(self) -> str:
        """Its key in the table."""
        ...

    @property
    def recordable(self) -> bool:
        """Whether a CUDA graph can hold it."""
        ...

    def refuses(self, classes: int) -> str | None:
        """Return why the loss has no gradient for so many classes, or None."""
        ...

    def loss(self, student_NK: Tensor, teacher_NK: Tensor, labels_N: Tensor, temperature: float) -> Tensor:
        """Return a scalar: the batch's mean loss. The teacher's logits carry no gradient."""
        ...


class FeatureMethod(Protocol):
    """A loss between what a part of the student and a part of the teacher give for the same rows.

    Shapes are those of one row: (C,) of a vector, (C, H, W) of a map.
    """

    @property
    def name(self) -> str:
        """Its key in the table."""
        ...

    @property
    def weight(self) -> float:
        """What the loss is multiplied by beside a cross-entropy of weight 1, to count for about as much."""
        ...

    def refuses(self, student_shape: tuple[int, ...], teacher_shape: tuple[int, ...]) -> str | None:
        """Return why features of these shapes cannot be compared, or teach nothing, or None."""
        ...

    def adaptor(self, student_shape: tuple[int, ...], teacher_shape: tuple[int, ...], seed: int) -> nn.Module:
        """Return what the student's features pass before the loss, to be trained with the student.

        Its weights are drawn by *seed*; `nn.Identity` where none is needed.
        """
        ...

    def loss(self, student_features: Tensor, teacher_features: Tensor) -> Tensor:
        """Return a float32 scalar from adapted [N, …] and [N, …]. The teacher's features carry no gradient."""
        ...
