"""Write down a run: its record, its manifest, and what to do on the board."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hpmkd_edge import __version__
from hpmkd_edge.answers import compare_answers, digest_of_labeled
from hpmkd_edge.bench.grading import brief
from hpmkd_edge.bench.profile import LengthLatency, Profile, write_profile
from hpmkd_edge.bench.scoring import Score
from hpmkd_edge.distill.candidates import Race
from hpmkd_edge.export.artifact import PREPROCESSING, PREPROCESSING_RUNTIME, STUDENT, TOKENIZER, Artifact
from hpmkd_edge.foretold import Foretold
from hpmkd_edge.history import entry_of, keep
from hpmkd_edge.manifest import write_manifest
from hpmkd_edge.preparation import Preparation
from hpmkd_edge.python_file import is_python_spec
from hpmkd_edge.record import (
    AnswersRecord,
    Cost,
    DataRecord,
    ProbeRecord,
    Report,
    StudentRecord,
    TeacherRecord,
    write_report,
)
from hpmkd_edge.request import Request
from hpmkd_edge.rounds import Round, Timed
from hpmkd_edge.settling import board_command
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.students.family import Size
from hpmkd_edge.students.inlet import Inlet
from hpmkd_edge.students.text_inlet import TextInlet
from hpmkd_edge.targets import Target
from hpmkd_edge.tasks.table_folders import table_parts
from hpmkd_edge.tasks.task import Task
from hpmkd_edge.teachers.cached import cached_logits
from hpmkd_edge.verdict import Verdict


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
class SideBySide:
    """The student and what taught it, timed interleaved in one process.

    Attributes:
        teacher: None where it is no graph, or could not be timed; *note* then says why.
        intermediates: of the chain, by size, as far as they could be timed.
    """

    student: Profile
    teacher: Profile | None
    note: str | None
    intermediates: Mapping[Size, Timed] = field(default_factory=dict)


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
    lengths: tuple[LengthLatency, ...] = (),
    sentence: str | None = None,
) -> Report:
    """Write weights, measurement, report and manifest into the run's folder, and return the report.

    Args:
        test: of what ships, on test rows.
        teachers_test_accuracy: in the order of the preparation's tutors.
        sentence: that a text student was timed on.
    """
    from hpmkd_edge.report.documents import PAGE, linked_files
    from hpmkd_edge.report.markdown import to_markdown
    from hpmkd_edge.report.pages.run import to_html

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
        settings=(*shipped.race.settings.as_text(), *_words(preparation.inlet)),
        probes=probes,
        rounds=tuple(
            turn.record(side_by_side.intermediates if turn.number == shipped.number else None) for turn in rounds
        ),
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
            test_standard_error=test.standard_error,
        ),
        student_sha256=shipped.artifact.sha256,
        profile=shipped.profile,
        foretold=foretold,
        retention=retention(test_accuracy, teachers[0].test_accuracy),
        verdict=verdict,
        host=shipped.profile.host,
        teacher_forwards=preparation.teacher_forwards,
        answers=_answers(preparation, test),
        lengths=lengths,
        board_command=board_command(
            target,
            facts.final,
            verdict.outcome,
            cut=shipped.artifact.preprocessing is not None,
            sentence=sentence,
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
    (facts.folder / PAGE).write_text(to_html([report], links=[linked_files(facts.folder)]), encoding="utf-8")
    if "memory" not in request.without:
        keep(entry_of(shipped.profile, target=target, model=f"{task.name} student"))
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


def _words(inlet: Inlet) -> tuple[tuple[str, str], ...]:
    """Return what a text student reads and begins from, as settings."""
    if not isinstance(inlet, TextInlet):
        return ()
    lexicon = inlet.lexicon
    return (
        ("tokenizer", lexicon.source),
        ("start", "random weights" if lexicon.origin is None else f"weights of {lexicon.origin.name}"),
        ("most_pieces", str(inlet.length)),
    )


def _answers(preparation: Preparation, test: Score) -> AnswersRecord | None:
    """Set the student's answers to the test rows beside the best teacher's; None of values, which are in no class."""
    task, best = preparation.task, preparation.best
    if task.goal == "value":
        return None
    return compare_answers(
        test.labels,
        # Its accuracy is of these very answers: they are in the store.
        cached_logits(best.teacher, task.test, best.store).argmax(1),
        test.predictions,
        task.classes,
        sha256=digest_of_labeled(task.test, task.classes),
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
    if artifact.preprocessing.name == TOKENIZER:
        return [
            f"Two files ship: {TOKENIZER}, which the library tokenizers runs on the CPU, and then {STUDENT}, which"
            f" {target.runtime} runs; both are timed as one call, and both count in size and accuracy."
        ]
    return [
        f"{target.runtime} has no operators for these columns, so two files ship: {PREPROCESSING}, which"
        f" {PREPROCESSING_RUNTIME} runs on the CPU, and then {STUDENT}, which {target.runtime} runs; both are timed as"
        " one call, and both count in size and accuracy."
    ]


def files_of(request: Request) -> list[tuple[str, str]]:
    """Return name and sha256 of each file that the user gave."""
    one_each = (request.student, request.schema, request.targets_file, request.unlabeled, request.tokenizer)
    specs = [request.data, *request.teachers, *request.weights, *request.profiles, *filter(None, one_each)]
    paths = [Path(spec.rpartition(":")[0] if is_python_spec(spec) else spec).expanduser() for spec in specs]
    if request.label is not None and Path(request.data).is_dir():
        paths += table_parts(Path(request.data))
    for spec in (*request.teachers, request.start, request.tokenizer):
        if spec is not None and Path(spec).expanduser().is_dir():  # of a Hugging Face model
            paths += sorted(path for path in Path(spec).expanduser().iterdir() if path.is_file())
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
        p90_bound_ms=profile.percentile_bound_ms(90) if profile else None,
        host=profile.host.name if profile else None,
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
