"""The models of a run as rows of text: all of them, and those between teacher and student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hpmkd_edge.record import RoundRecord
from hpmkd_edge.report.figures import NONE, SCORES, megabytes, quantity, score
from hpmkd_edge.report.points import Point, dominated
from hpmkd_edge.report.rows import Grid
from hpmkd_edge.verdict import Goal

# Of the p90, at 99 % confidence.
BOUND: Final = "p90 ≤ ms"


def models(points: Sequence[Point], goal: Goal) -> Grid:
    """List *points* in their order, with what beats each."""
    beaten, name = dict(dominated(points)), SCORES[goal]
    costs = (BOUND, "MB", "parameters")
    return Grid(
        title="Every model of the run",
        header=("model", "role", name, *costs, "precision", "round", "beaten by"),
        numbers=(name, *costs, "round"),
        rows=tuple(
            (
                one.name,
                one.role,
                score(one.accuracy, goal),
                quantity(one.p90_ms, ""),
                quantity(megabytes(one.file_bytes), ""),
                NONE if one.parameters is None else f"{one.parameters:,}",
                one.precision,
                NONE if one.round is None else f"{one.round}",
                beaten[one].name if one in beaten else "",
            )
            for one in points
        ),
    )


def members(turn: RoundRecord, goal: Goal) -> Grid:
    """List the intermediates of a round; accuracies, or R², are those on validation rows."""
    name = SCORES[goal]
    numbers = ("parameters", name, BOUND, "MB")
    return Grid(
        title="Between teacher and student",
        header=("size", *numbers, "taught", "for"),
        numbers=numbers,
        rows=tuple(
            (
                one.size,
                f"{one.parameters:,}",
                score(one.validation_accuracy, goal),
                quantity(one.p90_bound_ms, ""),
                quantity(megabytes(one.file_bytes), ""),
                "yes" if one.taught else "no",
                one.rival or NONE,
            )
            for one in turn.members
        ),
    )
