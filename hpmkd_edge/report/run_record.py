"""A whole run as `report --format json` prints it: the report of each target, with every model as a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from hpmkd_edge.record import Report
from hpmkd_edge.report.points import Point, points_of

SCHEMA: Final = "hpmkd-edge/run/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run.

    Attributes:
        reports: one a target.
        points: the models of each report, in the order of *reports*; see `points_of`.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/run/1"] = SCHEMA
    reports: tuple[Report, ...]
    points: tuple[tuple[Point, ...], ...]


def run_of(reports: Sequence[Report]) -> RunRecord:
    """Return *reports*, of one run, with their points."""
    return RunRecord(reports=tuple(reports), points=tuple(map(points_of, reports)))
