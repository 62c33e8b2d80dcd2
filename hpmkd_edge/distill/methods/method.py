"""What a distillation loss is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Method(Protocol):
    """A loss between a student's and a teacher's logits."""

    @property
    def name(self) -> str:
        """Its key in the table."""
        ...

    def refuses(self, classes: int) -> str | None:
        """Return why the loss has no gradient for so many classes, or None."""
        ...

    def loss(self, student_NK: Tensor, teacher_NK: Tensor, labels_N: Tensor, temperature: float) -> Tensor:
        """Return a scalar: the batch's mean loss. The teacher's logits carry no gradient."""
        ...
