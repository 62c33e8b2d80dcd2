"""Made-up inputs that a model accepts: enough to time it, where no data is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.runtimes.choose import choose_runtime
from hpmkd_edge.bench.runtimes.runtime import Input
from hpmkd_edge.errors import BadConfiguration


def feeds_of_file(path: Path, *, runtime: str = "onnxruntime", batch: int = 1) -> dict[str, NDArray[Any]]:
    """Return made-up feeds of *batch* rows for the inputs that the model file declares.

    Raises:
        BadConfiguration: there is no such runtime or file, or an axis other than the batch's is open.
        RuntimeUnavailable: the runtime cannot run here.
        MeasurementFailed: the file cannot be read.
    """
    return feeds_for(choose_runtime(runtime).inputs(path), batch=batch)


def feeds_for(inputs: Sequence[Input], batch: int = 1) -> dict[str, NDArray[Any]]:
    """Return made-up values for *inputs*, the same at every call.

    Whole-range bytes, floats from the standard normal, 0 or 1 for other integers (valid as ids,
    counts and flags alike), short words for strings.

    Args:
        inputs: as a runtime declares them; an open axis 0 becomes *batch*.
        batch: rows.

    Raises:
        BadConfiguration: an axis other than the first is open.
    """
    generator = np.random.default_rng(0)
    return {one.name: _values(one, _shape(one, batch), generator) for one in inputs}


def _shape(one: Input, batch: int) -> tuple[int, ...]:
    shape = []
    for axis, size in enumerate(one.shape):
        if size is None and axis > 0:
            raise BadConfiguration(
                f"the input {one.name} has an open axis {axis}; only the batch, axis 0, may be open here."
            )
        shape.append(batch if size is None else size)
    return tuple(shape)


def _values(one: Input, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[Any]:
    if one.dtype.kind == "f":
        return generator.standard_normal(shape).astype(one.dtype)
    if one.dtype == np.uint8:
        return generator.integers(0, 256, shape, np.uint8)
    if one.dtype == np.object_:
        return generator.choice(np.array(["a", "b", "c"], np.object_), shape)
    return generator.integers(0, 2, shape).astype(one.dtype)
