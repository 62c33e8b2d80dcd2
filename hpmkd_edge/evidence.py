"""Does each component earn its place? The runs of an ablation and what follows from them, as versioned JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from hpmkd_edge.bench.comparison import NEGLIGIBLE_POINTS
from hpmkd_edge.bench.profile import Host
from hpmkd_edge.json_file import read_json, write_json
from hpmkd_edge.manifest import Version
from hpmkd_edge.plan.components import COMPONENTS
from hpmkd_edge.record import DataRecord

SCHEMA: Final = "hpmkd-edge/evidence/1"
FULL: Final = "full"
STAGES: Final = "with-stages"
PLAIN_KD: Final = "plain-kd"
DIRECT: Final = "direct"
ARMS: Final[dict[str, str]] = {
    FULL: "full pipeline",
    **{f"without-{name}": f"without {name}" for name in COMPONENTS},
    STAGES: "with stages",
    PLAIN_KD: "plain KD",
    DIRECT: "labels alone",
}
CONFIDENCE: Final = 0.95
# Differences nearer than this are equal: accuracies are shares of rows, computed in floating point.
EQUAL: Final = 1e-9

Word = Literal["gain", "no gain", "loss", "inconclusive", "no difference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What all arms and seeds share.

    Attributes:
        student: the size's label.
        epochs: of every rival of a race, and of plain KD and labels alone.
        searched: whether short races found settings, which labels alone and plain KD share with the full arm.
        stages: the losses of the arm with stages, as "fitnet,kd"; "" where it does not apply.
    """

    data: DataRecord
    student: str
    parameters: int
    epochs: int
    searched: bool
    stages: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherScore:
    """A teacher with one of the seeds; one that was trained here differs between them. Accuracies are shares."""

    seed: int
    name: str
    sha256: str
    trained_here: bool
    validation_accuracy: float
    test_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRun:
    """One arm with one seed.

    Attributes:
        validation_accuracy: of the winner of the arm's race.
        test_accuracy: of its exported file.
        trainings: of students, that the arm consists of, the short ones of a search among them; arms share those that
            they have in common.
        epochs: of all these trainings together.
        seconds: of all these trainings, each as long as it took when it was done.
        student_sha256: of the exported file.
        moot: why this arm is the full one, whose numbers these are then; None where it is one of its own.
    """

    arm: str
    seed: int
    validation_accuracy: float
    test_accuracy: float
    won_by: str
    trainings: int
    epochs: int
    seconds: float
    student_sha256: str
    moot: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """What follows from an arm's runs.

    Attributes:
        moot: why the arm does not apply, or None.
        accuracy, accuracy_low, accuracy_high: mean over the seeds of the test accuracy, with its 95 % interval.
        points, low, high: mean over the seeds of what is gained, with its 95 % interval: full − arm, and for stages
            arm − full. None for the full arm and for one that does not apply; *word* likewise.
        trainings, epochs, seconds: mean over the seeds.
    """

    arm: str
    moot: str | None
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    points: float | None
    low: float | None
    high: float | None
    word: Word | None
    trainings: float
    epochs: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A finished ablation.

    Attributes:
        commit: of the tool's own checkout, or None where it runs from none.
        runs: every arm with every seed.
        summary: what follows from them; see `summarize`.
        notes: sentences that a reader must know.
    """

    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/evidence/1"] = SCHEMA
    tool_version: str
    commit: str | None
    versions: tuple[Version, ...]
    host: Host
    command: str
    started_at: str
    seeds: tuple[int, ...]
    basis: Basis
    teachers: tuple[TeacherScore, ...]
    runs: tuple[ArmRun, ...]
    summary: tuple[ArmSummary, ...]
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        found = [(run.arm, run.seed) for run in self.runs]
        arms = [one.arm for one in self.summary]
        if sorted(found) != sorted((arm, seed) for arm in arms for seed in self.seeds):
            raise ValueError("runs do not hold every arm of the summary once with every seed")
        if not _agree(self.summary, summarize(self.runs, values=self.basis.data.goal == "value")):
            raise ValueError("summary does not follow from the runs")

    def runs_of(self, arm: str) -> tuple[ArmRun, ...]:
        """Return the runs of *arm*, in the order of the seeds."""
        return tuple(run for seed in self.seeds for run in self.runs if (run.arm, run.seed) == (arm, seed))

    def differences(self, arm: str) -> tuple[float, ...]:
        """Return what is gained with each seed, in points: full − arm, and for stages arm − full."""
        return _differences(self.runs_of(FULL), self.runs_of(arm))


def summarize(runs: Sequence[ArmRun], *, values: bool = False) -> tuple[ArmSummary, ...]:
    """Return what follows from *runs*, an entry an arm, in the order of ARMS.

    Raises:
        ValueError: the full arm is missing, an arm is unknown, or an arm has not the seeds of the full one.
    """
    by_arm = {arm: sorted((run for run in runs if run.arm == arm), key=lambda run: run.seed) for arm in ARMS}
    found = {run.arm for run in runs}
    if found - set(ARMS) or not by_arm[FULL]:
        raise ValueError(
            f"the arms {sorted({run.arm for run in runs})} were found; 'full' and others of ARMS are needed"
        )
    return tuple(_summary(own, by_arm[FULL], values) for own in by_arm.values() if own)


def _summary(own: Sequence[ArmRun], full: Sequence[ArmRun], values: bool) -> ArmSummary:
    accuracy = mean_interval([run.test_accuracy for run in own])
    reasons = sorted({run.moot for run in own if run.moot is not None})
    # One that differs with some seeds is compared: with the others its difference is a true zero.
    moot = "; ".join(reasons) if all(run.moot is not None for run in own) else None
    gained: Interval | None = None
    word: Word | None = None
    if own[0].arm != FULL and moot is None:
        differences = _differences(full, own)
        gained, word = mean_interval(differences), word_for(differences)
    return ArmSummary(
        arm=own[0].arm,
        moot=moot,
        accuracy=accuracy.mean,
        accuracy_low=accuracy.low if values else max(accuracy.low, 0.0),  # R² has no lower end
        accuracy_high=min(accuracy.high, 1.0),
        points=gained.mean if gained else None,
        low=gained.low if gained else None,
        high=gained.high if gained else None,
        word=word,
        trainings=statistics.fmean(run.trainings for run in own),
        epochs=statistics.fmean(run.epochs for run in own),
        seconds=statistics.fmean(run.seconds for run in own),
    )


def _differences(full: Sequence[ArmRun], own: Sequence[ArmRun]) -> tuple[float, ...]:
    if [run.seed for run in full] != [run.seed for run in own]:
        raise ValueError("an arm has not the seeds of the full one; every arm is compared seed by seed")
    sign = -100 if own[0].arm == STAGES else 100
    return tuple(sign * (one.test_accuracy - other.test_accuracy) for one, other in zip(full, own, strict=True))


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean of *values* and its 95 % interval by Student's t; values that are all equal have none of width.

    Raises:
        ValueError: there are fewer than two values.
    """
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError(f"{len(values)} values were found; an interval needs two")
    mean = statistics.fmean(values)
    if _all_equal(values):
        return Interval(mean=mean, low=mean, high=mean)
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def word_for(differences: Sequence[float]) -> Word:
    """Return what paired *differences*, in points, say.

    "gain" if the whole interval lies above 0, "loss" if below; else "no gain" if it ends below a quarter of a point.
    Differences that are all zero are "no difference"; all equal and not zero they do not tell their own spread.
    """
    if _all_equal([0.0, *differences]):
        return "no difference"
    if _all_equal(differences):
        return "inconclusive"
    interval = mean_interval(differences)
    if interval.low > 0:
        return "gain"
    if interval.high < 0:
        return "loss"
    return "no gain" if interval.high < NEGLIGIBLE_POINTS else "inconclusive"


def _all_equal(values: Sequence[float]) -> bool:
    return max(values) - min(values) < EQUAL


def _agree(found: Sequence[ArmSummary], derived: Sequence[ArmSummary]) -> bool:
    """Compare numbers to nine digits: another version's quantile may differ in the last."""

    def same(one: Any, other: Any) -> bool:
        if isinstance(one, float) and isinstance(other, float):
            return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
        return bool(one == other)

    return len(found) == len(derived) and all(
        same(*pair) for pairs in zip(found, derived, strict=True) for pair in zip(*map(astuple, pairs), strict=True)
    )


def write_evidence(evidence: Evidence, path: Path) -> None:
    """Write *evidence* to *path* as JSON; a reader sees the whole file or none.

    Raises:
        BadOutput: the file cannot be written.
    """
    write_json(asdict(evidence), path)


def read_evidence(path: Path) -> Evidence:
    """Read back what `write_evidence` wrote.

    Raises:
        BadReport: there is no such file, it is of another version, a key or value in it is wrong, or its summary does
            not follow from its runs.
    """
    evidence: Evidence = read_json(Evidence, SCHEMA, path)
    return evidence
