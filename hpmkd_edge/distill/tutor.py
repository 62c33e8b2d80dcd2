"""A teacher at work on a task: what it answers to training rows, and how good it is on held-out ones."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.grading import Misses, misses_of, score_of
from hpmkd_edge.distill.mixture import Source
from hpmkd_edge.distill.teacher_haste import hastened, may_hasten
from hpmkd_edge.store.objects import Store
from hpmkd_edge.tasks.task import Rows, Task
from hpmkd_edge.tasks.values import Scale, scale_of
from hpmkd_edge.teachers.cached import cached_logits
from hpmkd_edge.teachers.teacher import Teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class Tutor:
    """A teacher at work on this task.

    Attributes:
        store: where its answers are kept, by content.
        hasty: whether it answers training rows in bfloat16; see `distill.teacher_haste`.
        scale: of values, or None where classes are learned.
        accuracy: share of the validation rows; of values R².
    """

    teacher: Teacher
    trained_here: bool
    store: Store
    hasty: bool
    scale: Scale | None
    accuracy: float

    def answer(self, rows: Rows) -> NDArray[np.floating]:
        """Return its logits [N, K] for training rows, from the store where they are there, in half precision.

        Values [N, 1] are standardized, as students learn them; they are kept in float32, since in the label's units
        they may lie beyond float16, or between two of its numbers.
        """
        if self.scale is not None:
            return self.scale.standardized(cached_logits(self.teacher, rows, self.store))
        return cached_logits(self.teacher, rows, self.store, half=True, ask=hastened if self.hasty else None)

    @property
    def source(self) -> Source:
        """What a lesson needs of it."""
        digest = f"{self.teacher.digest}{' in bfloat16' if self.hasty else ''}"
        return Source(name=self.teacher.name, digest=digest, answer=self.answer)

    def accuracy_on(self, rows: Rows) -> float:
        """Return the share of *rows* whose class it names; of values R²."""
        return score_of(cached_logits(self.teacher, rows, self.store), rows.labels)

    def misses_on(self, rows: Rows) -> Misses | None:
        """Return how far from values its answers to *rows* lie; None where classes are learned."""
        return misses_of(cached_logits(self.teacher, rows, self.store), rows.labels)


def tutor_of(teacher: Teacher, task: Task, store: Store, *, trained_here: bool) -> Tutor:
    """Ask *teacher* about the validation rows of *task*, and return it at work."""
    return Tutor(
        teacher=teacher,
        trained_here=trained_here,
        store=store,
        hasty=task.goal == "classes" and may_hasten(teacher, task.train, store),
        scale=scale_of(task),
        accuracy=score_of(cached_logits(teacher, task.validation, store), task.validation.labels),
    )
