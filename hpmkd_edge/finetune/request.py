"""What the user asks of `finetune`, checked before anything is read."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

from hpmkd_edge.errors import BadConfiguration, BadReport, unknown
from hpmkd_edge.json_file import read_json, write_json
from hpmkd_edge.request import check_number, nothing_to_take_up

SCHEMA: Final = "hpmkd-edge/finetuning/1"
KEEPS: Final = ("last", "best")
DEVICES: Final = ("auto", "cpu", "cuda")
Pooling = Literal["auto", "mean", "head"]
POOLINGS: Final = ("auto", "mean", "head")


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """A training of an encoder, as the command line or a Python user asks for it.

    Attributes:
        encoder: a folder as `save_pretrained` of transformers writes it, or a name on the Hugging Face hub.
        data, label, text, split, split_seed: see `tasks.source.open_task`.
        batch: rows of a step.
        length: most pieces of a row that are read; None for what all but a thousandth of the training rows need.
        pooling: what the classes are read from: the "mean" over the pieces, what the "head" of the encoder's own
            architecture reads, as the first piece; "auto" is the mean where the folder says that the encoder was
            trained through it, as those of sentence-transformers do.
        learning_rate: at its highest, after *warmup*, a share of all steps; it falls to 0 in a line.
        weight_decay: of matrices; norms and biases have none.
        keep: the weights of the "last" epoch, or of the one that is "best" on validation rows.
        seed: of the new head's weights, the order of rows, and dropout.
        device: "auto", "cpu" or "cuda".
        command: the command line, for the record.
        started_in: the folder that relative paths start from; set by the run.
    """

    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/finetuning/1"] = SCHEMA
    encoder: str
    data: str
    label: str | None = None
    text: str | None = None
    split: str | None = None
    split_seed: int = 0
    epochs: int = 3
    batch: int = 32
    length: int | None = None
    pooling: Pooling = "auto"
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup: float = 0.06
    keep: Literal["last", "best"] = "last"
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    command: str = ""
    started_in: str = ""

    def check(self) -> None:
        """Refuse numbers and names that no training can use.

        Raises:
            BadConfiguration: names the flag, what was found and what is needed.
        """
        for flag, count, least in (
            ("--epochs", self.epochs, 1),
            ("--batch", self.batch, 1),
            ("--length", self.length, 3),  # a piece between a first and a last that most tokenizers add
            ("--seed", self.seed, 0),
            ("--split-seed", self.split_seed, 0),
        ):
            check_number(flag, count, least)
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise BadConfiguration(f"--learning-rate is {self.learning_rate:g}; more than 0 is needed, as 5e-5.")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise BadConfiguration(f"--weight-decay is {self.weight_decay:g}; 0 or more is needed, as 0.01.")
        if not 0 <= self.warmup < 1:
            raise BadConfiguration(f"--warmup is {self.warmup:g}; a share of the steps below 1 is needed, as 0.06.")
        if self.keep not in KEEPS:
            raise unknown("weights to keep", self.keep, KEEPS)
        if self.pooling not in POOLINGS:
            raise unknown("pooling", self.pooling, POOLINGS)
        if self.device not in DEVICES:
            raise unknown("device", self.device, DEVICES)
        for what, value in (("ENCODER", self.encoder), ("--data", self.data)):
            if not value:
                raise BadConfiguration(f"{what} is empty; it must name what to read.")


def write_request(request: FineTuning, path: Path) -> None:
    """Keep *request* for whoever takes up the training.

    Raises:
        BadOutput: the file cannot be written.
    """
    write_json(asdict(request), path)


def read_request(path: Path) -> FineTuning:
    """Read what `write_request` has written.

    Raises:
        BadConfiguration: there is no interrupted training, or it is of another version.
    """
    if not path.is_file():
        raise nothing_to_take_up(path.parent, "training")
    try:
        request: FineTuning = read_json(FineTuning, SCHEMA, path)
    except BadReport as error:
        raise BadConfiguration(str(error)) from error
    return request
