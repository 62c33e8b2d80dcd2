"""The progressive chain: each member a finished model that teaches the next (HPM-KD, arXiv 2512.09886)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hpmkd_edge.distill.lesson import Lesson, taught
from hpmkd_edge.distill.torch_link import Trained, key_of, predict, train_link
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.students.family import Family, Shape, Size
from hpmkd_edge.tasks.task import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every training of a run shares.

    Attributes:
        seed: of weights and order.
        folder: where states of trainings lie, one file each, named by content.
        stop: asked after each epoch.
    """

    family: Family
    shape: Shape
    settings: Settings
    seed: int
    folder: Path
    stop: Callable[[], bool]

    def train(self, size: Size, lesson: Lesson, label: str) -> Trained:
        """Train one student of *size*, or take up or read back the training that the folder holds.

        Raises:
            TrainingFailed: the loss is no longer finite.
            Interrupted: *stop* said so; the state is saved.
        """
        student = f"{self.family.digest} {size}"
        key = key_of(lesson, self.settings, seed=self.seed, student=student)
        saved = self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.pt"
        module = self.family.build(size, self.shape, self.seed)
        return train_link(module, lesson, self.settings, seed=self.seed, saved=saved, stop=self.stop, label=label)


def answers_of(module: nn.Module, lesson: Lesson) -> Callable[[Rows], NDArray[np.float32]]:
    """Return *module* as something that answers rows with logits [N, K], for teaching the next link."""

    def answer(rows: Rows) -> NDArray[np.float32]:
        device = lesson.labels.device
        logits = predict(module.to(device), lesson, lesson.inlet.store(rows.inputs).to(device))
        return np.asarray(logits.cpu().numpy(), np.float32)

    return answer


def lesson_through(
    intermediates: Sequence[Size], lesson: Lesson, untaught: Lesson, views: Sequence[Rows], workshop: Workshop
) -> Lesson:
    """Train the *intermediates* in order, and return the lesson that the last of them gives.

    Args:
        lesson: what the first intermediate learns from: the teacher's.
        untaught: the same rows without a teacher.
    """
    for size in intermediates:
        member = workshop.train(size, lesson, f"link {size.label}")
        lesson = taught(
            untaught,
            views,
            answers_of(member.module, untaught),
            sources=f"through {size} of ({lesson.sources})",
        )
    return lesson
