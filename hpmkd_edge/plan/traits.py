"""What is known of a task before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass

from hpmkd_edge.tasks.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Meta-features of a task.

    Attributes:
        kind: "images" or "table".
        rows: training rows.
    """

    kind: str
    rows: int
    classes: int


def traits_of(task: Task) -> Traits:
    """Read the meta-features of *task*."""
    return Traits(kind=task.kind, rows=len(task.train), classes=len(task.classes))
