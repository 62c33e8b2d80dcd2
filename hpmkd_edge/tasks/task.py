"""The values that describe what is to be learned: inputs, rows, task."""

# Shape suffixes: N = rows, H = height, W = width, C = channels.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

# What a category of whole numbers holds where the value is missing, in the table and in the shipped file's input.
MISSING_NUMBER: Final = int(np.iinfo(np.int64).min)

Goal = Literal["classes", "value"]
# What the shipped file calls its output; no column may have that name.
OUTPUTS: Final[dict[Goal, str]] = {"classes": "probabilities", "value": "value"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Raw images as they reach the shipped file.

    Attributes:
        pixels: uint8, [N, H, W, C] with C = 1 or 3.
    """

    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: NDArray[np.int64]) -> Images:
        """Return the images at *rows*, in that order."""
        return Images(pixels=self.pixels[rows])

    def feeds(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that the shipped ONNX file takes, by input name."""
        return {"images": self.pixels}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        name: as in the file; also the name of the ONNX input.
        kind: "number" holds float32 with NaN for a missing value; "category" holds Python strings (dtype
            object) with "" for a missing value, or whole numbers (int64) with MISSING_NUMBER for one.
        values: [N].
    """

    name: str
    kind: Literal["number", "category"]
    values: NDArray[Any]

    @property
    def holds_text(self) -> bool:
        """Whether it is a category of words, not of whole numbers."""
        return bool(self.values.dtype == np.object_)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where the value is missing: [N]."""
        if self.kind == "number":
            return np.asarray(np.isnan(self.values))
        return np.asarray(self.values == ("" if self.holds_text else MISSING_NUMBER), np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Raw rows of a table, column by column, all of one length."""

    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.columns[0].values)

    def take(self, rows: NDArray[np.int64]) -> Table:
        """Return the rows at *rows*, in that order."""
        return Table(
            columns=tuple(
                Column(name=column.name, kind=column.kind, values=column.values[rows]) for column in self.columns
            )
        )

    def feeds(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that the shipped ONNX file takes, [N, 1] each, by input name."""
        return {column.name: column.values.reshape(-1, 1) for column in self.columns}


Inputs = Images | Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One split of a task.

    Attributes:
        inputs: the raw inputs, N of them.
        labels: [N]: int64, each in 0 … classes − 1; or float32, values in the units of the data.
        positions: int64, [N], the place of each row in the source (files of logits follow it).
    """

    inputs: Inputs
    labels: NDArray[Any]
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return the rows at *rows*, in that order."""
        return Rows(
            inputs=self.inputs.take(rows),
            labels=self.labels[rows],
            positions=self.positions[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifiers:
    """A column that names rows and is not learned from; answers computed beforehand find their rows by it.

    Attributes:
        name: of the column.
        values: Python strings, dtype object, one a row of the source in its order, all different.
    """

    name: str
    values: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task of classes or of values, split.

    Attributes:
        name: short, for folders and titles.
        source: where the rows came from: a path, or the name of an embedded set.
        classes: class names in the order of the outputs; none where values are learned.
        train, validation, test: the splits. Selection reads validation; test is read once.
        split_rule: one sentence that lets a reader make the same split.
        digest: sha256 over inputs, labels, class names and split, in hex.
        identifiers: the column that a schema calls so, or None.
        notes: sentences for the report: what in the data is of no use.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    train: Rows
    validation: Rows
    test: Rows
    split_rule: str
    digest: str
    identifiers: Identifiers | None = None
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> Literal["images", "table"]:
        """What a row is."""
        return "images" if isinstance(self.train.inputs, Images) else "table"

    @property
    def goal(self) -> Goal:
        """What a label is."""
        return "classes" if self.classes else "value"

    @property
    def outputs(self) -> int:
        """Numbers that a student answers a row with: one a class, or the value."""
        return len(self.classes) or 1

    @property
    def row_count(self) -> int:
        """Rows of all three splits."""
        return len(self.train) + len(self.validation) + len(self.test)
