"""How good a shipped file is: its own answers, from the runtime, on labeled rows."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.grading import Misses, misses_of, score_of, standard_error
from hpmkd_edge.bench.runtimes.chain import open_first, open_model
from hpmkd_edge.bench.runtimes.choose import choose_runtime
from hpmkd_edge.bench.runtimes.runtime import Feeds
from hpmkd_edge.errors import BadData, MeasurementFailed

LEAST_PROBABILITY: Final = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The answers of a file on labeled rows.

    Attributes:
        labels: [N], classes as int64 or values as float32.
        predictions: [N]: int64, the class of the greatest probability; or float32, the value.
        loss: mean cross-entropy in nats, probabilities clipped at 1e-7 from below; of values the mean squared error.
        accuracy: share of rows that are right; of values R².
        misses: of values, in their units; None for classes.
        standard_error: of the accuracy, or R²; see `grading.standard_error`.
    """

    labels: NDArray[Any]
    predictions: NDArray[Any]
    loss: float
    accuracy: float
    misses: Misses | None = None
    standard_error: float | None = None


def answer(
    path: Path,
    feeds: Mapping[str, NDArray[Any]],
    *,
    runtime: str = "onnxruntime",
    batch: int = 256,
    preprocessing: Path | None = None,
) -> NDArray[np.float32]:
    """Return the file's first output on all rows, [N, K], run in batches on all cores of this process.

    Args:
        path: of a model file whose first output is a float [rows, K].
        feeds: arrays of N ≥ 1 rows each, by input name; strings as objects.
        runtime: a key of `RUNTIMES`.
        batch: rows a run.
        preprocessing: the file that runs before it, or None; *feeds* are then that file's.

    Raises:
        BadData: the inputs have no rows, or not the same number.
        BadConfiguration: there is no such runtime or file.
        RuntimeUnavailable: the runtime cannot run here.
        MeasurementFailed: the file cannot be loaded or run, or its first output is something else.
    """
    answers_NK = outputs(path, feeds, runtime=runtime, batch=batch, preprocessing=preprocessing)
    if answers_NK.ndim != 2:
        raise MeasurementFailed(
            f"{path.name} answers {len(answers_NK)} rows with a {answers_NK.dtype} of shape {answers_NK.shape}; "
            f"floats of shape ({len(answers_NK)}, classes) are needed as its first output."
        )
    return answers_NK


def entered(preprocessing: Path, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return all rows as the model behind *preprocessing* takes them, by its input's name; of texts the ids.

    Raises:
        BadConfiguration, RuntimeUnavailable, MeasurementFailed: as `answer`.
    """
    first = open_first(preprocessing, len(os.sched_getaffinity(0)), dict(feeds))
    return {first.output: first.run(dict(feeds))}


def outputs(
    path: Path,
    feeds: Mapping[str, NDArray[Any]],
    *,
    runtime: str = "onnxruntime",
    batch: int = 256,
    preprocessing: Path | None = None,
) -> NDArray[np.float32]:
    """Return the file's first output on all rows, of any shape [N, …], otherwise as `answer`.

    Raises:
        BadData, BadConfiguration, RuntimeUnavailable, MeasurementFailed: as `answer`.
    """
    lengths = {name: len(array) for name, array in feeds.items()}
    rows = next(iter(lengths.values()), 0)
    if rows == 0 or set(lengths.values()) != {rows}:
        raise BadData(f"the inputs have {lengths} rows; the same number, at least 1, is needed.")
    first = _rows(feeds, 0, batch)
    threads = len(os.sched_getaffinity(0))
    session = open_model(choose_runtime(runtime), path, threads, first, preprocessing=preprocessing)
    answers: list[NDArray[np.float32]] = []
    for start in range(0, rows, batch):
        part = session.run(_rows(feeds, start, batch))
        wanted = min(batch, rows - start)
        if part.dtype.kind != "f" or part.ndim == 0 or len(part) != wanted:
            raise MeasurementFailed(
                f"{path.name} answers {wanted} rows with a {part.dtype} of shape {part.shape}; "
                f"floats of shape ({wanted}, …) are needed as its first output."
            )
        if answers and part.shape[1:] != answers[0].shape[1:]:
            raise MeasurementFailed(
                f"{path.name} answers rows with shape {answers[0].shape[1:]} and others with {part.shape[1:]}; the same"
                " is needed for all."
            )
        answers.append(part.astype(np.float32, copy=False))
    return np.concatenate(answers)


def score(
    path: Path,
    feeds: Mapping[str, NDArray[Any]],
    labels: NDArray[Any],
    *,
    runtime: str = "onnxruntime",
    preprocessing: Path | None = None,
) -> Score:
    """Answer all rows and compare with *labels*, [N].

    They are classes, each in 0 … K − 1, and the output is probabilities; or they are float32, and it is values [N, 1].

    Raises:
        BadData: there are not as many labels as rows, or a label has no class.
        BadConfiguration, RuntimeUnavailable: as `answer`.
        MeasurementFailed: as `answer`, or an answer is not a number.
    """
    answers_NK = answer(path, feeds, runtime=runtime, preprocessing=preprocessing)
    if not np.isfinite(answers_NK).all():
        bad = int(np.count_nonzero(~np.isfinite(answers_NK).all(axis=1)))
        raise MeasurementFailed(f"{path.name} answers {bad} rows with NaN or infinity; finite numbers are needed.")
    rows, classes = answers_NK.shape
    if labels.dtype.kind == "f":
        if labels.shape != (rows,) or classes != 1:
            raise BadData(
                f"{path.name} answers with {rows}×{classes} numbers and the labels have shape {labels.shape}; one"
                " number and one value a row are needed."
            )
        misses = misses_of(answers_NK, labels)
        assert misses is not None
        return Score(
            labels=labels,
            predictions=answers_NK[:, 0],
            loss=misses.rmse**2,
            accuracy=score_of(answers_NK, labels),
            misses=misses,
            standard_error=standard_error(answers_NK, labels),
        )
    if labels.shape != (rows,) or labels.min() < 0 or labels.max() >= classes:
        raise BadData(f"the labels have shape {labels.shape}; {rows}, each in 0 … {classes - 1}, are needed.")
    true_N = answers_NK[np.arange(rows), labels].astype(np.float64)
    return Score(
        labels=labels,
        predictions=answers_NK.argmax(1).astype(np.int64),
        loss=float(-np.log(np.maximum(true_N, LEAST_PROBABILITY)).mean()),
        accuracy=score_of(answers_NK, labels),
        standard_error=standard_error(answers_NK, labels),
    )


def _rows(feeds: Mapping[str, NDArray[Any]], start: int, batch: int) -> Feeds:
    return {name: array[start : start + batch] for name, array in feeds.items()}
