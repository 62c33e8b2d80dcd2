"""What teacher and student answer, as rows of text: class by class, and where they disagree."""

from __future__ import annotations

from collections.abc import Sequence

from hpmkd_edge.record import AnswersRecord, ClassRecord
from hpmkd_edge.report.figures import share, signed
from hpmkd_edge.report.rows import Grid


def worst_first(found: AnswersRecord) -> list[ClassRecord]:
    """Return the classes that have test rows, those of which the student has the least right first."""
    return sorted((one for one in found.classes if one.rows), key=lambda one: one.student_right / one.rows)


def by_class(title: str, classes: Sequence[ClassRecord]) -> Grid:
    """List what teacher and student have right of each of *classes*, which all have rows."""
    return Grid(
        title=title,
        header=("class", "rows", "teacher", "student", "points"),
        numbers=("rows", "teacher", "student", "points"),
        rows=tuple(
            (
                one.name,
                f"{one.rows:,}",
                share(one.teacher_right / one.rows),
                share(one.student_right / one.rows),
                signed(100 * (one.student_right - one.teacher_right) / one.rows),
            )
            for one in classes
        ),
    )


def who_is_right(found: AnswersRecord) -> Grid:
    """List how many rows both, one or none of the two have right."""
    counts = (
        ("both", found.both_right),
        ("the teacher alone", found.teacher_alone_right),
        ("the student alone", found.student_alone_right),
        ("neither", found.neither_right),
    )
    return Grid(
        title="Who is right",
        header=("right", "rows", "share"),
        numbers=("rows", "share"),
        rows=tuple((who, f"{count:,}", share(count / found.rows)) for who, count in counts),
    )


def disagreements(found: AnswersRecord) -> Grid:
    """List the rows on which the two differ, by label and by what each says."""
    listed = sum(one.rows for one in found.disagreements)
    of = "" if listed == found.disagreeing else f", {listed:,} of {found.disagreeing:,}"
    return Grid(
        title=f"Where they disagree, the most frequent first{of}",
        header=("label", "teacher", "student", "rows"),
        numbers=("rows",),
        rows=tuple((one.label, one.teacher, one.student, f"{one.rows:,}") for one in found.disagreements),
    )
