"""What `export --precision` makes of a model file: the new file beside its own fp32 file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from hpmkd_edge.bench.change import Change
from hpmkd_edge.bench.fidelity import Loss, Measure
from hpmkd_edge.export.artifact import Parity

if TYPE_CHECKING:
    from hpmkd_edge.export.passes.calibration import Calibration
    from hpmkd_edge.export.passes.quantize import Form

SCHEMA: Final = "hpmkd-edge/export/1"
Precision = Literal["fp16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """How well both files answer rows that nothing was calibrated on.

    Attributes:
        measure, loss_kind: what *score* and *loss* are; "agreement" is the share of rows with the fp32 file's class.
        full_score, full_loss: of the fp32 file.
        max_drop: of the score, that was allowed.
    """

    measure: Measure
    loss_kind: Loss
    rows: int
    full_score: float
    score: float
    full_loss: float
    loss: float
    max_drop: float

    @property
    def drop(self) -> float:
        """How much of the score is lost; below 0 where it is gained."""
        return self.full_score - self.score

    @property
    def fits(self) -> bool:
        """Whether so much may be lost."""
        return self.score >= self.full_score - self.max_drop


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """How an int8 file was made.

    Attributes:
        calibration_rows: the first half of the rows, at most 512 of them.
        kept: the layers that stay in float32, of *layers*.
        tried: how many files were; *failures* has a sentence for each that could not be run.
    """

    calibration: Calibration
    calibration_rows: int
    layers: int
    kept: tuple[str, ...]
    tried: int
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Both files, timed run by run in turn, on one thread.

    Attributes:
        batch: rows a run.
        change: of the new file's median over the fp32 file's.
    """

    runtime: str
    batch: int
    fp32_p50_ms: float
    p50_ms: float
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A model file in another precision.

    Attributes:
        output: where the new file lies; None where it loses too much and was not written.
        model_bytes: of the fp32 file, weights beside it included.
        made_up: whether it was compared on made-up values only, and not on rows.
        grade: None where rows are made up.
        timing: None where it was not timed, for the reason in *not_timed*.
    """

    model: str
    output: str | None
    precision: Precision
    form: Form
    model_bytes: int
    bytes: int
    parity: Parity
    made_up: bool
    grade: Grade | None
    quantized: Quantized | None
    timing: Timing | None
    not_timed: str | None

    @property
    def slower(self) -> bool:
        """Whether it is surely slower here than the fp32 file."""
        return self.timing is not None and self.timing.change.verdict == "slower"

    @property
    def exit_code(self) -> int:
        """0; 1 where it loses more than is allowed, and was not written."""
        return 0 if self.grade is None or self.grade.fits else 1
