"""A chain as a diagram: from teachers by way of its members to the student, each with its size and accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from hpmkd_edge.record import Report, RoundRecord
from hpmkd_edge.report.figures import SCORES, megabytes, quantity, score
from hpmkd_edge.report.pages.frame import render


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A model of a chain.

    Attributes:
        lines: its numbers, as they are read.
        length: of the bar that shows its parameters, in percent of the largest's; None where they are not known.
    """

    role: str
    name: str
    lines: tuple[str, ...]
    length: float | None


def diagram(report: Report, turn: RoundRecord) -> Markup:
    """Draw the chain of *turn*, which ships."""
    return render("chain.html.j2", nodes=nodes_of(report, turn))


def nodes_of(report: Report, turn: RoundRecord) -> tuple[Node, ...]:
    """Return the teachers, those members of *turn* by way of which the student was taught, and the student."""
    student, known = report.student, [teacher.cost.parameters for teacher in report.teachers]
    known += [member.parameters for member in turn.members] + [student.cost.parameters]
    most = max((count for count in known if count is not None), default=0)

    def node(role: str, name: str, accuracy: float, parameters: int | None, file_bytes: int | None) -> Node:
        facts = [f"{score(accuracy, report.data.goal)} {SCORES[report.data.goal]}"]
        facts += [] if parameters is None else [f"{parameters:,} parameters"]
        facts += [] if file_bytes is None else [quantity(megabytes(file_bytes), " MB")]
        length = 100 * parameters / most if parameters is not None and most else None
        return Node(role=role, name=name, lines=tuple(facts), length=length)

    return (
        *(
            node("teacher", one.name, one.validation_accuracy, one.cost.parameters, one.cost.file_bytes)
            for one in report.teachers
        ),
        *(
            node("chain member", one.size, one.validation_accuracy, one.parameters, one.file_bytes)
            for one in turn.members
            # Of older reports it is not known whose they are.
            if one.taught and one.rival in (None, student.won_by)
        ),
        node(
            f"student, {student.precision}",
            student.size,
            student.validation_accuracy,
            student.cost.parameters,
            student.cost.file_bytes,
        ),
    )
