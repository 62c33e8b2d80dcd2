"""The arms of an ablation with one seed: how each departs from the full pipeline, and what its student is worth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from torch import nn

from hpmkd_edge import __version__
from hpmkd_edge.bench.scoring import answer, score
from hpmkd_edge.distill.configuration import Experience, choose_schedule, settle
from hpmkd_edge.distill.curriculum import Curriculum, train_best
from hpmkd_edge.distill.executors import InProcess
from hpmkd_edge.distill.methods.table import FEATURE_METHODS, METHODS, feels_temperature
from hpmkd_edge.distill.mixture import Source, mixtures
from hpmkd_edge.distill.stages import StagePlan, parse_stages, plan_stages
from hpmkd_edge.distill.teacher_maps import check_open
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.distill.workshop import Workshop
from hpmkd_edge.errors import BadConfiguration, unknown
from hpmkd_edge.evidence import DIRECT, FULL, PLAIN_KD, STAGES, ArmRun, Basis, TeacherScore
from hpmkd_edge.export.conversion import convert
from hpmkd_edge.plan.chain import intermediates
from hpmkd_edge.plan.memory import Memory
from hpmkd_edge.plan.portfolio import read_portfolio
from hpmkd_edge.plan.traits import traits_of
from hpmkd_edge.preparation import Preparation, prepare
from hpmkd_edge.record import DataRecord
from hpmkd_edge.request import Request
from hpmkd_edge.run_folder import RunFolder
from hpmkd_edge.students.family import Size
from hpmkd_edge.targets import find_target, load_targets

PARITY_ROWS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where the arms of one seed are run.

    Attributes:
        request: with this seed.
        preparation: its curriculum is that of the full arm but for stages, which are an arm of their own.
        end: the student's size.
        stages: of the arm with stages; None where it does not apply.
        experience: what the full arm knows of earlier runs.
        refuse_weak: whether the full arm refuses a teacher that does not beat direct training; no other arm does.
        folder: where files lie that a resumed ablation takes up.
        scored: digest and test accuracy of each student's exported file, by its weights.
    """

    request: Request
    preparation: Preparation
    end: Size
    stages: StagePlan | None
    experience: Experience
    refuse_weak: bool
    folder: Path
    scored: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def basis(self) -> Basis:
        """What all arms share, whatever the seed."""
        task, curriculum = self.preparation.task, self.preparation.curriculum
        return Basis(
            data=DataRecord(
                name=task.name,
                source=task.source,
                kind=task.kind,
                sha256=task.digest,
                split_rule=task.split_rule,
                train_rows=len(task.train),
                validation_rows=len(task.validation),
                test_rows=len(task.test),
            ),
            student=self.end.label,
            parameters=self.end.parameters,
            epochs=curriculum.workshop.settings.epochs,
            stages=",".join(stage.method for stage in self.stages.stages) if self.stages else "",
            device=curriculum.untaught.labels.device.type,
        )

    def teachers(self) -> tuple[TeacherScore, ...]:
        """Score the teachers, the best on validation rows first."""
        return tuple(
            TeacherScore(
                seed=self.request.seed,
                name=tutor.teacher.name,
                sha256=tutor.teacher.digest,
                trained_here=tutor.trained_here,
                validation_accuracy=tutor.accuracy,
                test_accuracy=tutor.accuracy_on(self.preparation.task.test),
            )
            for tutor in self.preparation.tutors
        )

    def moot(self, arm: str) -> str | None:
        """Return why *arm* is the full one here, or None where it is one of its own."""
        base, component = self.preparation.curriculum, arm.removeprefix("without-")
        if arm == STAGES and self.stages is None:
            return "an epoch cannot be divided"
        if not arm.startswith("without-"):
            return None
        if not base.components.uses(component):
            return f"off in every arm (--without {component})"
        method = base.workshop.settings.method
        reasons = {
            "attention": "one teacher" if len(self.preparation.tutors) < 2 else None,
            "temperature": None if feels_temperature(method) else f"the loss {method} has no temperature",
            "chain": None
            if intermediates(base.ladder, self.end, base.teacher_parameters, 1)
            else "the ladder has no room between teacher and student",
            "parallel": "one worker" if base.workshop.workers < 2 else None,
            "memory": None if self.experience.trials() else "the memory holds no run on another task of this kind",
        }
        return reasons.get(component)

    def curriculum(self, arm: str, workshop: Workshop) -> Curriculum:
        """Return what a student of *arm* is taught from, in *workshop*."""
        component = arm.removeprefix("without-")
        refuse = self.refuse_weak and arm == FULL
        base = replace(self.preparation.curriculum, workshop=workshop, stages=None, refuse_weak=refuse)
        if arm == STAGES:
            return replace(base, stages=self.stages)
        if arm != FULL:
            base = replace(base, components=replace(base.components, off=base.components.off | {component}))
        if component == "configuration":
            return replace(base, settle=None)
        if component == "attention":
            sources = [
                Source(name=tutor.teacher.name, digest=tutor.teacher.digest, answer=tutor.answer)
                for tutor in self.preparation.tutors
            ]
            alike = mixtures(base.untaught, base.views, sources, attention=False, seed=workshop.seed)
            return replace(base, mixtures=alike)
        if component == "memory":
            forgetful = partial(
                settle, experience=replace(self.experience, memory=None), portfolio=read_portfolio().recipes
            )
            return replace(
                base,
                settle=forgetful if base.settle is not None else None,
                schedule=self.request.schedule or choose_schedule((), self.experience.traits),
            )
        return base

    def run(self, arm: str, full: ArmRun | None) -> ArmRun:
        """Train the students of *arm*, export the one that wins, and score the file on the test rows.

        Args:
            full: the run of the full arm, whose numbers an arm that is no different has; None for the full arm.

        Raises:
            BadTeacher: the teacher is no better than the student on labels alone, and that is refused.
            Interrupted: the user asked to stop; the trainings are saved.
        """
        reason = self.moot(arm)
        if reason is not None:
            assert full is not None
            return replace(full, arm=arm, moot=reason)
        workshop = replace(self.preparation.workshop, spent={})
        if arm == "without-parallel":
            # Nothing is read back, so that the trainings are done again, one after the other, on as many threads as
            # beside each other: that the file is the same is seen, and not taken from the store.
            workshop = replace(workshop, executor=InProcess(), store=None, folder=self.folder / "one-by-one")
            workshop.folder.mkdir(exist_ok=True)
        won_by, trained = self.train(arm, workshop)
        sha256, accuracy = self.score(trained.module)
        return ArmRun(
            arm=arm,
            seed=self.request.seed,
            validation_accuracy=trained.accuracy,
            test_accuracy=accuracy,
            won_by=won_by,
            trainings=len(workshop.spent),
            seconds=sum(workshop.spent.values()),
            student_sha256=sha256,
        )

    def train(self, arm: str, workshop: Workshop) -> tuple[str, Trained]:
        """Return the name and the training of the student that *arm* would ship."""
        curriculum = self.preparation.curriculum
        single = {DIRECT: ("direct", curriculum.untaught), PLAIN_KD: curriculum.teacher}
        if arm in single:
            name, lesson = single[arm]
            return name, workshop.train(self.end, lesson, f"{self.end.label}: {name}")
        race = train_best(self.end, (), self.curriculum(arm, workshop))
        # Equal budgets: what wins has had no more epochs than any other way.
        assert {finish.trained.epochs for finish in race.finishes} == {self.basis.epochs}
        return race.winner.rival.name, race.winner.trained

    def score(self, module: nn.Module) -> tuple[str, float]:
        """Export *module*; return the file's digest and its accuracy on the test rows."""
        weights = _digest_of(module)
        if weights not in self.scored:
            task = self.preparation.task
            artifact = convert(
                module,
                self.preparation.inlet,
                task.validation.take(np.arange(min(len(task.validation), PARITY_ROWS))),
                self.folder / "student.onnx",
                facts={
                    "hpmkd_edge.version": __version__,
                    "hpmkd_edge.task": task.name,
                    "hpmkd_edge.data_sha256": task.digest,
                },
                answer=answer,
            )
            found = score(artifact.path, task.test.inputs.feeds(), task.test.labels)
            self.scored[weights] = artifact.sha256, found.accuracy
        return self.scored[weights]


def stand_for(
    request: Request, folder: RunFolder, stop: Callable[[], bool], *, size: str | None, refuse_weak: bool
) -> Stand:
    """Prepare the arms of the request's seed in a *folder* of their own.

    Args:
        size: of the student, by its label; None for the largest that is small enough beside the teacher.
        refuse_weak: whether the full arm may refuse the teacher.

    Raises:
        EdgeError: as `prepare`, and BadConfiguration for an unknown size.
    """
    # Any target will do: nothing is timed, and the file that is scored is this host's.
    preparation = prepare(request, (find_target("host", load_targets(None)),), folder, stop)
    best, task, components = preparation.best, preparation.task, preparation.curriculum.components
    store = preparation.workshop.store
    experience = Experience(
        memory=Memory(store.engine) if store is not None and components.uses("memory") else None,
        task=task.digest,
        name=task.name,
        traits=traits_of(task, teacher_parameters=best.teacher.parameters, teacher_accuracy=best.accuracy),
        teacher_accuracy=best.accuracy,
        seed=request.seed,
    )
    return Stand(
        request=request,
        preparation=preparation,
        end=_size(preparation, size),
        stages=preparation.curriculum.stages or _usual_stages(preparation, request),
        experience=experience,
        refuse_weak=refuse_weak and preparation.curriculum.refuse_weak,
        folder=folder.state,
    )


def _size(preparation: Preparation, asked: str | None) -> Size:
    if asked is None:
        return preparation.allowance.sizes[-1]
    names = {size.label: size for size in preparation.curriculum.ladder}
    short = {f"{size.width}x{size.depth}": size for size in names.values()}
    found = names.get(asked) or short.get(asked)
    if found is None:
        raise unknown("size", asked, names)
    return found


def _usual_stages(preparation: Preparation, request: Request) -> StagePlan | None:
    """Return two stages, by features first where the teacher can be opened; None where there are no epochs for two."""
    epochs = preparation.workshop.settings.epochs
    if epochs < 2:
        return None
    try:
        check_open(preparation.best.teacher)
        text = "fitnet,kd"
    except BadConfiguration:
        text = "logit_mse,kd"
    known = (*METHODS, *FEATURE_METHODS)
    return plan_stages(parse_stages(text), epochs, known=known, weighting=request.stage_weighting)


def _digest_of(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
