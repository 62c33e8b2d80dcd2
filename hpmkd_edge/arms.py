"""The arms of an ablation with one seed: how each departs from the full pipeline, and what its student is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

from torch import nn

from hpmkd_edge.bench.scoring import answer, score
from hpmkd_edge.distill.configuration import Settled, choose_schedule, settle
from hpmkd_edge.distill.curriculum import Curriculum, train_best
from hpmkd_edge.distill.executors import InProcess
from hpmkd_edge.distill.methods.table import FEATURE_METHODS, METHODS, feels_temperature
from hpmkd_edge.distill.mixture import mixtures
from hpmkd_edge.distill.stages import StagePlan, parse_stages, plan_stages
from hpmkd_edge.distill.taps import has_end
from hpmkd_edge.distill.teacher_maps import can_open
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.distill.workshop import Assignment, Workshop
from hpmkd_edge.entrance import parity_rows
from hpmkd_edge.evidence import DIRECT, FULL, PLAIN_KD, STAGES, ArmRun, Basis, TeacherScore
from hpmkd_edge.export.conversion import convert
from hpmkd_edge.plan.chain import intermediates
from hpmkd_edge.plan.portfolio import read_portfolio
from hpmkd_edge.preparation import Preparation, prepare
from hpmkd_edge.recording import data_record
from hpmkd_edge.request import Request
from hpmkd_edge.run_folder import RunFolder
from hpmkd_edge.students.family import Size
from hpmkd_edge.students.inherit import digest_of_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingWorkshop(Workshop):
    """A workshop that also keeps the epochs of each training that is asked of it, done before or not."""

    epochs: list[int] = field(default_factory=list)

    def attempt_all(self, assignments: Sequence[Assignment]) -> tuple[Trained | None, ...]:
        """See `Workshop.attempt_all`."""
        self.epochs.extend((one.settings or self.settings).epochs for one in assignments)
        return Workshop.attempt_all(self, assignments)


def counting(workshop: Workshop) -> CountingWorkshop:
    """Return *workshop* with counts of its own that begin at zero."""
    shared = {one.name: getattr(workshop, one.name) for one in fields(Workshop) if one.name != "spent"}
    return CountingWorkshop(**shared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where the arms of one seed are run.

    Attributes:
        request: with this seed.
        preparation: its curriculum is that of the full arm but for stages, which are an arm of their own.
        stages: of the arm with stages; None where it does not apply.
        refuse_weak: whether the full arm refuses a teacher that does not beat direct training; no other arm does.
        folder: where files lie that a resumed ablation takes up.
        scored: digest and test accuracy of each student's exported file, by its weights.
    """

    request: Request
    preparation: Preparation
    stages: StagePlan | None
    refuse_weak: bool
    folder: Path
    scored: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def end(self) -> Size:
        """The student's size: the largest that is small enough beside the teacher, or the one that was asked for."""
        return self.preparation.allowance.sizes[-1]

    @property
    def basis(self) -> Basis:
        """What all arms share, whatever the seed."""
        curriculum = self.preparation.curriculum
        return Basis(
            data=data_record(self.preparation.task),
            student=self.end.label,
            parameters=self.end.parameters,
            epochs=curriculum.workshop.settings.epochs,
            searched=curriculum.settle is not None,
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
        values = self.preparation.task.goal == "value"
        if arm == STAGES and self.stages is None:
            return "stages hold to probabilities, and values have none" if values else "an epoch cannot be divided"
        if not arm.startswith("without-"):
            return None
        if not base.components.uses(component):
            return f"off in every arm (--without {component})"
        method, schedule = base.workshop.settings.method, base.workshop.settings.schedule
        heat = None if base.schedule != schedule else f"it stays as asked (--schedule {schedule})"
        if not feels_temperature(method):
            heat = f"the loss {method} has no temperature"
        reasons = {
            "attention": (
                "one teacher"
                if len(self.preparation.tutors) < 2
                else "teachers of values are averaged, not weighed"
                if values
                else None
            ),
            "temperature": heat,
            "chain": None
            if intermediates(base.ladder, self.end, base.teacher_parameters, 1)
            else "the ladder has no room between teacher and student",
            "parallel": "one worker" if base.workshop.workers < 2 else None,
            "memory": None if base.experience.trials() else "the memory holds no run on another task of this kind",
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
            sources = [tutor.source for tutor in self.preparation.tutors]
            alike = mixtures(base.untaught, base.views, sources, attention=False, seed=workshop.seed)
            return replace(base, mixtures=alike)
        if component == "memory":
            experience = replace(base.experience, memory=None, kept=None)
            forgetful = partial(settle, experience=experience, portfolio=read_portfolio().recipes)
            return replace(
                base,
                experience=experience,
                settle=None if base.settle is None else forgetful,
                schedule=self.request.schedule or choose_schedule((), experience.traits),
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
        workshop = counting(self.preparation.workshop)
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
            trainings=len(workshop.epochs),
            epochs=sum(workshop.epochs),
            seconds=sum(workshop.spent.values()),
            student_sha256=sha256,
        )

    def train(self, arm: str, workshop: Workshop) -> tuple[str, Trained]:
        """Return the name and the training of the student that *arm* would ship."""
        if arm == DIRECT:
            return "direct", self.direct(workshop)
        if arm == PLAIN_KD:
            return self.plain_kd(workshop)
        race = train_best(self.end, (), self.curriculum(arm, workshop))
        # Equal budgets: what wins has had no more epochs than any other way.
        assert {finish.trained.epochs for finish in race.finishes} == {self.basis.epochs}
        return race.winner.rival.name, race.winner.trained

    def settled(self, workshop: Workshop) -> Settled | None:
        """Return what the full arm's search found, from the store where it was done; None where none is searched.

        Without it the arms would differ from the full one by their settings as well.
        """
        curriculum = self.preparation.curriculum
        if curriculum.settle is None:
            return None
        return curriculum.settle(self.end, curriculum.teacher[1], workshop)

    def direct(self, workshop: Workshop) -> Trained:
        """Train on labels alone."""
        settled, label = self.settled(workshop), f"{self.end.label}: direct"
        if settled is not None:
            workshop = replace(workshop, settings=settled.alone)
        return workshop.train(self.end, self.preparation.curriculum.untaught, label)

    def plain_kd(self, workshop: Workshop) -> tuple[str, Trained]:
        """Train by KD from the best teacher: with settings that were searched for, that was the search's last step."""
        settled, (name, lesson) = self.settled(workshop), self.preparation.curriculum.teacher
        if settled is not None:
            return name, settled.trained
        return name, workshop.train(self.end, lesson, f"{self.end.label}: {name}")

    def score(self, module: nn.Module) -> tuple[str, float]:
        """Export *module*; return the file's digest and its accuracy on the test rows."""
        weights = digest_of_weights(module.state_dict())
        if weights not in self.scored:
            task = self.preparation.task
            artifact = convert(
                module,
                self.preparation.inlet,
                parity_rows(task.validation),
                self.folder / "student.onnx",
                facts={},  # the file is scored and not shipped
                answer=answer,
            )
            test, before = task.test, artifact.preprocessing
            found = score(artifact.path, test.inputs.feeds(), test.labels, preprocessing=before)
            self.scored[weights] = artifact.sha256, found.accuracy
        return self.scored[weights]


def stand_for(request: Request, folder: RunFolder, stop: Callable[[], bool], *, refuse_weak: bool) -> Stand:
    """Prepare the arms of the request's seed in a *folder* of their own.

    Args:
        refuse_weak: whether the full arm may refuse the teacher.

    Raises:
        EdgeError: as `prepare`.
    """
    preparation = prepare(request, folder, stop)
    return Stand(
        request=request,
        preparation=preparation,
        stages=preparation.curriculum.stages or _usual_stages(preparation, request),
        refuse_weak=refuse_weak and preparation.curriculum.refuse_weak,
        folder=folder.state,
    )


def _usual_stages(preparation: Preparation, request: Request) -> StagePlan | None:
    """Return two stages, by features first where the teacher can be opened and the student has some at its end.

    None where there are no epochs for two, or values are learned.
    """
    epochs = preparation.workshop.settings.epochs
    if epochs < 2 or preparation.task.goal == "value":
        return None
    workshop = preparation.workshop
    student = workshop.family.build(preparation.curriculum.ladder[0], workshop.shape, request.seed)
    by_features = can_open(preparation.best.teacher) and has_end(student, workshop.shape.example(2))
    text = "fitnet,kd" if by_features else "logit_mse,kd"
    known = (*METHODS, *FEATURE_METHODS)
    return plan_stages(parse_stages(text), epochs, known=known, weighting=request.stage_weighting)
