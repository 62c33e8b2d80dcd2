"""A teacher for those who bring none: the largest network of the residual family that the rows can pay for."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.links import answers_of
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.distill.workshop import Workshop
from hpmkd_edge.students.convolution import RESIDUAL
from hpmkd_edge.students.family import Size, count_parameters
from hpmkd_edge.students.inherit import digest_of_weights
from hpmkd_edge.students.inlet import ImageInlet
from hpmkd_edge.tasks.task import Rows
from hpmkd_edge.teachers.teacher import TorchGraph

# Multiply-adds of a whole training, forward and backward: some minutes on two cores.
TRAINING_MACS: Final = 2e13
# More than this, digits of 8×8 pixels did not pay back: 1.1 M parameters answered as 0.4 M do.
PARAMETERS_A_ROW: Final = 320


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedHere:
    """A torch module trained on the task's own rows, as a teacher."""

    name: str
    module: nn.Module
    lesson: Lesson
    digest: str
    kind: str = "torch"

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return count_parameters(self.module)

    @property
    def model_bytes(self) -> int:
        """Bytes of its weights and buffers."""
        return sum(value.numel() * value.element_size() for value in self.module.state_dict().values())

    @property
    def preprocessing(self) -> str:
        """The student's own."""
        return "the student's own (per-channel mean and deviation of the training images)"

    @property
    def answers_new_rows(self) -> bool:
        """It can be asked about augmented rows."""
        return True

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Answer *rows*: float32 [N, K]."""
        return answers_of(self.module, self.lesson)(rows)

    def graph(self) -> TorchGraph:
        """What can be timed beside the student."""
        stored = self.lesson.validation[:1].cpu()
        return TorchGraph(module=self.module.cpu().eval(), example=self.lesson.inlet.open(stored))


def teacher_size(workshop: Workshop, rows: int) -> Size:
    """Return the largest rung that *rows* training rows pay for, in parameters and in minutes.

    A rung of p parameters does about p·H·W/7 multiply-adds an image: its three stages cost the same each, and hold
    1, 4 and 16 parts of the parameters.
    """
    _, height, width = workshop.shape.features
    ladder = RESIDUAL.ladder(workshop.shape)
    paid = [
        size
        for size in ladder
        if size.parameters <= PARAMETERS_A_ROW * rows
        and 3 * size.parameters * height * width / 7 * rows * workshop.settings.epochs <= TRAINING_MACS
    ]
    return paid[-1] if paid else ladder[0]


def train_teacher(lesson: Lesson, workshop: Workshop) -> TrainedHere:
    """Train a teacher for images on labels alone; *workshop* gives seed, settings and the folder of states."""
    assert isinstance(lesson.inlet, ImageInlet)
    workshop = replace(workshop, family=RESIDUAL, settings=replace(workshop.settings, label_smoothing=0.05))
    size = teacher_size(workshop, len(lesson.labels))
    trained: Trained = workshop.train(size, lesson, f"teacher {size.label}")
    digest = hashlib.sha256(f"{lesson.sources} {digest_of_weights(trained.module.state_dict())}".encode()).hexdigest()
    return TrainedHere(name=f"{size.label}, trained here", module=trained.module, lesson=lesson, digest=digest)
