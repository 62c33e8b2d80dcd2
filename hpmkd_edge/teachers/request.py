"""What a user asks for when naming a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.tasks.task import Rows, Task
from hpmkd_edge.teachers.normalization import Normalization

PROBE_ROWS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRequest:
    """One `--teacher` with the flags that belong to it.

    Attributes:
        spec: what the user wrote.
        normalization: what `--normalize` says, or None.
        trust: whether files that can run code may be loaded.
        device: as torch names it: "cpu", "cuda", "cuda:1".
    """

    spec: str
    task: Task
    weights: Path | None
    normalization: Normalization | None
    trust: bool
    device: str

    def file(self) -> Path:
        """Return the file that the spec names.

        Raises:
            BadTeacher: there is none.
            BadConfiguration: weights are given to a file that holds its own.
        """
        path = Path(self.spec).expanduser()
        if not path.is_file():
            raise BadTeacher(f"there is no file {path.absolute()}; a teacher's file is needed.")
        self.refuse_weights(path.name)
        return path

    @property
    def task_has(self) -> str:
        """What the rows of the task are, for errors."""
        return {"images": "the task has images", "table": "the task has a table", "text": "the task has text"}[
            self.task.kind
        ]

    def refuse_weights(self, name: str) -> None:
        """Stop if `--weights` were given to what holds its own.

        Raises:
            BadConfiguration: they were.
        """
        if self.weights is not None:
            raise BadConfiguration(f"{name} takes no --weights; they go with file.py:function.")

    def probe(self) -> Rows:
        """Return the first few training rows, at most 8."""
        train = self.task.train
        return train.take(np.arange(min(PROBE_ROWS, len(train))))

    def require_trust(self, path: Path, instead: str) -> None:
        """Stop unless the user trusts files that can run code.

        Raises:
            BadTeacher: `--trust` was not given.
        """
        if not self.trust:
            raise BadTeacher(
                f"{path.name} holds a pickle, which can run any code when it is loaded; {instead} or --trust is needed."
            )

    def refuse_normalization(self, reason: str) -> None:
        """Stop if `--normalize` was given where it would change nothing.

        Raises:
            BadConfiguration: it was.
        """
        if self.normalization is not None:
            raise BadConfiguration(f"--normalize {self.normalization.text} cannot apply: {reason}.")
