"""Every model of a run as a point: how accurate, how fast, how large; and which are worse than another in all three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hpmkd_edge.record import PrecisionRecord, Report, RoundRecord, TeacherRecord

Role = Literal["teacher", "candidate", "chain member", "shipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A model of a run; None is what was not measured.

    Attributes:
        accuracy: on validation rows, of values R²: test rows choose nothing.
        p90_ms: the upper bound at 99 % confidence where it was taken, on the machine of the report. Of what ships it is
            that of the session in which teachers and chain members were timed too, where there was one; the bound that
            was judged, which the verdict has, is of another.
        cost_of: whose cost it is, where that is not its own file's.
    """

    name: str
    role: Role
    accuracy: float
    p90_ms: float | None
    file_bytes: int | None
    parameters: int | None
    precision: str
    round: int | None = None
    cost_of: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it can be set against others: its time and its size are known."""
        return self.p90_ms is not None and self.file_bytes is not None


def points_of(report: Report) -> tuple[Point, ...]:
    """Return the teachers, each round's chain members and candidates, and last what ships.

    A candidate is a way to train that did not win, which would cost what the fp32 file of its size does, or a precision
    of the one that won. A time that was taken on another machine than the report's is none here.
    """
    student = report.student
    shipped = Point(
        name=f"{student.size}, {student.won_by}, {student.precision}",
        role="shipped",
        accuracy=student.validation_accuracy,
        p90_ms=_shipped_ms(report),
        file_bytes=student.cost.file_bytes,
        parameters=student.cost.parameters,
        precision=student.precision,
    )
    return (
        *(_of_teacher(teacher, report) for teacher in report.teachers),
        *(point for turn in report.rounds for point in (*_members(turn, report), *_candidates(turn, report))),
        shipped,
    )


def dominated(points: Sequence[Point]) -> tuple[tuple[Point, Point], ...]:
    """Return each point that another beats, with the first such: no worse in all three, and better in one.

    What ships is not beaten by a rival of its own file's cost: the race had reasons to prefer it.
    """
    whole = [point for point in points if point.is_whole]
    found = []
    for point in whole:
        rivals = whole if point.role != "shipped" else [other for other in whole if other.cost_of is None]
        by = next((other for other in rivals if _beats(other, point)), None)
        if by is not None:
            found.append((point, by))
    return tuple(found)


def _beats(one: Point, other: Point) -> bool:
    mine, yours = _costs(one), _costs(other)
    return mine != yours and all(a <= b for a, b in zip(mine, yours, strict=True))


def _costs(point: Point) -> tuple[float, float, float]:
    assert point.p90_ms is not None
    assert point.file_bytes is not None
    return (-point.accuracy, point.p90_ms, float(point.file_bytes))


def _of_teacher(teacher: TeacherRecord, report: Report) -> Point:
    cost = teacher.cost
    return Point(
        name=teacher.name,
        role="teacher",
        accuracy=teacher.validation_accuracy,
        p90_ms=_here(cost.p90_ms if cost.p90_bound_ms is None else cost.p90_bound_ms, cost.host, report),
        file_bytes=cost.file_bytes,
        parameters=cost.parameters,
        precision="fp32",
    )


def _members(turn: RoundRecord, report: Report) -> tuple[Point, ...]:
    return tuple(
        Point(
            name=member.size,
            role="chain member",
            accuracy=member.validation_accuracy,
            p90_ms=_here(member.p90_bound_ms, member.host, report),
            file_bytes=member.file_bytes,
            parameters=member.parameters,
            precision="fp32",
            round=turn.number,
        )
        for member in turn.members
    )


def _candidates(turn: RoundRecord, report: Report) -> tuple[Point, ...]:
    size, student = turn.chain[-1], report.student
    sizes = {probe.size: probe.parameters for probe in report.probes} | {student.size: student.cost.parameters}
    p90_ms, file_bytes = _cost_in_full(turn, report)
    winner = next((rival.name for rival in turn.rivals if rival.won), "the winner")
    # Older reports have no precisions: of a round that does not ship, the winner is then a way to train as any other.
    shows_winner = not turn.precisions and (size, winner) != (student.size, student.won_by)
    trained = tuple(
        Point(
            name=f"{size}, {rival.name}",
            role="candidate",
            accuracy=rival.validation_accuracy,
            p90_ms=p90_ms,
            file_bytes=file_bytes,
            parameters=sizes.get(size),
            precision="fp32",
            round=turn.number,
            cost_of=f"the fp32 file of {size}",
        )
        for rival in turn.rivals
        if shows_winner or not rival.won
    )
    made = tuple(
        Point(
            name=f"{size}, {winner}, {one.precision}",
            role="candidate",
            accuracy=one.accuracy,
            p90_ms=_here(one.p90_bound_ms, one.host, report),
            file_bytes=one.file_bytes,
            parameters=sizes.get(size),
            precision=one.precision,
            round=turn.number,
        )
        for one in turn.precisions
        if one.accuracy is not None and not _ships(one, winner, turn, report)
    )
    return trained + made


def _cost_in_full(turn: RoundRecord, report: Report) -> tuple[float | None, int | None]:
    """Return time and bytes of the fp32 file of a round's size; None where there is none, or it was not timed."""
    student = report.student
    for one in turn.precisions:
        if one.precision == "fp32":
            # The very file that ships costs the same, whoever had won.
            shipped = one.ships and (turn.chain[-1], one.file_bytes) == (student.size, student.cost.file_bytes)
            ms = _shipped_ms(report) if shipped else _here(one.p90_bound_ms, one.host, report)
            return ms, one.file_bytes
    if not turn.precisions and turn.chain[-1] == student.size and student.precision == "fp32":
        return _shipped_ms(report), student.cost.file_bytes
    return None, None


def _shipped_ms(report: Report) -> float | None:
    """Return the time of what ships beside its teachers, or, where that was not taken here, by itself."""
    cost = report.student.cost
    beside = _here(cost.p90_bound_ms, cost.host, report)
    return report.student.p90_bound_ms if beside is None else beside


def _here(ms: float | None, host: str | None, report: Report) -> float | None:
    """Return a time, or None if it is of another machine: a record of a board may have been handed in for one file."""
    return ms if host in (None, report.host.name) else None


def _ships(one: PrecisionRecord, winner: str, turn: RoundRecord, report: Report) -> bool:
    """Tell whether this file of a round is the one that the run hands back, or its equal from another round."""
    student = report.student
    return (
        one.ships
        and (one.precision, one.accuracy) == (student.precision, student.validation_accuracy)
        and (turn.chain[-1], winner) == (student.size, student.won_by)
    )
