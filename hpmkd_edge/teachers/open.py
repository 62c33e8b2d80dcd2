"""Open a teacher by what the user calls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.python_file import is_python_spec
from hpmkd_edge.tasks.task import Images, Task
from hpmkd_edge.teachers.boosters import open_booster
from hpmkd_edge.teachers.estimator import open_estimator
from hpmkd_edge.teachers.exported_program import open_exported_program
from hpmkd_edge.teachers.hub import is_hub_name
from hpmkd_edge.teachers.logits_file import open_logits_file
from hpmkd_edge.teachers.normalization import Normalization, parse_normalization
from hpmkd_edge.teachers.onnx_file import open_onnx_file
from hpmkd_edge.teachers.request import PROBE_ROWS, TeacherRequest
from hpmkd_edge.teachers.sequence_classifier import open_sequence_classifier
from hpmkd_edge.teachers.teacher import Teacher
from hpmkd_edge.teachers.torch_file import open_torch_file

OPENERS: Final[dict[str, Callable[[TeacherRequest], Teacher]]] = {
    ".pt2": open_exported_program,
    ".onnx": open_onnx_file,
    ".skops": open_estimator,
    ".joblib": open_estimator,
    ".pkl": open_estimator,
    ".pickle": open_estimator,
    ".ubj": open_booster,
    ".json": open_booster,
    ".txt": open_booster,
    ".lgb": open_booster,
    ".cbm": open_booster,
    ".npy": open_logits_file,
    ".npz": open_logits_file,
    ".csv": open_logits_file,
    ".parquet": open_logits_file,
}


def open_teacher(
    spec: str, *, task: Task, weights: Path | None, normalize: str | None, trust: bool, device: str = "cpu"
) -> Teacher:
    """Open a teacher, and ask it for the first training rows.

    Args:
        spec: `file.py:function`, a file of one of the kinds in OPENERS, or a classifier of text of Hugging Face: a
            folder, or owner/name on the hub where no such path is here.
        task: what it is to answer.
        weights: a state dict for the module of `file.py:function`, or None.
        normalize: what `--normalize` says, or None.
        trust: whether files that can run code when loaded may be loaded.
        device: where torch runs; ONNX Runtime and scikit-learn answer on the CPU.

    Raises:
        BadTeacher: it cannot be read, or does not fit the task.
        BadConfiguration: a flag cannot be read, or does not belong to this kind of teacher.
    """
    request = TeacherRequest(
        spec=spec,
        task=task,
        weights=weights,
        normalization=_normalization(normalize, task),
        trust=trust,
        device=device,
    )
    suffix = Path(spec).suffix.lower()
    if is_python_spec(spec):
        teacher: Teacher = open_torch_file(request)
    elif Path(spec).expanduser().is_dir():
        teacher = open_sequence_classifier(request)
    elif suffix in OPENERS:
        teacher = OPENERS[suffix](request)
    elif is_hub_name(spec):
        teacher = open_sequence_classifier(request)
    else:
        raise BadTeacher(
            f"{spec} is no kind of teacher; file.py:function or {', '.join(OPENERS)}, or for text a folder of Hugging"
            " Face or owner/name on its hub, is needed."
        )
    check_teacher(teacher, task)
    return teacher


def _normalization(normalize: str | None, task: Task) -> Normalization | None:
    if normalize is None:
        return None
    if not isinstance(task.train.inputs, Images):
        kind = "text" if task.kind == "text" else "a table"
        raise BadConfiguration(f"--normalize {normalize} is for images; the task has {kind}.")
    return parse_normalization(normalize, task.train.inputs.pixels.shape[-1])


def check_teacher(teacher: Teacher, task: Task) -> None:
    """Make sure that a teacher answers the first training rows with finite numbers, one a class or one value.

    Raises:
        BadTeacher: it fails, or its answer has another shape or numbers that are not finite.
    """
    probe = task.train.take(np.arange(min(PROBE_ROWS, len(task.train))))
    answers = teacher.logits(probe)
    wanted = (len(probe), task.outputs)
    if answers.shape[-1] != wanted[-1] and task.goal == "value":
        raise BadTeacher(
            f"{teacher.name} gives {answers.shape[-1]} numbers a row; the label is a value, and one is needed, as a"
            " regressor gives it."
        )
    if answers.shape[-1] != wanted[-1]:
        raise BadTeacher(
            f"{teacher.name} gives {answers.shape[-1]} classes; the task has {wanted[-1]}: {', '.join(task.classes)}."
        )
    if answers.shape != wanted:
        raise BadTeacher(f"{teacher.name} answers {len(probe)} rows with {answers.shape}; {wanted} is needed.")
    if not np.isfinite(answers).all():
        raise BadTeacher(
            f"{teacher.name} answers the first training rows with NaN or infinity; finite numbers are needed."
        )
