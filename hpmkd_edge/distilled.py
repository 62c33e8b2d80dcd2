"""What `distill` made: a student, its teachers and its race, as versioned values that are written and read as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

from hpmkd_edge.bench.grading import Misses
from hpmkd_edge.json_file import read_json, write_json
from hpmkd_edge.record import ComponentRecord, DataRecord, GainRecord, RivalRecord, TeacherRecord

SCHEMA: Final = "hpmkd-edge/distilled/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """A student that was trained and exported, and of which no time and no memory was measured.

    Attributes:
        size: width and depth, e.g. "mlp 64×2"; *parameters* its trained numbers.
        file_bytes, file_sha256: of student.onnx.
        validation_accuracy, test_accuracy: of that file, shares from 0 to 1; of values R².
        misses: how far from values it is on test rows; None for classes.
        retention: the test accuracy over the best teacher's; 0 where that is 0.
        teachers: the best on validation rows first.
        rivals, gains, components, settings: of the race; see `record.RoundRecord`.
    """

    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/distilled/1"] = SCHEMA
    tool_version: str
    run_id: str
    started_at: str
    seconds: float
    command: str
    seed: int
    data: DataRecord
    classes: tuple[str, ...]
    teachers: tuple[TeacherRecord, ...]
    size: str
    parameters: int
    file_bytes: int
    file_sha256: str
    validation_accuracy: float
    test_accuracy: float
    retention: float
    misses: Misses | None = None
    rivals: tuple[RivalRecord, ...]
    gains: tuple[GainRecord, ...]
    components: tuple[ComponentRecord, ...]
    settings: tuple[tuple[str, str], ...]
    teacher_forwards: int
    notes: tuple[str, ...]


def write_distilled(distilled: Distilled, path: Path) -> None:
    """Write *distilled* as JSON.

    Raises:
        BadOutput: it cannot be written.
    """
    write_json(asdict(distilled), path)


def read_distilled(path: Path) -> Distilled:
    """Read what `write_distilled` has written.

    Raises:
        BadReport: the file cannot be read as one.
    """
    distilled: Distilled = read_json(Distilled, SCHEMA, path)
    return distilled
