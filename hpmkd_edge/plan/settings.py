"""How a student is trained: the values that the configuration chooses."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

# How a temperature moves; AUTO lets the first tenth of a training choose one of them.
SCHEDULES: Final = ("constant", "cosine", "loss", "convergence", "gap")
AUTO: Final = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One configuration of a training.

    Attributes:
        epochs: passes over the training rows; every rival of a race has the same.
        batch: rows a step.
        learning_rate: the peak, after a linear warm-up of 5 % of the steps and before a cosine to zero.
        label_smoothing: ε of the cross-entropy on labels, direct training and distillation alike.
        ce_weight, kd_weight: of the labels' and of the teacher's loss.
        method: name in the loss table.
        temperature: of the teacher's loss.
        views: augmented copies of the rows, view 0 the rows themselves; 1 where a row has none.
        flip: whether a view may mirror an image.
        mixup: whether all views but the first are mixtures of two images, which the teacher labels as they are.
        optimizer: "adamw", or "sgd" with Nesterov's momentum 0.9.
        schedule: how the temperature moves, one of SCHEDULES, or AUTO; it starts at *temperature*.
        student_tap: the module whose output a loss on features reads; "" for the last maps.
        guidance_drop: probability, a batch, with which each of several guides is left out.
    """

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    ce_weight: float
    kd_weight: float
    method: str
    temperature: float
    views: int
    flip: bool
    mixup: bool = False
    optimizer: str = "adamw"
    schedule: str = "constant"
    student_tap: str = ""
    guidance_drop: float = 0.25

    def as_text(self) -> tuple[tuple[str, str], ...]:
        """Return each setting's name and value, for records."""
        return tuple((field.name, str(getattr(self, field.name))) for field in fields(self))
