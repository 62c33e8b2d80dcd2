"""What a run did, round by round, as versioned values that are written and read as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from hpmkd_edge.bench.profile import Host
from hpmkd_edge.verdict import Verdict

SCHEMA: Final = "hpmkd-edge/report/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecord:
    """The data set of a run."""

    name: str
    source: str
    kind: str
    sha256: str
    split_rule: str
    train_rows: int
    validation_rows: int
    test_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a model costs, measured by the tool; None where it was not measured.

    Attributes:
        p50_ms, p90_ms: interleaved with the other models of the run, in one process.
        peak_memory_mb: of its own fresh process, above the baseline after imports.
    """

    parameters: int | None
    file_bytes: int | None
    p50_ms: float | None
    p90_ms: float | None
    peak_memory_mb: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRecord:
    """A teacher of a run; accuracies are shares from 0 to 1."""

    name: str
    kind: str
    sha256: str
    trained_here: bool
    preprocessing: str
    validation_accuracy: float
    test_accuracy: float
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRecord:
    """A size of the ladder that was built untrained, exported and measured."""

    size: str
    parameters: int
    file_bytes: int
    p90_bound_ms: float | None
    peak_memory_mb: float | None
    fits: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalRecord:
    """One way to train the student, in the race."""

    name: str
    method: str
    epochs: int
    validation_accuracy: float
    validation_loss: float
    seconds: float
    won: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GainRecord:
    """A paired bootstrap of one rival against another on the validation rows, in points of accuracy."""

    of: str
    over: str
    points: float
    low: float
    high: float
    verdict: Literal["gain", "no gain", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """One turn of the loop; accuracies on validation rows."""

    number: int
    reason: str
    chain: tuple[str, ...]
    rivals: tuple[RivalRecord, ...]
    gains: tuple[GainRecord, ...]
    parity_agreement: float
    parity_max_error: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentRecord:
    """The student that ships; accuracies are those of the exported file."""

    size: str
    family: str
    won_by: str
    validation_accuracy: float
    test_accuracy: float
    cost: Cost
    p90_bound_ms: float | None
    latency_flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A finished run for one target.

    Attributes:
        classes: in the order of the file's outputs.
        settings: name and value of each training setting, as text.
        board_command: what to run on the board to settle what is unknown, or None.
        notes: sentences that a reader must know (teacher trained on the spot, …).
    """

    schema: Literal["hpmkd-edge/report/1"] = SCHEMA
    tool_version: str
    run_id: str
    started_at: str
    seconds: float
    command: str
    seed: int
    target: str
    classes: tuple[str, ...]
    data: DataRecord
    teachers: tuple[TeacherRecord, ...]
    settings: tuple[tuple[str, str], ...]
    probes: tuple[ProbeRecord, ...]
    rounds: tuple[RoundRecord, ...]
    student: StudentRecord
    retention: float
    verdict: Verdict
    host: Host
    board_command: str | None
    notes: tuple[str, ...]
