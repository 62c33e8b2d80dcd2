"""What `plan` finds: each size with its costs, measured or expected, and the one that a run would train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from hpmkd_edge.bench.profile import Host
from hpmkd_edge.record import ProbeRecord

SCHEMA: Final = "hpmkd-edge/plan/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSize:
    """One rung of the ladder.

    Attributes:
        macs: multiply-adds of one row.
        allowed: whether it is small enough beside the teacher.
        measured: whether the costs were measured here, untrained; else they are what the measured sizes let expect.
        fits: None where it was not measured.
    """

    size: str
    parameters: int
    macs: int
    allowed: bool
    measured: bool
    file_bytes: int
    p90_bound_ms: float | None
    peak_memory_mb: float | None
    fits: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sizes for one target.

    Attributes:
        runtime: the one that was timed, on this host.
        sizes: the whole ladder, fewest parameters first.
        probes: each measurement, in order.
        chosen: the size that a run would train first, for *reason*.
    """

    schema: Literal["hpmkd-edge/plan/1"] = SCHEMA
    tool_version: str
    target: str
    data: str
    runtime: str
    host: Host
    sizes: tuple[PlannedSize, ...]
    probes: tuple[ProbeRecord, ...]
    chosen: str
    reason: str
    notes: tuple[str, ...]
