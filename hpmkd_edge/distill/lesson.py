"""What a training reads: the rows and their views, and what the teachers answer to each of them."""

# Shape suffixes: N = rows, K = classes, V = views.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpmkd_edge.kernels.augment import shift_images
from hpmkd_edge.students.inlet import Inlet
from hpmkd_edge.tasks.task import Images, Rows, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """The material of one training, on its device.

    Attributes:
        inlet: turns stored rows into features, a batch at a time.
        views: V tensors of stored rows, [N, …] each.
        labels: int64 [N].
        teacher: V tensors of logits, float32 [N, K] each, or empty for training on labels alone.
        validation: stored rows, not augmented; *validation_labels* int64.
        sources: text that names the content of all of this, for keys of saved work.
    """

    inlet: Inlet
    views: tuple[Tensor, ...]
    labels: Tensor
    teacher: tuple[Tensor, ...]
    validation: Tensor
    validation_labels: Tensor
    sources: str


def training_views(rows: Rows, *, count: int, flip: bool, seed: int) -> tuple[Rows, ...]:
    """Return *count* views of *rows*: the rows themselves, then shifted (and mirrored) copies of the images.

    Each copy follows from *seed* and its number alone, so a teacher that is asked once about each view has answered
    for every epoch.
    """
    views = [rows]
    if isinstance(rows.inputs, Images):
        pixels = rows.inputs.pixels
        reach = max(1, round(min(pixels.shape[1:3]) / 8))
        for number in range(1, count):
            moved = shift_images(pixels, seed=seed * 1009 + number, reach=reach, flip=flip)
            views.append(replace(rows, inputs=Images(pixels=moved)))
    return tuple(views)


def direct_lesson(task: Task, inlet: Inlet, views: Sequence[Rows], *, device: torch.device, sources: str) -> Lesson:
    """Return the material for training on labels alone."""
    return Lesson(
        inlet=inlet,
        views=tuple(inlet.store(view.inputs).to(device) for view in views),
        labels=torch.from_numpy(task.train.labels).to(device),
        teacher=(),
        validation=inlet.store(task.validation.inputs).to(device),
        validation_labels=torch.from_numpy(task.validation.labels).to(device),
        sources=f"{task.digest} {sources}",
    )


def taught(
    lesson: Lesson, views: Sequence[Rows], answer: Callable[[Rows], NDArray[np.float32]], *, sources: str
) -> Lesson:
    """Return *lesson* with a teacher: *answer* gives its logits [N, K] for each of the *views*."""
    device = lesson.labels.device
    # Copied: a cached answer is a read-only map of a file.
    answers = tuple(torch.from_numpy(np.array(answer(view), np.float32)).to(device) for view in views)
    return replace(lesson, teacher=answers, sources=f"{lesson.sources} {sources}")
