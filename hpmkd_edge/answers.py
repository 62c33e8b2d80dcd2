"""What the best teacher and the student answer on the same rows: class by class, and where they disagree."""

# Shape suffixes: N = rows.

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadReport
from hpmkd_edge.record import AnswersRecord, ClassRecord, DisagreementRecord, Report
from hpmkd_edge.tasks.task import Rows
from hpmkd_edge.teachers.digest import digest_of, digest_of_array, parts_of_inputs
from hpmkd_edge.verdict import TOLERANCE

MOST_DISAGREEMENTS: Final = 50


def compare_answers(
    labels_N: NDArray[Any],
    teacher_N: NDArray[Any],
    student_N: NDArray[Any],
    classes: Sequence[str],
    *,
    sha256: str,
) -> AnswersRecord:
    """Count where two models are right, and where they answer with different classes.

    Args:
        labels_N, teacher_N, student_N: places in *classes*, of at least one row.
        sha256: of the rows; see `digest_of_labeled`.

    Raises:
        ValueError: the three are not of one length, have no rows, or hold a place that is none.
    """
    found = [labels_N, teacher_N, student_N]
    if len({one.shape for one in found}) > 1 or labels_N.ndim != 1 or not len(labels_N):
        raise ValueError(f"labels and answers have shapes {[one.shape for one in found]}; the same [N] is needed.")
    if any(one.min() < 0 or one.max() >= len(classes) for one in found):
        raise ValueError(f"a label or an answer is no place in {len(classes)} classes.")
    teacher_right_N, student_right_N = teacher_N == labels_N, student_N == labels_N
    return AnswersRecord(
        rows=len(labels_N),
        sha256=sha256,
        both_right=_count(teacher_right_N & student_right_N),
        teacher_alone_right=_count(teacher_right_N & ~student_right_N),
        student_alone_right=_count(~teacher_right_N & student_right_N),
        neither_right=_count(~teacher_right_N & ~student_right_N),
        disagreeing=_count(teacher_N != student_N),
        classes=tuple(
            ClassRecord(
                name=name,
                rows=_count(labels_N == place),
                teacher_right=_count(teacher_right_N & (labels_N == place)),
                student_right=_count(student_right_N & (labels_N == place)),
            )
            for place, name in enumerate(classes)
        ),
        disagreements=_disagreements(labels_N, teacher_N, student_N, classes),
        student_right=b64encode(np.packbits(student_right_N).tobytes()).decode("ascii"),
    )


def student_right(answers: AnswersRecord) -> NDArray[np.bool_]:
    """Return on which rows the student is right, [N], in their order.

    Raises:
        ValueError: the record holds something else than a bit for each of its rows.
    """
    packed = np.frombuffer(b64decode(answers.student_right, validate=True), np.uint8)
    if len(packed) != -(-answers.rows // 8):
        raise ValueError(f"{len(packed)} bytes were found for {answers.rows} rows; {-(-answers.rows // 8)} are needed.")
    return np.unpackbits(packed, count=answers.rows).astype(np.bool_)


def right_in(report: Report, answers: AnswersRecord) -> NDArray[np.bool_]:
    """Return on which test rows the student of *report* is right, [N], by its *answers*.

    Raises:
        BadReport: they cannot be read, or are not those that its accuracy is of.
    """
    try:
        right_N = student_right(answers)
    except ValueError as error:
        raise BadReport(f"the answers in the report of run {report.run_id} cannot be read: {error}") from error
    accuracy = right_N.mean() if len(right_N) else np.nan
    if not abs(accuracy - report.student.test_accuracy) <= TOLERANCE:
        raise BadReport(
            f"the report of run {report.run_id} has {int(right_N.sum()):,} of {len(right_N):,} answers right and an"
            f" accuracy of {report.student.test_accuracy:g}; a report as the run wrote it is needed."
        )
    return right_N


def digest_of_labeled(rows: Rows, classes: Sequence[str]) -> str:
    """Return the sha256 of inputs and labels in their order, in hex, whatever else their task holds.

    A label is its class's name: with one class more elsewhere, its place may be another. Nor does it matter where in
    the source a row stood.
    """
    names = np.array(classes, np.object_)[rows.labels]
    return digest_of((*parts_of_inputs(rows.inputs), digest_of_array(names)))


def _disagreements(
    labels_N: NDArray[Any], teacher_N: NDArray[Any], student_N: NDArray[Any], classes: Sequence[str]
) -> tuple[DisagreementRecord, ...]:
    """Return the most frequent first; of equals first what comes first in the order of the classes."""
    apart_N = teacher_N != student_N
    triples = np.stack([labels_N, teacher_N, student_N], axis=1)[apart_N]
    kinds, counts = np.unique(triples, axis=0, return_counts=True)
    # np.unique sorts by class, and a stable sort by count keeps that order.
    first = np.argsort(-counts, kind="stable")[:MOST_DISAGREEMENTS]
    return tuple(
        DisagreementRecord(label=classes[label], teacher=classes[teacher], student=classes[student], rows=int(rows))
        for (label, teacher, student), rows in zip(kinds[first], counts[first], strict=True)
    )


def _count(marked_N: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(marked_N))
