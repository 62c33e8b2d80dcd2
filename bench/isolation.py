"""Run a file in a process of its own: a runtime may crash on a file, and ours goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from hpmkd_edge.bench.scoring import score
from hpmkd_edge.errors import MeasurementFailed

Found = TypeVar("Found")


def isolated(work: Callable[..., Found], path: Path, *given: object) -> Found:
    """Return what *work* makes of the file at *path*, and of what is *given*, in a fresh process.

    Args:
        work: a function of a module, which the process imports.
        path: of the file that it runs.
        given: what else it takes; it is copied.

    Raises:
        EdgeError: what the process met, under its own class.
        MeasurementFailed: it crashed.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, path, *given).result()
        except BrokenProcessPool as error:
            raise MeasurementFailed(f"the process that ran {path.name} crashed.") from error


def graded(path: Path, feeds: Mapping[str, NDArray[Any]], labels: NDArray[Any]) -> tuple[float, float]:
    """Return accuracy and loss of a file, run in a process of its own.

    Raises:
        MeasurementFailed: it cannot be run, or the process crashes.
    """
    found = isolated(score, path, feeds, labels)
    return found.accuracy, found.loss
