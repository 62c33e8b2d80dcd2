"""What a run did, round by round, as versioned values that are written and read as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from hpmkd_edge.bench.grading import Misses
from hpmkd_edge.bench.profile import Host, LengthLatency, Profile
from hpmkd_edge.foretold import Foretold
from hpmkd_edge.json_file import read_json, write_json
from hpmkd_edge.targets import Target
from hpmkd_edge.verdict import Goal, Verdict

SCHEMA: Final = "hpmkd-edge/report/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecord:
    """The data set of a run.

    Attributes:
        goal: whether labels are classes or values; where they are values, what is called accuracy anywhere is R².
    """

    name: str
    source: str
    kind: str
    goal: Goal = "classes"
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
        p90_bound_ms: the upper bound of that p90 at 99 % confidence.
        peak_memory_mb: of its own fresh process, above the baseline after imports.
        host: the name of the machine that it was timed on; None where it was not, and in older reports.
    """

    parameters: int | None
    file_bytes: int | None
    p50_ms: float | None = None
    p90_ms: float | None = None
    peak_memory_mb: float | None = None
    p90_bound_ms: float | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRecord:
    """A teacher of a run; accuracies are shares from 0 to 1, of values R², at most 1.

    Attributes:
        misses: how far from values it is on test rows; None for classes.
    """

    name: str
    kind: str
    sha256: str
    trained_here: bool
    preprocessing: str
    validation_accuracy: float
    test_accuracy: float
    cost: Cost
    misses: Misses | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRecord:
    """A size of the ladder that was built untrained, exported and measured.

    Attributes:
        precision: of the file; where another runtime stands in for the target's, the time is that of its fp32 form.
    """

    size: str
    parameters: int
    file_bytes: int
    p90_bound_ms: float | None
    peak_memory_mb: float | None
    fits: bool
    reason: str
    precision: str = "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalRecord:
    """One way to train the student, in the race.

    Attributes:
        began: the weights that it began with: "random", or the model that they were cut from.
        temperatures: of each epoch; empty where the loss has none.
        losses, accuracies: of each epoch: the mean loss that was trained on, and what validation rows then gave.
    """

    name: str
    method: str
    epochs: int
    validation_accuracy: float
    validation_loss: float
    seconds: float
    won: bool
    began: str = "random"
    temperatures: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """An intermediate of a chain: larger than the student, and taught before it.

    Attributes:
        validation_accuracy: of its own training.
        taught: whether it was good enough to teach those after it.
        rival: the way to train that its chain led to, by name; None where the chain was cut before there was one.
        file_bytes, p50_ms, p90_bound_ms: of its fp32 file, timed in turn with student and teacher; None if not taken.
        host: the name of the machine that it was timed on.
    """

    size: str
    parameters: int
    validation_accuracy: float
    taught: bool
    rival: str | None = None
    file_bytes: int | None = None
    p50_ms: float | None = None
    p90_bound_ms: float | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GainRecord:
    """A paired bootstrap of one rival against another on the validation rows, in points of accuracy or R²."""

    of: str
    over: str
    points: float
    low: float
    high: float
    verdict: Literal["gain", "no gain", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentRecord:
    """What a component did in a round; *gain* is over what was best before it, None where nothing was raced."""

    component: str
    sentence: str
    gain: GainRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionRecord:
    """The student's file in one precision; None is what was not taken, or could not be.

    Attributes:
        how: how it was made, or why it could not be.
        accuracy, loss: on validation rows.
        agreement, max_error: beside what it came from, on real rows; see `export.artifact.Parity`.
        p50_ms, p90_bound_ms: timed in turn with the other precisions, in one process.
        over_fp32, low, high: its median time over the fp32 file's, with a 95 % interval; None for that file itself.
        broken: the budgets that it breaks.
        lossy: whether it loses more than half a point, or than the budget leaves, against fp32.
        slower: whether it is slower than fp32 on the target, as far as that was measured.
        ships: whether it was chosen.
        host: the name of the machine that it was timed on.
    """

    precision: str
    how: str
    file_bytes: int | None = None
    accuracy: float | None = None
    loss: float | None = None
    agreement: float | None = None
    max_error: float | None = None
    p50_ms: float | None = None
    p90_bound_ms: float | None = None
    over_fp32: float | None = None
    low: float | None = None
    high: float | None = None
    broken: tuple[str, ...] = ()
    lossy: bool = False
    slower: bool = False
    ships: bool = False
    host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """One turn of the loop; accuracies on validation rows; *settings* are those that all its rivals shared."""

    number: int
    reason: str
    chain: tuple[str, ...]
    rivals: tuple[RivalRecord, ...]
    gains: tuple[GainRecord, ...]
    components: tuple[ComponentRecord, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    parity_agreement: float
    parity_max_error: float
    precisions: tuple[PrecisionRecord, ...] = ()
    members: tuple[MemberRecord, ...] = ()
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentRecord:
    """The student that ships; accuracies, and misses on test rows, are those of the exported file.

    Attributes:
        test_standard_error: of the accuracy, or R², as other rows of the kind would move it; see
            `bench.grading.standard_error`. Older reports of values took the labels' variance as known: theirs is too
            small.
    """

    size: str
    family: str
    won_by: str
    validation_accuracy: float
    test_accuracy: float
    cost: Cost
    p90_bound_ms: float | None
    latency_flags: tuple[str, ...]
    misses: Misses | None = None
    precision: str = "fp32"
    test_standard_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRecord:
    """The test rows of one class, and how many of them each has right."""

    name: str
    rows: int
    teacher_right: int
    student_right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DisagreementRecord:
    """How many test rows of one label the best teacher answers with one class, and the student with another."""

    label: str
    teacher: str
    student: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersRecord:
    """The best teacher's and the student's answers on the test rows, of classes.

    Attributes:
        sha256: of the rows themselves, inputs and labels in their order: what must be alike to compare row by row.
        disagreements: the most frequent first, at most 50 of *disagreeing* rows.
        student_right: a bit a row in their order, 1 where the student is right; packed, first row highest, as base64.
    """

    rows: int
    sha256: str
    both_right: int
    teacher_alone_right: int
    student_alone_right: int
    neither_right: int
    disagreeing: int
    classes: tuple[ClassRecord, ...]
    disagreements: tuple[DisagreementRecord, ...]
    student_right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A finished run for one target.

    Attributes:
        judged_against: the target with its device and budgets, as they were in this run.
        classes: in the order of the file's outputs; none where values are learned.
        student_sha256: of the exported file.
        profile: the student's own measurement, on `host`.
        foretold: what its latencies would be on the target, where they were not measured there.
        teacher_forwards: how often a teacher answered a whole set of rows (a view, a split); answers that an earlier
            run had kept are not among them.
        retention: the student's test accuracy over the best teacher's.
        answers: class by class, and where teacher and student disagree; None of values, and in older reports.
        lengths: of a text student, what longer sentences take, timed in turn; empty of others.
        settings: name and value of each training setting, as text.
        board_command: what to run on the board to settle what is unknown, or None.
        notes: sentences that a reader must know (teacher trained on the spot, …).
    """

    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }

    schema: Literal["hpmkd-edge/report/1"] = SCHEMA
    tool_version: str
    run_id: str
    started_at: str
    seconds: float
    command: str
    seed: int
    target: str
    judged_against: Target
    classes: tuple[str, ...]
    data: DataRecord
    teachers: tuple[TeacherRecord, ...]
    settings: tuple[tuple[str, str], ...]
    probes: tuple[ProbeRecord, ...]
    rounds: tuple[RoundRecord, ...]
    student: StudentRecord
    student_sha256: str
    profile: Profile
    foretold: tuple[Foretold, ...] = ()
    retention: float
    verdict: Verdict
    host: Host
    teacher_forwards: int | None = None
    answers: AnswersRecord | None = None
    lengths: tuple[LengthLatency, ...] = ()
    board_command: str | None
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.teachers:
            raise ValueError("teachers is empty; at least one is needed")

    @property
    def best_teacher(self) -> TeacherRecord:
        """The teacher that the student is compared with: best on validation rows, the first of equals."""
        return max(self.teachers, key=lambda teacher: teacher.validation_accuracy)


def write_report(report: Report, path: Path) -> None:
    """Write *report* to *path* as JSON, fields in their order; a reader sees the whole file or none.

    Raises:
        BadOutput: the file cannot be written, or a number is not finite.
    """
    write_json(asdict(report), path)


def read_report(path: Path) -> Report:
    """Read back what `write_report` wrote.

    Raises:
        BadReport: there is no such file, it is of another version, or a key or value in it is wrong.
    """
    report: Report = read_json(Report, SCHEMA, path)
    return report


def report_schema() -> dict[str, Any]:
    """Return the JSON schema of a report."""
    from pydantic import TypeAdapter

    return TypeAdapter(Report).json_schema()
