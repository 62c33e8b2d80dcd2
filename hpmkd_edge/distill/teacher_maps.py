"""What a teacher holds inside, for stages that teach by features."""

# Shape suffixes: N = rows.

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hpmkd_edge.distill.first_teacher import TrainedHere
from hpmkd_edge.distill.lesson import View
from hpmkd_edge.distill.taps import tap_features, tap_of
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.store.objects import Store
from hpmkd_edge.tasks.task import Inputs, Rows, Task
from hpmkd_edge.teachers.cached import cached_features
from hpmkd_edge.teachers.teacher import Teacher
from hpmkd_edge.teachers.torch_file import TorchTeacher

AT_ONCE: Final = 256


def maps_of(
    teacher: Teacher, views: Sequence[View], store: Store, tap: str | None, device: torch.device
) -> tuple[Tensor, ...]:
    """Return the teacher's features at *tap* for each view: float16 tensors [N, …] on *device*.

    Args:
        tap: the name of one of its modules, or None for its last maps.

    Raises:
        BadConfiguration: the teacher is no torch module, or has no such tap.
    """
    module, prepare, name = _chosen(teacher, views[0].rows, tap)

    def batches(rows: Rows) -> Iterator[Tensor]:
        for start in range(0, len(rows), AT_ONCE):
            yield prepare(rows.take(np.arange(start, min(start + AT_ONCE, len(rows)))).inputs)

    def features(rows: Rows) -> NDArray[np.floating]:
        return tap_features(module, name, batches(rows))

    return tuple(
        torch.from_numpy(np.array(cached_features(teacher.digest, name, view.rows, store, features))).to(device)
        for view in views
    )


def can_open(teacher: Teacher) -> bool:
    """Tell whether features can be read from *teacher*."""
    return isinstance(teacher, TrainedHere | TorchTeacher)


def check_open(teacher: Teacher) -> None:
    """Stop before anything is trained if features cannot be read from *teacher*.

    Raises:
        BadConfiguration: it is no torch module.
    """
    _opened(teacher)


def check_taps(teacher: Teacher, task: Task, tap: str | None) -> None:
    """Stop before a student is trained if *teacher* has no *tap*, or none that could be chosen.

    Raises:
        BadConfiguration: it is no torch module, or has no such tap.
    """
    _chosen(teacher, task.train, tap)


def _chosen(teacher: Teacher, rows: Rows, tap: str | None) -> tuple[nn.Module, Callable[[Inputs], Tensor], str]:
    """Return the teacher's module, what makes its input of raw rows, and the tap's name."""
    module, prepare = _opened(teacher)
    name, _ = tap_of(module, prepare(rows.take(np.arange(2)).inputs), tap, "teacher")
    return module, prepare, name


def _opened(teacher: Teacher) -> tuple[nn.Module, Callable[[Inputs], Tensor]]:
    """Return the teacher's module and what makes its input of raw rows."""
    if isinstance(teacher, TrainedHere):
        inlet = teacher.lesson.inlet
        module = teacher.module.cpu().eval()
        return module, lambda inputs: inlet.open(inlet.store(inputs))
    if isinstance(teacher, TorchTeacher):
        own, device = teacher.module, teacher.device
        return own, lambda inputs: teacher.prepare(inputs).to(device)
    raise BadConfiguration(
        f"{teacher.name} ({teacher.kind}) has no modules to read features from; stages by features need a teacher of"
        " the form file.py:function."
    )
