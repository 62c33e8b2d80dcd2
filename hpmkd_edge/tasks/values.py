"""Values to be learned: the units that students learn them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What students learn is `(value − mean) / deviation`; the shipped file multiplies back.

    Attributes:
        mean, deviation: of the labels of train, in the label's units.
    """

    mean: float
    deviation: float

    def standardized(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return values as students learn them."""
        return ((values.astype(np.float64) - self.mean) / self.deviation).astype(np.float32)


def scale_of(task: Task) -> Scale | None:
    """Return the scale of the training labels, or None where classes are learned."""
    if task.goal == "classes":
        return None
    labels_N = task.train.labels.astype(np.float64)
    return Scale(mean=float(np.float32(labels_N.mean())), deviation=float(np.float32(labels_N.std())))


def check_varied(task: Task) -> None:
    """Stop where the label is the same in all rows of a split: it has no scale there, and no R².

    Raises:
        BadData: it is.
    """
    for part, rows in (("train", task.train), ("validation", task.validation), ("test", task.test)):
        if rows.labels.min() == rows.labels.max():
            raise BadData(f"the label is {rows.labels[0]:g} in all {part} rows; values that differ are needed there.")
