"""How a model is asked for rows, and how what it gives becomes logits."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadTeacher, EdgeError
from hpmkd_edge.progress import hidden
from hpmkd_edge.tasks.task import Inputs

BATCH: Final = 256
LEAST_PROBABILITY: Final = 1e-7
# float16 outputs of 1,000 classes sum to 1 within about this much.
SUM_TOLERANCE: Final = 2e-3
AS_LOGARITHMS: Final = "its probabilities are read as logarithms"
AS_VALUES: Final = "it answers with values"


def first_line(fault: BaseException) -> str:
    """Return a foreign exception as one short phrase: libraries append pages of advice."""
    lines = str(fault).strip().splitlines() or [""]
    return f"{type(fault).__name__}: {lines[0][:300].rstrip('. ')}"


@contextmanager
def running(name: str, shape: tuple[int, ...], hint: str = "") -> Iterator[None]:
    """Turn whatever a foreign model raises into one sentence.

    Args:
        name: of the teacher.
        shape: of the input that it is given.
        hint: what the user can do about it, appended.

    Raises:
        BadTeacher: the block raised anything but an error of ours.
    """
    try:
        yield
    except EdgeError:
        raise
    except Exception as fault:  # a foreign model may raise anything
        raise BadTeacher(f"{name} fails on an input of shape {shape}: {first_line(fault)}{hint}.") from fault


def answer_in_batches(
    name: str,
    inputs: Inputs,
    forward: Callable[[Inputs], NDArray[Any]],
    *,
    size: int = BATCH,
    least: int = 1,
) -> NDArray[np.float32]:
    """Ask for *inputs* a batch at a time, with a bar where there is a terminal.

    Args:
        name: of the teacher, for the bar and for errors.
        inputs: N raw rows.
        forward: from raw rows to [rows, K].
        size: rows of a batch.
        least: rows that a batch must have; the last one repeats its last row up to this.

    Returns:
        float32 [N, K], as the model gives them.

    Raises:
        BadTeacher: the answer is not one row of numbers for each row.
    """
    from tqdm import tqdm

    answers = []
    # A single batch needs no bar.
    silent = True if len(inputs) <= size else hidden()
    for start in tqdm(range(0, len(inputs), size), desc=name, unit="batch", leave=False, disable=silent):
        rows = np.arange(start, min(start + size, len(inputs)))
        padded = np.pad(rows, (0, max(0, least - len(rows))), mode="edge")
        answer = forward(inputs.take(padded))
        if answer.ndim != 2 or len(answer) != len(padded):
            raise BadTeacher(
                f"{name} gives an answer of shape {answer.shape} for {len(padded)} row(s); "
                "one row of logits for each is needed."
            )
        answers.append(answer[: len(rows)].astype(np.float32))
    return np.concatenate(answers)


def as_column(answer: NDArray[Any]) -> NDArray[Any]:
    """Return values [N] as a matrix [N, 1]; a matrix stays."""
    return answer[:, None] if answer.ndim == 1 else answer


def are_probabilities(answers_NK: NDArray[Any]) -> bool:
    """Tell whether every row lies in [0, 1] and sums to 1."""
    inside = bool(np.all((answers_NK >= 0) & (answers_NK <= 1 + SUM_TOLERANCE)))
    return inside and bool(np.all(np.abs(answers_NK.sum(-1) - 1) <= SUM_TOLERANCE))


def logarithms(probabilities_NK: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logarithms of probabilities, clipped at 1e-7, as float32 [N, K]."""
    # The clip is done in float32: NaN passes through and is refused by the check of the teacher.
    clipped = np.clip(probabilities_NK.astype(np.float32), np.float32(LEAST_PROBABILITY), np.float32(1))
    return np.log(clipped)
