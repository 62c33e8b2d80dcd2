"""Numbers of a report that can be no measurement, or deny each other: what is judged by them would prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from hpmkd_edge.answers import right_in
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.errors import BadReport
from hpmkd_edge.record import AnswersRecord, Report
from hpmkd_edge.verdict import TOLERANCE

# What a signed integer of 64 bits holds, as arrays of samples do.
MOST = 2**63


def check_report(report: Report) -> None:
    """Stop where *report* holds a number that none of its kind can be or that another denies, or lacks a part.

    Raises:
        BadReport: the first such, by its place.
    """
    of = f"the report of run {report.run_id}"
    _check_whole_numbers(report, of)
    check_profile(report.profile, of)
    if report.profile.model_sha256 != report.student_sha256:
        raise BadReport(
            f"{of} has a profile of a file with sha256 {report.profile.model_sha256[:12]}…, and a student with"
            f" {report.student_sha256[:12]}…; a profile of that student is needed."
        )
    for turn in report.rounds:
        if not turn.chain:
            raise BadReport(f"{of} has a round {turn.number} with an empty chain; one size at least is needed.")
    least = 0.0 if report.data.goal == "classes" else None
    student, misses = report.student, report.student.misses
    for place, accuracy in (
        ("student.test_accuracy", student.test_accuracy),
        ("student.validation_accuracy", student.validation_accuracy),
        *((f"the test_accuracy of {teacher.name}", teacher.test_accuracy) for teacher in report.teachers),
        *((f"the validation_accuracy of {teacher.name}", teacher.validation_accuracy) for teacher in report.teachers),
    ):
        _check(of, place, accuracy, least=least, most=1.0)
    _check(of, "student.cost.file_bytes", student.cost.file_bytes, least=1)
    _check(of, "student.misses.mae", None if misses is None else misses.mae, least=0)
    _check(of, "student.test_standard_error", student.test_standard_error, least=0)
    _check(of, "data.test_rows", report.data.test_rows, least=1)
    if student.cost.file_bytes not in (None, report.profile.model_bytes):
        raise BadReport(
            f"{of} has a student of {student.cost.file_bytes:,} bytes, and {report.profile.model_bytes:,} bytes were"
            " timed; the same files are needed."
        )
    if report.answers is not None:
        _check_answers(report, report.answers, of)


def check_profile(profile: Profile, of: str) -> None:
    """Stop where *profile* holds a number that none of its kind can be; *of* says whose it is.

    Raises:
        BadReport: the first such, by its place.
    """
    _check_whole_numbers(profile, of)
    for place, samples in (("samples_ns", profile.samples_ns), ("reference_ns", profile.reference_ns)):
        _check(of, f"the shortest of {place}", min(samples, default=None), least=1)
    _check(of, "peak_memory_mb", profile.peak_memory_mb, least=0)
    _check(of, "placement_share", profile.placement_share, least=0, most=1)
    _check(of, "engine_build_s", profile.engine_build_s, least=0)
    timed, beside = len(profile.samples_ns), len(profile.reference_ns)
    if timed != beside:
        raise BadReport(f"{of} has {timed:,} samples_ns and {beside:,} reference_ns; as many of each are needed.")
    _check(of, "the smallest of runs", min(profile.runs, default=None), least=1)
    if profile.runs and sum(profile.runs) != timed:
        raise BadReport(f"{of} has {timed:,} samples_ns of {sum(profile.runs):,} runs; one of each run is needed.")


def _check_answers(report: Report, answers: AnswersRecord, of: str) -> None:
    """Stop where counts of *answers* do not add up to one another, or to what else the report says."""
    if answers.rows != report.data.test_rows:
        raise BadReport(
            f"{of} has answers to {answers.rows:,} rows, and {report.data.test_rows:,} test rows; one each is needed."
        )
    both, teacher = answers.both_right, answers.both_right + answers.teacher_alone_right
    right = int(right_in(report, answers).sum())
    for what, counts in (
        (
            "rows",
            (
                answers.rows,
                teacher + answers.student_alone_right + answers.neither_right,
                sum(one.rows for one in answers.classes),
            ),
        ),
        (
            "rows that the student has right",
            (right, both + answers.student_alone_right, sum(one.student_right for one in answers.classes)),
        ),
        ("rows that the teacher has right", (teacher, sum(one.teacher_right for one in answers.classes))),
    ):
        if len(set(counts)) > 1:
            found = " and ".join(f"{count:,}" for count in counts)
            raise BadReport(f"{of} has answers whose {what} add up to {found}; the same number is needed.")
    share, told = teacher / answers.rows, report.best_teacher.test_accuracy
    if abs(share - told) > TOLERANCE:
        raise BadReport(
            f"{of} has {teacher:,} of {answers.rows:,} answers of the best teacher right and its accuracy as {told:g};"
            " a report as the run wrote it is needed."
        )


def _check(of: str, place: str, number: float | None, *, least: float | None, most: float | None = None) -> None:
    if number is None or ((least is None or number >= least) and (most is None or number <= most)):
        return
    needed = " and ".join(
        f"at {word} {bound:g}" for word, bound in (("least", least), ("most", most)) if bound is not None
    )
    raise BadReport(f"{of} has a number that cannot be: {place} is {number:g}; {needed} is needed.")


def _check_whole_numbers(value: object, of: str) -> None:
    largest = max(_whole_numbers(value), default=0)
    if largest >= MOST:
        raise BadReport(f"{of} has a number of {len(str(largest))} digits; less than 2^63 is needed.")


def _whole_numbers(value: object) -> Iterator[int]:
    """Yield the size of every whole number in *value*; of a list of them that of the largest."""
    if isinstance(value, int):
        yield abs(value)
    elif isinstance(value, tuple):
        if value and all(type(item) is int for item in value):
            yield max(map(abs, value))
        else:
            for item in value:
                yield from _whole_numbers(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _whole_numbers(getattr(value, field.name))
