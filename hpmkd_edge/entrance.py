"""What a student's own file takes of real rows, and in which form of int8: alike for probes and for what ships."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.scoring import entered
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.export.passes.quantize import Form
from hpmkd_edge.students.inlet import Inlet
from hpmkd_edge.students.text_inlet import TextInlet
from hpmkd_edge.targets import Target
from hpmkd_edge.tasks.task import Rows, Task, Texts

PARITY_ROWS: Final = 512
# Of the sentences, those that are no longer than the one that a verdict is timed on.
TIMED_SHARE: Final = 0.95


def parity_rows(rows: Rows) -> Rows:
    """Return the rows on which a file is compared with what it came from."""
    return rows.take(np.arange(min(len(rows), PARITY_ROWS)))


def timed_row(task: Task, inlet: Inlet) -> Rows:
    """Return the validation row that a student is timed on: the first, as all cost the same.

    A sentence costs what its pieces do: of texts it is the one at the 95th percentile of their number, the first of
    those that have as many.
    """
    rows, place = task.validation, 0
    if isinstance(inlet, TextInlet):
        lengths_N = inlet.lengths(inlet.store(rows.inputs)).numpy()
        wanted = np.sort(lengths_N)[math.ceil(TIMED_SHARE * len(rows)) - 1]
        place = int(np.argmax(lengths_N == wanted))
    return rows.take(np.array([place], np.int64))


def words_of(rows: Rows) -> list[str]:
    """Return the words of the sentences of *rows*, in their order; none of other rows."""
    return (
        [word for sentence in rows.inputs.strings() for word in sentence.split()]
        if isinstance(rows.inputs, Texts)
        else []
    )


def form_for(target: Target) -> Form:
    """Return the form of int8 that the target's runtime computes in integers."""
    return "tensorrt" if target.runtime == "tensorrt" else "x86"


def evenly(rows: Rows, count: int) -> Rows:
    """Return *count* of *rows*, spread evenly over all of them, or all where there are fewer."""
    return rows.take(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))


def entering(artifact: Artifact, rows: Rows) -> dict[str, NDArray[Any]]:
    """Return *rows* as the model's own file takes them, behind its preprocessing where it has one."""
    feeds: dict[str, NDArray[Any]] = dict(rows.inputs.feeds())
    return feeds if artifact.preprocessing is None else entered(artifact.preprocessing, feeds)
