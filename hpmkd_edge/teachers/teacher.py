"""What every teacher offers to the line."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.tasks.task import Rows

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchGraph:
    """A teacher as a torch module that can be exported and timed.

    Attributes:
        module: in eval mode, takes *example* and gives logits [N, K] or values.
        example: one preprocessed batch of one row.
        tokenizer: of a module that takes ids of sentences, int64 [N, T] of any T, the tokenizer.json that makes them;
            None of any other.
    """

    module: torch.nn.Module
    example: torch.Tensor
    tokenizer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxGraph:
    """A teacher as an ONNX file that can be timed.

    Attributes:
        feeds: one real row, as the file takes it, by input name.
        read: what the file takes of any sentences, [N]; None where it takes none. Sentences cost what their pieces do.
        tokenized: whether *read* runs a tokenizer, which the file has not.
    """

    path: Path
    feeds: dict[str, NDArray[Any]]
    read: Callable[[Sequence[str]], dict[str, NDArray[Any]]] | None = None
    tokenized: bool = False


class Teacher(Protocol):
    """A trained model that answers the rows of a task: with logits of classes, or with values in the label's units."""

    @property
    def name(self) -> str:
        """What the user called it, for reports."""
        ...

    @property
    def kind(self) -> str:
        """The kind of file: "torch", "exported program", "onnx", "scikit-learn", "transformers", "logits"."""
        ...

    @property
    def digest(self) -> str:
        """sha256 over everything that its answers depend on (weights, code, preprocessing), hex."""
        ...

    @property
    def parameters(self) -> int | None:
        """Trained numbers, or None where the kind has no such count."""
        ...

    @property
    def model_bytes(self) -> int | None:
        """Size of its file or weights in bytes, or None for a file of logits."""
        ...

    @property
    def preprocessing(self) -> str:
        """One phrase for the report: how raw rows become its inputs."""
        ...

    @property
    def answers_new_rows(self) -> bool:
        """Whether it can be asked about rows that are not in the data, such as shifted images."""
        ...

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Answer *rows*: float32 [N, K], K in the order of the task's classes; or values, [N, 1].

        A model that gives probabilities answers with their logarithms (clipped at 1e-7).
        """
        ...

    def graph(self) -> TorchGraph | OnnxGraph | None:
        """What can be timed beside the student: a torch graph, an ONNX file, or None."""
        ...
