"""What a student's own file takes of real rows, and in which form of int8: alike for probes and for what ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.scoring import answer
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.export.passes.quantize import Form
from hpmkd_edge.targets import Target
from hpmkd_edge.tasks.task import Rows

PARITY_ROWS: Final = 512


def parity_rows(rows: Rows) -> Rows:
    """Return the rows on which a file is compared with what it came from."""
    return rows.take(np.arange(min(len(rows), PARITY_ROWS)))


def form_for(target: Target) -> Form:
    """Return the form of int8 that the target's runtime computes in integers."""
    return "tensorrt" if target.runtime == "tensorrt" else "x86"


def evenly(rows: Rows, count: int) -> Rows:
    """Return *count* of *rows*, spread evenly over all of them, or all where there are fewer."""
    return rows.take(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))


def entering(artifact: Artifact, rows: Rows) -> dict[str, NDArray[Any]]:
    """Return *rows* as the model's own file takes them, behind its preprocessing where it has one."""
    feeds: dict[str, NDArray[Any]] = dict(rows.inputs.feeds())
    if artifact.preprocessing is None:
        return feeds
    return {_only_input(artifact.path): answer(artifact.preprocessing, feeds)}


def _only_input(path: Path) -> str:
    import onnx

    (only,) = onnx.load(path, load_external_data=False).graph.input
    return str(only.name)
