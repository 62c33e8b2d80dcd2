"""What all targets of a run share: the task, the teachers and their answers, and what a student can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from hpmkd_edge import __version__
from hpmkd_edge.allowance import Allowance, allowed_sizes, any_size, rung
from hpmkd_edge.distill.configuration import Experience, choose_schedule, settle
from hpmkd_edge.distill.curriculum import Curriculum
from hpmkd_edge.distill.executors import LocalProcesses
from hpmkd_edge.distill.first_teacher import train_teacher
from hpmkd_edge.distill.lesson import Lesson, View, direct_lesson, taught, training_views
from hpmkd_edge.distill.methods.table import FEATURE_METHODS, METHODS, feels_temperature, find_method, is_feature_method
from hpmkd_edge.distill.mixture import Mixture, mixtures
from hpmkd_edge.distill.stages import StagePlan, parse_stages, plan_stages
from hpmkd_edge.distill.step_choice import plan_for
from hpmkd_edge.distill.taps import tap_of
from hpmkd_edge.distill.teacher_maps import can_open, check_open, check_taps, maps_of
from hpmkd_edge.distill.tutor import Tutor, tutor_of
from hpmkd_edge.distill.workshop import Workshop
from hpmkd_edge.errors import BadConfiguration, BadTeacher, RuntimeUnavailable
from hpmkd_edge.plan.components import Components, without
from hpmkd_edge.plan.configure import configure
from hpmkd_edge.plan.memory import Memory
from hpmkd_edge.plan.portfolio import read_portfolio
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.plan.traits import traits_of
from hpmkd_edge.python_file import is_python_spec
from hpmkd_edge.request import Request
from hpmkd_edge.run_folder import RunFolder, open_folder
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.students.choose import open_family
from hpmkd_edge.students.inlet import Inlet, fit_inlet, shape_of
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Task
from hpmkd_edge.teachers.estimator import fit_boosted
from hpmkd_edge.teachers.open import open_teacher
from hpmkd_edge.teachers.teacher import Teacher
from hpmkd_edge.teachers.text_pipeline import fit_text_pipeline
from hpmkd_edge.tracking.journal import Journal
from hpmkd_edge.wording import lexicon_for, unlabeled_for, with_room


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What all targets of a run share.

    Attributes:
        tutors: the teachers, the best on validation rows first.
        curriculum: what every student is taught from; its ladder has all sizes of the family.
        allowance: which sizes are small enough to ship.
    """

    task: Task
    inlet: Inlet
    tutors: tuple[Tutor, ...]
    curriculum: Curriculum
    allowance: Allowance
    notes: tuple[str, ...]

    @property
    def workshop(self) -> Workshop:
        """Where students are trained."""
        return self.curriculum.workshop

    def under(self, target: str) -> Preparation:
        """Return it for one *target*: those who follow the run are told of its trainings under that name."""
        workshop = self.workshop
        if workshop.journal is None:
            return self
        told = replace(workshop, journal=replace(workshop.journal, scope=target))
        return replace(self, curriculum=replace(self.curriculum, workshop=told))

    @property
    def teacher_forwards(self) -> int:
        """How often a teacher has answered a set of rows in this run."""
        counts = self.tutors[0].store.counts
        return counts["logits"].misses if "logits" in counts else 0

    def facts(self, run_id: str) -> dict[str, str]:
        """Return the metadata that makes a student's file alone enough on the board."""
        return {
            "hpmkd_edge.version": __version__,
            "hpmkd_edge.run_id": run_id,
            "hpmkd_edge.task": self.task.name,
            "hpmkd_edge.data_sha256": self.task.digest,
            "hpmkd_edge.goal": self.task.goal,
            "hpmkd_edge.classes": json.dumps(self.task.classes, ensure_ascii=False),
            "hpmkd_edge.preprocessing": json.dumps(self.inlet.facts(), ensure_ascii=False),
        }

    @property
    def best(self) -> Tutor:
        """The teacher with the highest validation accuracy."""
        return self.tutors[0]


def choose_device(name: str) -> torch.device:
    """Return the device to train on.

    Raises:
        RuntimeUnavailable: CUDA is asked for, and torch finds none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeUnavailable("--device cuda was given, but torch finds no CUDA device; use --device cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def task_of(request: Request) -> Task:
    """Open the data that *request* names; see `tasks.source.open_task`."""
    return open_task(
        request.data,
        label=request.label,
        split=request.split,
        split_seed=request.split_seed,
        schema=request.schema,
        goal=request.goal,
        text=request.text,
    )


def teachers_of(request: Request, task: Task, device: torch.device) -> list[Teacher]:
    """Open the teachers that *request* names, in its order; none where it names none."""
    weights = iter(request.weights)
    return [
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


def prepare(
    request: Request, folder: RunFolder, stop: Callable[[], bool], journal: Journal | None = None
) -> Preparation:
    """Read data and teachers, train a teacher if there is none, and lay out what a student can be.

    Everything that the user can have got wrong is read before the folder is made.

    Args:
        journal: where epochs are written down for those who follow the run.

    Raises:
        BadData, BadTeacher, BadStudent, BadConfiguration, BadOutput: see each.
    """
    device = choose_device(request.device)
    task = task_of(request)
    teachers = teachers_of(request, task, device)
    family = open_family(request.student, task)
    inlet = fit_inlet(task, lexicon_for(request, task, teachers))
    unlabeled, left_out = unlabeled_for(request, task)
    shape = shape_of(inlet, task)
    ladder = family.ladder(shape)
    components = without(request.without)
    rungs = ladder if request.size is None else (rung(ladder, request.size),)
    settings, notes = _settings(request, task, teachers, family.name)
    if unlabeled is not None:
        settings, used = with_room(settings, unlabeled, request, task)
        notes += [*left_out, used]
    plan = _stage_plan(request, settings, task, teachers)
    by_features = plan is not None and any(is_feature_method(stage.method) for stage in plan.stages)
    if by_features:
        tap_of(family.build(rungs[0], shape, request.seed), shape.example(2), request.student_tap, "student")
    # The user's store, or one of the run's own where nothing is kept between runs; opened before anything is trained
    # whose outcome could not be kept.
    shared = open_store() if components.uses("memory") else None
    open_folder(folder, request)
    store = shared or open_store(folder.own_store)

    views = training_views(
        task.train,
        count=settings.views,
        flip=settings.flip,
        mixup=settings.mixup,
        unlabeled=unlabeled,
        folder=folder.views,
        alike=None if shape.lexicon is None else shape.lexicon.alike,
    )
    sources = f"views {settings.views} flip {settings.flip} mixup {settings.mixup}"
    untaught = direct_lesson(task, inlet, views, device=device, sources=sources, folder=folder.views)
    workers = _workers(request, components, device)
    workshop = Workshop(
        family=family,
        shape=shape,
        settings=settings,
        seed=request.seed,
        folder=folder.trainings,
        stop=stop,
        store=store,
        executor=LocalProcesses(workers, max(1, torch.get_num_threads() // workers)),
        workers=workers,
        plan_of=partial(plan_for, shape, untaught, settings, store, request.seed),
        journal=journal,
    )
    if not teachers:
        teachers = [_own_teacher(task, untaught, workshop)]
        notes.append(f"No teacher was given, so one was trained on this data's training rows: {teachers[0].name}.")
    tutors = sorted(
        (tutor_of(teacher, task, store, trained_here=not request.teachers) for teacher in teachers),
        key=lambda tutor: -tutor.accuracy,
    )
    _refuse_useless(tutors[0], task)
    if by_features:
        check_taps(tutors[0].teacher, task, request.teacher_tap)
    allowance = (
        any_size(rungs, "Weighed words are a teacher smaller than most students")
        if task.kind == "text" and not request.teachers
        else allowed_sizes(rungs, tutors[0].teacher, request.compression)
    )
    memory = None if shared is None else Memory(shared.engine)
    experience = _experience(task, tutors[0], memory, request.seed, folder.state / "remembered.json")
    best, several = _lessons(tutors, untaught, views, components, request.seed)
    curriculum = Curriculum(
        workshop=workshop,
        components=components,
        untaught=untaught,
        views=views,
        teacher=best,
        teachers=tuple((tutor.teacher.name, tutor.accuracy) for tutor in tutors),
        teacher_parameters=tutors[0].teacher.parameters,
        # A teacher that was trained here is the best that this data gave: there is none to ask for in its place.
        refuse_weak=bool(request.teachers) and not request.accept_weak_teacher,
        mixtures=several,
        labels=untaught.validation_labels.cpu().numpy(),
        ladder=ladder,
        settle=(
            partial(settle, experience=experience, portfolio=read_portfolio().recipes)
            if components.uses("configuration")
            else None
        ),
        experience=experience,
        schedule=request.schedule or choose_schedule(experience.trials(), experience.traits),
        stages=plan,
        maps=partial(maps_of, tutors[0].teacher, views, store, request.teacher_tap, device),
    )
    return Preparation(
        task=task,
        inlet=inlet,
        tutors=tuple(tutors),
        curriculum=curriculum,
        allowance=allowance,
        notes=(*task.notes, *notes, *filter(None, [allowance.note])),
    )


def _own_teacher(task: Task, untaught: Lesson, workshop: Workshop) -> Teacher:
    """Train the teacher of a run that is given none."""
    if task.kind == "images":
        return train_teacher(untaught, workshop)
    return fit_text_pipeline(task, workshop.seed) if task.kind == "text" else fit_boosted(task, workshop.seed)


def _refuse_useless(best: Tutor, task: Task) -> None:
    """Stop where the *best* teacher knows nothing: what a student keeps of that is no share."""
    if best.accuracy > 0:
        return
    rows = f"the {len(task.validation)} validation rows"
    if task.goal == "value":
        raise BadTeacher(
            f"{best.teacher.name} has an R² of {best.accuracy:.4f} on {rows}, no better than their mean; a teacher that"
            " knows the label, in its own units, is needed, or other columns."
        )
    raise BadTeacher(
        f"{best.teacher.name} names the class of none of {rows}; check the order of its classes and its input."
    )


def _workers(request: Request, components: Components, device: torch.device) -> int:
    """Return how many trainings run side by side: as many as there are cores, on a GPU one."""
    if not components.uses("parallel"):
        return 1
    return request.workers or (torch.get_num_threads() if device.type == "cpu" else 1)


def _experience(task: Task, best: Tutor, memory: Memory | None, seed: int, kept: Path) -> Experience:
    return Experience(
        memory=memory,
        task=task.digest,
        name=task.name,
        traits=traits_of(task, teacher_parameters=best.teacher.parameters, teacher_accuracy=best.accuracy),
        teacher_accuracy=best.accuracy,
        seed=seed,
        kept=kept,
    )


def _stage_plan(request: Request, settings: Settings, task: Task, teachers: Sequence[Teacher]) -> StagePlan | None:
    if not request.stages:
        return None
    if task.goal == "value":
        raise BadConfiguration(
            "--stages hold a student near its own earlier probabilities, and this task's label is a value; leave them"
            " out."
        )
    plan = plan_stages(
        parse_stages(request.stages),
        settings.epochs,
        known=(*METHODS, *FEATURE_METHODS),
        weighting=request.stage_weighting,
    )
    by_logits = [stage.method for stage in plan.stages if not is_feature_method(stage.method)]
    for name in by_logits:
        find_method(name, len(task.classes))
    if len(by_logits) < len(plan.stages):
        _check_modules(task, teachers)
    return plan


def _check_modules(task: Task, teachers: Sequence[Teacher]) -> None:
    """Stop at once where no teacher can have features to read."""
    if not teachers and task.kind != "images":
        grown = "trees that are grown for a table" if task.kind == "table" else "words that are counted in texts"
        raise BadConfiguration(
            f"--stages by features need a teacher of the form file.py:function, and none is given; the {grown} have no"
            " features."
        )
    if teachers and not any(can_open(teacher) for teacher in teachers):
        check_open(teachers[0])


def _settings(request: Request, task: Task, teachers: Sequence[Teacher], family: str) -> tuple[Settings, list[str]]:
    views, notes = request.views, []
    if task.kind != "images" and (request.flip or request.mixup):
        found = "text" if task.kind == "text" else "a table"
        raise BadConfiguration(f"--flip and --mixup are for images; this task is {found}: leave them out.")
    if not all(teacher.answers_new_rows for teacher in teachers):
        # A student must not see rows that its teacher has not: a file of logits knows the rows as they are.
        if request.unlabeled is not None:
            raise BadConfiguration(
                "--unlabeled is for teachers that answer new sentences, and a file of logits answers the training rows"
                " alone; leave it out."
            )
        views = 1
        notes.append("A file of logits answers the rows as they are, so the training rows were not augmented.")
    settings = configure(
        traits_of(task, family=family),
        epochs=request.epochs,
        views=views,
        flip=request.flip,
        mixup=request.mixup,
        student_tap=request.student_tap,
        method=request.method,
        temperature=request.temperature,
    )
    find_method(settings.method, len(task.classes))
    if not feels_temperature(settings.method):
        for flag, value in (("--temperature", request.temperature), ("--schedule", request.schedule)):
            if value is not None:
                other = "" if task.goal == "value" else ", or choose a --method that has one, such as kd"
                raise BadConfiguration(
                    f"{flag} is given, and the loss {settings.method} has no temperature; leave it out{other}."
                )
    return settings, notes


def _lessons(
    tutors: Sequence[Tutor], untaught: Lesson, views: Sequence[View], components: Components, seed: int
) -> tuple[tuple[str, Lesson], tuple[Mixture, ...]]:
    """Return the lesson of the best teacher, by name, and those of all together."""
    best = tutors[0]
    name = f"KD from {best.teacher.name}"
    sources = [tutor.source for tutor in tutors]
    several = mixtures(untaught, views, sources, attention=components.uses("attention"), seed=seed)
    return (name, taught(untaught, views, best.answer, sources=best.source.digest)), several
