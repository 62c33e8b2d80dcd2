"""What all targets of a run share: the task, the teachers and their answers, and what a student can be."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hpmkd_edge.distill.first_teacher import train_teacher
from hpmkd_edge.distill.lesson import Lesson, direct_lesson, taught, training_views
from hpmkd_edge.distill.links import Workshop
from hpmkd_edge.distill.methods.table import find_method
from hpmkd_edge.errors import BadConfiguration, BadOutput, RuntimeUnavailable
from hpmkd_edge.plan.configure import configure
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.plan.traits import traits_of
from hpmkd_edge.python_file import is_python_spec
from hpmkd_edge.request import Request
from hpmkd_edge.run_folder import RunFolder, open_folder
from hpmkd_edge.students.choose import open_family
from hpmkd_edge.students.family import Size
from hpmkd_edge.students.inlet import Inlet, fit_inlet, shape_of
from hpmkd_edge.targets import Target
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Rows, Table, Task
from hpmkd_edge.teachers.cached import cached_logits
from hpmkd_edge.teachers.estimator import fit_boosted
from hpmkd_edge.teachers.open import open_teacher
from hpmkd_edge.teachers.teacher import Teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class Tutor:
    """A teacher at work on this task.

    Attributes:
        answer: its logits [N, K] for any rows, cached on disk by content.
        accuracy: share of the validation rows.
    """

    teacher: Teacher
    trained_here: bool
    answer: Callable[[Rows], NDArray[np.float32]]
    accuracy: float

    def accuracy_on(self, rows: Rows) -> float:
        """Return the share of *rows* whose class it names."""
        return _accuracy(self.answer, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a student may be to be small enough beside its teacher.

    Attributes:
        sizes: of the ladder, fewest parameters first; at least one.
        most_bytes: of its file, or None where parameters decide.
        note: a sentence for the report, where one is needed.
    """

    sizes: tuple[Size, ...]
    most_bytes: float | None
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What all targets of a run share.

    Attributes:
        views: the training rows and their augmented copies.
        untaught: the lesson without a teacher.
        tutors: the teachers, the best on validation rows first.
        lessons: of plain KD, by name: from the best teacher, and from the mean of several.
        ladder: all sizes of the family; *allowance* says which are small enough to ship.
    """

    task: Task
    inlet: Inlet
    views: tuple[Rows, ...]
    untaught: Lesson
    tutors: tuple[Tutor, ...]
    lessons: tuple[tuple[str, Lesson], ...]
    workshop: Workshop
    ladder: tuple[Size, ...]
    allowance: Allowance
    notes: tuple[str, ...]

    @property
    def best(self) -> Tutor:
        """The teacher with the highest validation accuracy."""
        return self.tutors[0]


def cache_folder() -> Path:
    """Return where answers of teachers are kept between runs: `$HPMKD_EDGE_CACHE`, else in the user's cache."""
    own = os.environ.get("HPMKD_EDGE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(base) / "hpmkd-edge"


def choose_device(name: str) -> torch.device:
    """Return the device to train on.

    Raises:
        RuntimeUnavailable: CUDA is asked for, and torch finds none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeUnavailable("--device cuda was given, but torch finds no CUDA device; use --device cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def allowed_sizes(ladder: Sequence[Size], teacher: Teacher, compression: float) -> Allowance:
    """Return what a student may be to be *compression* times smaller than *teacher*.

    Compared in parameters; in the bytes of the files where the teacher has no count of parameters.
    """
    if teacher.parameters is not None:
        most, most_bytes = teacher.parameters / compression, None
    elif teacher.model_bytes is not None:
        most_bytes = teacher.model_bytes / compression
        most = most_bytes / 4  # of fp32 weights alone; the file itself is weighed when it is probed
    else:
        unknown = "The teacher's size is unknown, so no least compression was asked of the student."
        return Allowance(sizes=tuple(ladder), most_bytes=None, note=unknown)
    sizes = tuple(size for size in ladder if size.parameters <= most)
    if sizes:
        return Allowance(sizes=sizes, most_bytes=most_bytes, note=None)
    teachers = f"{teacher.parameters:,} parameters" if teacher.parameters else f"{teacher.model_bytes:,} bytes"
    none = (
        f"No size of the family is {compression:g} times smaller than the teacher ({teachers}); the smallest,"
        f" {ladder[0].label}, has {ladder[0].parameters:,} parameters of 4 bytes."
    )
    return Allowance(sizes=(ladder[0],), most_bytes=most_bytes, note=none)


def prepare(request: Request, targets: Sequence[Target], folder: RunFolder, stop: Callable[[], bool]) -> Preparation:
    """Read data and teachers, train a teacher if there is none, and lay out what a student can be.

    Everything that the user can have got wrong is read before the folder is made.

    Raises:
        BadData, BadTeacher, BadStudent, BadConfiguration, BadOutput: see each.
    """
    device = choose_device(request.device)
    task = open_task(request.data, label=request.label, split=request.split, split_seed=request.split_seed)
    weights = iter(request.weights)
    teachers = [
        open_teacher(
            spec,
            task=task,
            weights=next((Path(path) for path in weights), None) if is_python_spec(spec) else None,
            normalize=request.normalize,
            trust=request.trust,
            device=str(device),
        )
        for spec in request.teachers
    ]
    _check_columns(task, targets)
    family = open_family(request.student, task)
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    ladder = family.ladder(shape)
    settings, notes = _settings(request, task, teachers)
    _check_cache()
    open_folder(folder, request)

    views = training_views(task.train, count=settings.views, flip=settings.flip, seed=request.seed)
    sources = f"views {settings.views} flip {settings.flip} seed {request.seed}"
    untaught = direct_lesson(task, inlet, views, device=device, sources=sources)
    workshop = Workshop(
        family=family, shape=shape, settings=settings, seed=request.seed, folder=folder.trainings, stop=stop
    )
    if not teachers:
        own: Teacher = train_teacher(untaught, workshop) if task.kind == "images" else fit_boosted(task, request.seed)
        notes.append(f"No teacher was given, so one was trained on this data's training rows: {own.name}.")
        teachers = [own]
    tutors = sorted(
        (_tutor(teacher, task, trained_here=not request.teachers) for teacher in teachers),
        key=lambda tutor: -tutor.accuracy,
    )
    allowance = allowed_sizes(ladder, tutors[0].teacher, request.compression)
    return Preparation(
        task=task,
        inlet=inlet,
        views=views,
        untaught=untaught,
        tutors=tuple(tutors),
        # Once for all rounds and targets: every answer that is read back from the cache is hashed again.
        lessons=_lessons(tutors, untaught, views),
        workshop=workshop,
        ladder=ladder,
        allowance=allowance,
        notes=(*notes, *filter(None, [allowance.note])),
    )


def _check_cache() -> None:
    """Stop before a teacher is trained whose answers could not be kept."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadOutput(
            f"the cache {folder} cannot be written: {error.strerror}; set HPMKD_EDGE_CACHE to a folder that can."
        ) from error


def _check_columns(task: Task, targets: Sequence[Target]) -> None:
    """Stop before a file is made that its runtime cannot load: TensorRT has no text."""
    if not isinstance(task.train.inputs, Table):
        return
    text = [repr(column.name) for column in task.train.inputs.columns if column.kind == "category"]
    for target in targets:
        if text and target.runtime == "tensorrt":
            raise BadConfiguration(
                f"target {target.name} runs TensorRT, which takes no text, and {', '.join(text)} hold text; give a"
                " target whose runtime is onnxruntime, or the columns as numbers."
            )


def _settings(request: Request, task: Task, teachers: Sequence[Teacher]) -> tuple[Settings, list[str]]:
    views, notes = request.views, []
    if task.kind == "table" and (views is not None or request.flip):
        raise BadConfiguration("--views and --flip are for images; this task is a table: leave them out.")
    if not all(teacher.answers_new_rows for teacher in teachers):
        # A student must not see rows that its teacher has not: a file of logits knows the rows as they are.
        views = 1
        notes.append("A file of logits answers the rows as they are, so the training rows were not augmented.")
    settings = configure(
        traits_of(task),
        epochs=request.epochs,
        views=views,
        flip=request.flip,
        method=request.method,
        temperature=request.temperature,
    )
    find_method(settings.method, len(task.classes))
    return settings, notes


def _tutor(teacher: Teacher, task: Task, *, trained_here: bool) -> Tutor:
    def answer(rows: Rows) -> NDArray[np.float32]:
        return cached_logits(teacher, rows, cache_folder() / "logits")

    accuracy = _accuracy(answer, task.validation)
    return Tutor(teacher=teacher, trained_here=trained_here, answer=answer, accuracy=accuracy)


def _accuracy(answer: Callable[[Rows], NDArray[np.float32]], rows: Rows) -> float:
    return float((answer(rows).argmax(1) == rows.labels).mean())


def _lessons(tutors: Sequence[Tutor], untaught: Lesson, views: Sequence[Rows]) -> tuple[tuple[str, Lesson], ...]:
    best = tutors[0]
    lessons = [(f"KD from {best.teacher.name}", taught(untaught, views, best.answer, sources=best.teacher.digest))]
    if len(tutors) > 1:

        def mean(rows: Rows) -> NDArray[np.float32]:
            """Return the logarithm of the teachers' mean probabilities, [N, K]."""
            logits = torch.stack([torch.from_numpy(np.array(tutor.answer(rows))) for tutor in tutors])
            return np.asarray(torch.softmax(logits, 2).mean(0).clamp_min(1e-7).log().numpy(), np.float32)

        digests = " ".join(tutor.teacher.digest for tutor in tutors)
        lessons.append((f"KD from the mean of {len(tutors)}", taught(untaught, views, mean, sources=digests)))
    return tuple(lessons)
