"""Write down a run: its record, its manifest, and what to do on the board."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
from torch import nn

from hpmkd_edge import __version__
from hpmkd_edge.bench.grading import brief
from hpmkd_edge.bench.profile import Profile, write_profile
from hpmkd_edge.bench.scoring import Score
from hpmkd_edge.delivery import NotMade, Weighed
from hpmkd_edge.distill.candidates import Duel, Finish, Race
from hpmkd_edge.export.artifact import PREPROCESSING, PREPROCESSING_RUNTIME, STUDENT, Artifact
from hpmkd_edge.foretold import Foretold
from hpmkd_edge.manifest import write_manifest
from hpmkd_edge.plan.chain import Chain, Step
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.preparation import Preparation
from hpmkd_edge.python_file import is_python_spec
from hpmkd_edge.record import (
    ComponentRecord,
    Cost,
    DataRecord,
    GainRecord,
    PrecisionRecord,
    ProbeRecord,
    Report,
    RivalRecord,
    RoundRecord,
    StudentRecord,
    TeacherRecord,
    write_report,
)
from hpmkd_edge.request import Request
from hpmkd_edge.settling import board_command
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.targets import Target
from hpmkd_edge.tasks.task import Task
from hpmkd_edge.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Where and when a run is.

    Attributes:
        began: `time.monotonic()` at the start of the run.
        folder: where its files are written; *final* where they will lie.
    """

    run_id: str
    started_at: str
    began: float
    folder: Path
    final: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One turn of the loop, with everything that it made.

    Attributes:
        exported: the student's file in fp32; *artifact* is what would ship, *module* the weights behind both.
        weighed: its files in all precisions; *not_made* are those that it cannot have.
    """

    number: int
    step: Step
    race: Race
    exported: Artifact
    module: nn.Module
    artifact: Artifact
    profile: Profile
    validation_accuracy: float
    verdict: Verdict
    weighed: tuple[Weighed, ...] = ()
    not_made: tuple[NotMade, ...] = ()

    @property
    def chain(self) -> Chain:
        """The sizes that were trained."""
        return self.step.chain

    def record(self) -> RoundRecord:
        """Return what a report keeps of it."""
        parity = self.exported.parity
        assert parity is not None
        return RoundRecord(
            number=self.number,
            reason=self.step.reason,
            chain=tuple(size.label for size in self.chain.sizes),
            **race_record(self.race),
            parity_agreement=parity.agreement,
            parity_max_error=parity.max_error,
            precisions=(
                *(_precision_record(one, ships=self.artifact.precision) for one in self.weighed),
                *(PrecisionRecord(precision=one.precision, how=f"not made: {one.reason}") for one in self.not_made),
            ),
            verdict=self.verdict,
        )


def _precision_record(weighed: Weighed, *, ships: str) -> PrecisionRecord:
    made, change, profile = weighed.made, weighed.change, weighed.profile
    parity = made.artifact.parity
    return PrecisionRecord(
        precision=made.artifact.precision,
        how=made.how,
        file_bytes=made.artifact.file_bytes,
        accuracy=made.score.accuracy,
        loss=made.score.loss,
        agreement=parity.agreement if parity else None,
        max_error=parity.max_error if parity else None,
        p50_ms=profile.p50_ms,
        p90_bound_ms=profile.percentile_bound_ms(90),
        over_fp32=change.ratio if change else None,
        low=change.low if change else None,
        high=change.high if change else None,
        broken=tuple(one.budget for one in weighed.verdict.judgements if one.outcome is Outcome.BROKEN),
        lossy=weighed.lossy,
        slower=weighed.slower,
        ships=made.artifact.precision == ships,
    )


class RaceFields(TypedDict):
    """What every record of a race has."""

    rivals: tuple[RivalRecord, ...]
    gains: tuple[GainRecord, ...]
    components: tuple[ComponentRecord, ...]
    settings: tuple[tuple[str, str], ...]


def race_record(race: Race) -> RaceFields:
    """Return what a record keeps of *race*."""
    return RaceFields(
        rivals=tuple(
            RivalRecord(
                name=finish.rival.name,
                method=_method_of(finish, race.settings),
                epochs=finish.trained.epochs,
                validation_accuracy=finish.trained.accuracy,
                validation_loss=finish.trained.loss,
                seconds=finish.trained.seconds,
                won=finish is race.winner,
                began=finish.rival.start.source if finish.rival.start else "random",
                temperatures=finish.trained.temperatures,
            )
            for finish in race.finishes
        ),
        gains=tuple(_gain_record(duel) for duel in race.duels),
        components=tuple(
            ComponentRecord(
                component=finding.component,
                sentence=finding.sentence,
                gain=None if finding.duel is None else _gain_record(finding.duel),
            )
            for finding in race.findings
        ),
        settings=race.settings.as_text(),
    )


def _method_of(finish: Finish, shared: Settings) -> str:
    if not finish.rival.lesson.guides:
        return "labels"
    return finish.rival.method or (finish.rival.settings or shared).method


def _gain_record(duel: Duel) -> GainRecord:
    return GainRecord(
        of=duel.of,
        over=duel.over,
        points=duel.gain.points,
        low=duel.gain.low,
        high=duel.gain.high,
        verdict=duel.gain.verdict,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """The student and the best teacher, timed interleaved in one process.

    Attributes:
        teacher: None where it is no graph, or could not be timed; *note* then says why.
    """

    student: Profile
    teacher: Profile | None
    note: str | None


def record_run(
    *,
    request: Request,
    preparation: Preparation,
    target: Target,
    facts: Facts,
    probes: tuple[ProbeRecord, ...],
    rounds: Sequence[Round],
    shipped: Round,
    side_by_side: SideBySide,
    test: Score,
    teachers_test_accuracy: Sequence[float],
    verdict: Verdict,
    notes: Sequence[str],
    foretold: tuple[Foretold, ...] = (),
) -> Report:
    """Write weights, measurement, report and manifest into the run's folder, and return the report.

    Args:
        test: of what ships, on test rows.
        teachers_test_accuracy: in the order of the preparation's tutors.
    """
    from hpmkd_edge.report.markdown import to_markdown

    task, winner, test_accuracy = preparation.task, shipped.race.winner, test.accuracy
    torch.save(shipped.module.state_dict(), facts.folder / "student.pt")
    write_profile(shipped.profile, facts.folder / "profile.json")
    teachers = teacher_records(preparation, teachers_test_accuracy, side_by_side.teacher)
    report = Report(
        tool_version=__version__,
        run_id=facts.run_id,
        started_at=facts.started_at,
        seconds=time.monotonic() - facts.began,
        command=request.command,
        seed=request.seed,
        target=target.name,
        judged_against=target,
        classes=task.classes,
        data=data_record(task),
        teachers=teachers,
        settings=shipped.race.settings.as_text(),
        probes=probes,
        rounds=tuple(turn.record() for turn in rounds),
        student=StudentRecord(
            size=shipped.chain.end.label,
            family=shipped.chain.end.family,
            won_by=winner.rival.name,
            validation_accuracy=shipped.validation_accuracy,
            test_accuracy=test_accuracy,
            cost=cost_of(shipped.chain.end.parameters, shipped.artifact.file_bytes, side_by_side.student),
            p90_bound_ms=shipped.profile.percentile_bound_ms(90),
            latency_flags=shipped.profile.flags,
            misses=test.misses,
            precision=shipped.artifact.precision,
        ),
        student_sha256=shipped.artifact.sha256,
        profile=shipped.profile,
        foretold=foretold,
        retention=retention(test_accuracy, teachers[0].test_accuracy),
        verdict=verdict,
        host=shipped.profile.host,
        teacher_forwards=preparation.teacher_forwards,
        board_command=board_command(
            target,
            facts.final,
            verdict.outcome,
            cut=shipped.artifact.preprocessing is not None,
            targets_file=request.targets_file,
        ),
        notes=(
            *preparation.notes,
            *notes,
            *_order_of_files(shipped.artifact, target),
            *filter(None, [side_by_side.note]),
            *cautions(preparation, shipped.race, shipped.artifact, test_accuracy, teachers[0].test_accuracy),
        ),
    )
    write_report(report, facts.folder / "report.json")
    (facts.folder / "report.md").write_text(to_markdown(report), encoding="utf-8")
    write_manifest(
        facts.folder,
        run_id=facts.run_id,
        command=request.command,
        seed=request.seed,
        created_at=facts.started_at,
        inputs=(*files_of(request), (f"rows of {task.name}", task.digest)),
    )
    return report


def teacher_records(
    preparation: Preparation, test_accuracy: Sequence[float], profile: Profile | None
) -> tuple[TeacherRecord, ...]:
    """Return what a record keeps of the teachers, the best first.

    Args:
        test_accuracy: in the order of the preparation's tutors.
        profile: of the best teacher, or None where it was not timed.
    """
    return tuple(
        TeacherRecord(
            name=tutor.teacher.name,
            kind=tutor.teacher.kind,
            sha256=tutor.teacher.digest,
            trained_here=tutor.trained_here,
            preprocessing=tutor.teacher.preprocessing,
            validation_accuracy=tutor.accuracy,
            test_accuracy=accuracy,
            cost=cost_of(
                tutor.teacher.parameters,
                tutor.teacher.model_bytes,
                profile if tutor is preparation.best else None,
            ),
            misses=tutor.misses_on(preparation.task.test),
        )
        for tutor, accuracy in zip(preparation.tutors, test_accuracy, strict=True)
    )


def retention(student: float, teacher: float) -> float:
    """Return the share of the teacher's accuracy, or R², that a student keeps; 0 where the teacher has none."""
    return student / teacher if teacher > 0 else 0.0


def data_record(task: Task) -> DataRecord:
    """Return what a record keeps of the data."""
    return DataRecord(
        name=task.name,
        source=task.source,
        kind=task.kind,
        goal=task.goal,
        sha256=task.digest,
        split_rule=task.split_rule,
        train_rows=len(task.train),
        validation_rows=len(task.validation),
        test_rows=len(task.test),
    )


def _order_of_files(artifact: Artifact, target: Target) -> list[str]:
    if artifact.preprocessing is None:
        return []
    return [
        f"{target.runtime} has no operators for these columns, so two files ship: {PREPROCESSING}, which"
        f" {PREPROCESSING_RUNTIME} runs on the CPU, and then {STUDENT}, which {target.runtime} runs; both are timed as"
        " one call, and both count in size and accuracy."
    ]


def files_of(request: Request) -> list[tuple[str, str]]:
    """Return name and sha256 of each file that the user gave."""
    one_each = (request.student, request.schema, request.targets_file)
    specs = [request.data, *request.teachers, *request.weights, *request.profiles, *filter(None, one_each)]
    paths = [Path(spec.rpartition(":")[0] if is_python_spec(spec) else spec).expanduser() for spec in specs]
    if request.records is not None:
        folder = Path(request.records).expanduser()
        paths += sorted([*folder.glob("*.json"), *folder.glob("*.onnx")])
    return [(str(path), digest_of_file(path)) for path in paths if path.is_file()]


def cost_of(parameters: int | None, file_bytes: int | None, profile: Profile | None) -> Cost:
    """Return what a record keeps of a model's cost."""
    return Cost(
        parameters=parameters,
        file_bytes=file_bytes,
        p50_ms=profile.p50_ms if profile else None,
        p90_ms=profile.p90_ms if profile else None,
        peak_memory_mb=profile.peak_memory_mb if profile else None,
    )


def cautions(preparation: Preparation, race: Race, artifact: Artifact, student: float, teacher: float) -> list[str]:
    """Say what a reader may take for success and is not."""
    found = []
    direct = race.finishes[0].trained.accuracy
    most_bytes, file_bytes = preparation.allowance.most_bytes, artifact.file_bytes
    if most_bytes is not None and file_bytes > most_bytes:
        found.append(
            f"The student's file, {file_bytes:,} bytes, is larger than --compression allows ({most_bytes:,.0f} bytes)."
        )
    if preparation.best.accuracy <= direct:
        values = preparation.curriculum.values
        found.append(
            f"The teacher ({brief(preparation.best.accuracy, values=values)} on validation rows) is no better than the"
            f" student trained on labels alone ({brief(direct, values=values)}): a better teacher would help more than"
            " any setting."
        )
    if student > teacher:
        found.append(
            "The student is better than its teacher on test rows, which says that the teacher is"
            " undertrained for this data, not that compression improves models."
        )
    return found
