"""What trackers are told of a run: where it lies, and what came of it for each target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import hpmkd_edge
from hpmkd_edge.checkout import commit_of
from hpmkd_edge.distilled import Distilled
from hpmkd_edge.export.artifact import STUDENT
from hpmkd_edge.record import Report
from hpmkd_edge.report.markdown import escaped, table
from hpmkd_edge.report.rows import distilled_against_teacher, headline, judgements_in_full
from hpmkd_edge.run_folder import RunFolder
from hpmkd_edge.tracking.tracker import Place, Summary
from hpmkd_edge.verdict import Outcome

WITHOUT_TARGET: Final = "student"  # what stands for the target of `distill`, which has none


def place_of(folder: RunFolder, targets: Sequence[str]) -> Place:
    """Return where the run in *folder* is followed."""
    return Place(name=folder.final.name, partial=folder.partial, made=folder.made, targets=tuple(targets))


def summary_of(report: Report, folder: Path) -> Summary:
    """Return what came of a run of `compress` for one target, whose files lie in *folder*."""
    student, found = report.student, Counter(one.outcome for one in report.verdict.judgements)
    numbers = {
        "test_accuracy": student.test_accuracy,
        "validation_accuracy": student.validation_accuracy,
        "teacher_test_accuracy": report.best_teacher.test_accuracy,
        "retention": report.retention,
        "p90_ms": student.cost.p90_ms,
        "p90_bound_ms": student.p90_bound_ms,
        "peak_memory_mb": student.cost.peak_memory_mb,
        "model_size_mb": None if student.cost.file_bytes is None else student.cost.file_bytes / 1e6,
        "parameters": student.cost.parameters,
        "seconds": report.seconds,
        **{f"budgets_{outcome.value}": found[outcome] for outcome in Outcome},
    }
    asked = (
        ("data", report.data.name),
        ("target", report.target),
        ("seed", str(report.seed)),
        ("size", student.size),
        ("precision", student.precision),
        ("won_by", student.won_by),
    )
    verdict = report.verdict
    return Summary(
        target=report.target,
        settings=(*asked, *report.settings),
        numbers=tuple((name, float(number)) for name, number in numbers.items() if number is not None),
        tags=(
            ("verdict", verdict.outcome.value),
            *_content(report.run_id, report.data.sha256, report.student_sha256, report.tool_version),
        ),
        text=f"**{escaped(headline(verdict))}**\n\n{table(judgements_in_full(verdict))}",
        files=_present(folder, "report.json", "report.html", STUDENT),
    )


def summary_of_distilled(distilled: Distilled, folder: Path) -> Summary:
    """Return what came of a run of `distill`, whose files lie in *folder*."""
    winner = next(rival for rival in distilled.rivals if rival.won)
    asked = (
        ("data", distilled.data.name),
        ("seed", str(distilled.seed)),
        ("size", distilled.size),
        ("won_by", winner.name),
    )
    numbers = (
        ("test_accuracy", distilled.test_accuracy),
        ("validation_accuracy", distilled.validation_accuracy),
        ("teacher_test_accuracy", distilled.teachers[0].test_accuracy),
        ("retention", distilled.retention),
        ("model_size_mb", distilled.file_bytes / 1e6),
        ("parameters", float(distilled.parameters)),
        ("seconds", distilled.seconds),
    )
    return Summary(
        target=WITHOUT_TARGET,
        settings=(*asked, *distilled.settings),
        numbers=numbers,
        tags=_content(distilled.run_id, distilled.data.sha256, distilled.file_sha256, distilled.tool_version),
        text=f"**{escaped(distilled.size)}**\n\n{table(distilled_against_teacher(distilled))}",
        files=_present(folder, "distilled.json", STUDENT),
    )


def _content(run_id: str, data: str, student: str, version: str) -> tuple[tuple[str, str], ...]:
    """Name what went in and what came out."""
    commit = commit_of(Path(hpmkd_edge.__file__))
    return (
        ("run_id", run_id),
        ("data_sha256", data),
        ("student_sha256", student),
        ("tool_version", version),
        *((("commit", commit),) if commit is not None else ()),
    )


def _present(folder: Path, *names: str) -> tuple[Path, ...]:
    return tuple(folder / name for name in names if (folder / name).is_file())
