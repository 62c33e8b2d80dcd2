"""The values that describe what is to be learned: inputs, rows, task."""

# Shape suffixes: N = rows, H = height, W = width, C = channels.

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

# What a category of whole numbers holds where the value is missing, in the table and in the shipped file's input.
MISSING_NUMBER: Final = int(np.iinfo(np.int64).min)

Goal = Literal["classes", "value"]
Kind = Literal["images", "table", "text"]
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Texts:
    """Sentences as they reach the shipped file.

    Attributes:
        sentences: an array of UTF-8 strings, [N], none of them null: one block of bytes and where each begins, which
            may lie in a file that is mapped into memory. "" is a sentence.
    """

    sentences: pa.StringArray

    @classmethod
    def of(cls, sentences: Iterable[str]) -> Texts:
        """Return Python strings as inputs."""
        import pyarrow

        return cls(sentences=pyarrow.array(sentences, pyarrow.string()))

    def __len__(self) -> int:
        return len(self.sentences)

    def take(self, rows: NDArray[np.int64]) -> Texts:
        """Return the sentences at *rows*, in that order."""
        return Texts(sentences=self.sentences.take(rows))

    def blocks(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return the bytes of UTF-8 in each sentence, [N], and all these bytes: they tell it from any other texts.

        Of a slice only what lies in it.
        """
        _, ends, content = self.sentences.buffers()
        first, count = self.sentences.offset, len(self)
        if not count:
            return np.empty(0, np.int64), np.empty(0, np.uint8)
        ends_N = np.frombuffer(ends, np.int32)[first : first + count + 1]
        letters = np.empty(0, np.uint8) if content is None else np.frombuffer(content, np.uint8)
        return np.diff(ends_N).astype(np.int64), letters[ends_N[0] : ends_N[-1]]

    def strings(self) -> list[str]:
        """Return the sentences as Python strings."""
        return [str(sentence) for sentence in self.sentences.to_pylist()]

    def feeds(self) -> dict[str, NDArray[Any]]:
        """Return what the tokenizer of the shipped file takes: `text`, objects [N]."""
        return {"text": np.array(self.strings(), dtype=object)}


Inputs = Images | Table | Texts


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
        text: the column that holds the sentences, or None where a row is no text.
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
    text: str | None = None

    @property
    def kind(self) -> Kind:
        """What a row is."""
        if isinstance(self.train.inputs, Texts):
            return "text"
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
