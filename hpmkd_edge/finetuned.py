"""What `finetune` made: a teacher and how it came to be, as versioned values that are written and read as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

from hpmkd_edge.json_file import read_json, write_json
from hpmkd_edge.record import DataRecord

SCHEMA: Final = "hpmkd-edge/finetuned/1"
FINETUNED: Final = "finetune.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderRecord:
    """What was trained.

    Attributes:
        name: as the user gave it.
        sha256: of its tokenizer and weights as they were read.
        model: its kind, as "bert".
        new: names of the weights that it did not have, and that began at random.
    """

    name: str
    sha256: str
    model: str
    parameters: int
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """An epoch that was trained.

    Attributes:
        loss: the mean of its steps, dropout included.
        validation_loss, validation_accuracy: of the weights at its end, in float32.
        seconds: of training and grading.
    """

    loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuned:
    """A teacher that was trained from an encoder.

    Attributes:
        seconds: of all its epochs, those before it was taken up too.
        settings: name and value of all that decides the weights.
        begun: name and value of what decides their rounding: machine, threads, precision, versions.
        epochs: one after the other.
        kept_epoch: whose weights were written, from 1.
        test_accuracy: read once, of the weights that were written, in float32; *test_error* is its standard error.
        weights_bytes, weights_sha256: of model.safetensors; where the head has a file of its own, the sum of both, and
            the sha256 of theirs.
        notes: what else is to be known, in sentences.
    """

    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/finetuned/1"] = SCHEMA
    tool_version: str
    started_at: str
    seconds: float
    command: str
    encoder: EncoderRecord
    data: DataRecord
    classes: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    begun: tuple[tuple[str, str], ...]
    epochs: tuple[EpochRecord, ...]
    kept_epoch: int
    validation_accuracy: float
    test_accuracy: float
    test_error: float
    weights_bytes: int
    weights_sha256: str
    notes: tuple[str, ...]


def write_finetuned(finetuned: Finetuned, folder: Path) -> None:
    """Write *finetuned* as finetune.json into *folder*.

    Raises:
        BadOutput: it cannot be written.
    """
    write_json(asdict(finetuned), folder / FINETUNED)


def read_finetuned(folder: Path) -> Finetuned:
    """Read what `write_finetuned` has written.

    Raises:
        BadReport: the file cannot be read as one.
    """
    finetuned: Finetuned = read_json(Finetuned, SCHEMA, folder / FINETUNED)
    return finetuned
