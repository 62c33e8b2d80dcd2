"""What is known of a task and its teachers before anything is trained (meta-features, method §2.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpmkd_edge.tasks.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Meta-features of a task.

    Attributes:
        rows: training rows.
        features: numbers a row: H·W·C of an image, columns of a table.
        imbalance: largest class share over smallest.
        label_entropy: in nats.
    """

    kind: str
    rows: int
    features: int
    classes: int
    imbalance: float
    label_entropy: float


def traits_of(task: Task) -> Traits:
    """Read the meta-features of *task* from its training rows."""
    shares = np.bincount(task.train.labels, minlength=len(task.classes)) / len(task.train)
    present = shares[shares > 0]
    return Traits(
        kind=task.kind,
        rows=len(task.train),
        features=sum(int(np.prod(array.shape[1:])) for array in task.train.inputs.feeds().values()),
        classes=len(task.classes),
        imbalance=float(present.max() / present.min()),
        label_entropy=float(-(present * np.log(present)).sum()),
    )
