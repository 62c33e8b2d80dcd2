"""The epochs of all trainings of a run, line by line: written by whichever process trains, read by who follows."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

SHARED: Final = "shared"  # the scope of trainings that serve every target
LONGEST_NAME: Final = 120  # of a training; trackers make files and keys of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """An epoch that is over.

    Attributes:
        number: counted from 1, *of* so many.
        loss: the mean that was trained on.
        accuracy: on validation rows; of values R².
        learning_rate: of its last step.
        temperature: None where nobody teaches.
    """

    number: int
    of: int
    loss: float
    accuracy: float
    learning_rate: float
    temperature: float | None

    def curves(self) -> dict[str, float]:
        """Return what a tracker draws, by name."""
        drawn = {"loss": self.loss, "accuracy": self.accuracy, "learning_rate": self.learning_rate}
        return drawn if self.temperature is None else {**drawn, "temperature": self.temperature}


Tell = Callable[[Epoch], None]


def nobody(_epoch: Epoch) -> None:
    """Follow no training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An epoch of a *training*, which serves the target *scope*, or SHARED; *seconds* are since 1970."""

    scope: str
    training: str
    seconds: float
    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Where epochs are written down. It can be sent to another process, and written to by several at once."""

    path: Path
    scope: str = SHARED

    def teller(self, label: str, key: str) -> Tell:
        """Return what writes down the epochs of a training; *key* tells it from others of the same *label*."""
        plain = re.sub(r"[^A-Za-z0-9._=]+", "-", label.replace("×", "x")).strip("-.")
        return partial(self.write, f"{plain[:LONGEST_NAME]}-{key[:8]}")

    def write(self, training: str, epoch: Epoch) -> None:
        """Add a line."""
        entry = Entry(scope=self.scope, training=training, seconds=time.time(), epoch=epoch)
        line = json.dumps(asdict(entry), ensure_ascii=True) + "\n"
        # One write to the end of the file: lines of several processes do not mix.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def read_entries(path: Path, offset: int) -> tuple[list[Entry], int]:
    """Return the whole lines of a journal from *offset* on, in bytes, and where the next begins."""
    if not path.exists():
        return [], offset
    with path.open("rb") as stream:
        stream.seek(offset)
        lines = stream.read().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    found = [json.loads(line) for line in lines]
    entries = [Entry(**{**one, "epoch": Epoch(**one["epoch"])}) for one in found]
    return entries, offset + sum(map(len, lines))
