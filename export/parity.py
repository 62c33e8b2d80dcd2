"""Compare an exported file with the model that it came from."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import ParityBroken
from hpmkd_edge.export.artifact import Parity
from hpmkd_edge.export.layer_parity import Divergence, differing_node
from hpmkd_edge.tasks.values import Scale

# Finds the first layer that differs, on the rows of these places.
Search = Callable[[NDArray[np.int64]], Divergence | None]


class Answer(Protocol):
    """Runs a file, in any runtime, behind what runs before it, and gives its first output."""

    def __call__(
        self, path: Path, feeds: Mapping[str, NDArray[Any]], /, *, preprocessing: Path | None = None
    ) -> NDArray[np.float32]:
        """Answer all rows of *feeds*, which are the first file's: [N, …]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far a file may be off: the least share of rows of the same class, and the largest error of an answer."""

    agreement: float
    error: float


# int8 rounds to 256 steps: a right file moves single rows by any amount, and classes of rows that lie between two.
# What that costs is seen on labels, so its accuracy is judged, against the budget; parity is stated, and stops only
# what gives no numbers.
TOLERANCES: Final = {
    "fp32": Tolerance(agreement=0.999, error=1e-3),
    "fp16": Tolerance(agreement=0.99, error=2e-2),
    "int8": Tolerance(agreement=0.0, error=float("inf")),
}
# Two classes this close are a draw that either side may call.
DRAW: Final = 1e-4
# Rows on which the first layer that differs is looked for, the worst.
SEARCHED_ROWS: Final = 16


def compare_answers(given_NK: NDArray[np.float32], wanted_NK: NDArray[np.float32]) -> Parity:
    """Compare probabilities of a file with those of its origin, row by row.

    A row whose two likeliest classes differ by less than 1e-4 agrees when the file picks either.

    Raises:
        ParityBroken: they are of another shape.
    """
    if given_NK.shape != wanted_NK.shape:
        raise ParityBroken(_other_shape(given_NK, wanted_NK))
    picked = given_NK.argmax(1)
    lead = wanted_NK.max(1) - wanted_NK[np.arange(len(picked)), picked]
    return Parity(
        rows=len(picked),
        agreement=float((lead < DRAW).mean()),
        max_error=float(np.abs(given_NK - wanted_NK).max()),
    )


def compare_values(given_N1: NDArray[np.float32], wanted_N1: NDArray[np.float32], scale: Scale) -> Parity:
    """Compare values of a file with the answers of its origin, which are standardized by *scale*.

    Raises:
        ParityBroken: they are of another shape.
    """
    if given_N1.shape != wanted_N1.shape:
        raise ParityBroken(_other_shape(given_N1, wanted_N1))
    away_N1 = scale.standardized(given_N1) - wanted_N1
    return Parity(rows=len(away_N1), agreement=1.0, max_error=float(np.abs(away_N1).max()), of="value")


def compare_files(
    path: Path,
    origin: Path,
    feeds: Mapping[str, NDArray[Any]],
    *,
    precision: str,
    answer: Answer,
    scale: Scale | None = None,
) -> Parity:
    """Compare the file at *path* with the file that it was made from, and stop the run if it does not answer as that.

    Args:
        path: of the file in the *precision* that it is judged by.
        origin: has the same inputs, and names for its inner values.
        feeds: real rows, by input name.
        precision: a key of `TOLERANCES`.
        answer: runs a file, in any runtime, and gives its first output: probabilities [N, K] or values [N, 1].
        scale: of values, in whose deviations they are compared; None for classes.

    Raises:
        ParityBroken: it answers otherwise; the first layer that differs is named.
    """
    given, wanted = answer(path, feeds), answer(origin, feeds)

    def search(rows: NDArray[np.int64]) -> Divergence | None:
        return differing_node(path, origin, {name: array[rows] for name, array in feeds.items()}, precision)

    if scale is not None:
        wanted = scale.standardized(wanted)
    return settle(given, wanted, scale, precision=precision, search=search)


def settle(
    given: NDArray[np.float32], wanted: NDArray[np.float32], scale: Scale | None, *, precision: str, search: Search
) -> Parity:
    """Compare answers, and stop the run if they differ too much.

    Args:
        given: a file's probabilities [N, K], or values [N, 1] in their units.
        wanted: its origin's probabilities, or standardized values.
        scale: of values; None for classes.
        precision: a key of `TOLERANCES`.
        search: finds the first layer that differs, on the rows of given places.

    Raises:
        ParityBroken: they differ; the first layer that does is named.
    """
    if given.shape != wanted.shape:
        raise _broken(_other_shape(given, wanted), search(np.arange(min(SEARCHED_ROWS, len(wanted)))))
    parity = compare_answers(given, wanted) if scale is None else compare_values(given, wanted, scale)
    alike = given if scale is None else scale.standardized(given)
    check_parity(parity, precision, lambda: search(worst_rows(alike, wanted)))
    return parity


def worst_rows(given_NK: NDArray[np.float32], wanted_NK: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the places of the rows that are off most, at most 16, NaN before all."""
    off_N = np.nan_to_num(np.abs(given_NK - wanted_NK).max(1), nan=np.inf)
    return np.argsort(-off_N, kind="stable")[:SEARCHED_ROWS]


def check_parity(parity: Parity, precision: str, search: Callable[[], Divergence | None] | None = None) -> None:
    """Stop the run if the file does not answer as its origin does.

    Args:
        parity: of the file with its origin.
        precision: a key of `TOLERANCES`; an int8 file is stopped for NaN only.
        search: finds the first layer that differs, or None; asked only where parity is broken.

    Raises:
        ParityBroken: the classes or the answers differ too much; NaN always does.
    """
    allowed = TOLERANCES[precision]
    if not parity.agreement >= allowed.agreement:
        fault = (
            f"the {precision} file keeps the class of {parity.agreement:.2%} of {parity.rows} rows;"
            f" {allowed.agreement:.1%} is needed."
        )
    elif not parity.max_error <= allowed.error or np.isinf(parity.max_error):
        unit = "" if parity.of == "probability" else " deviations of the label"
        limit = "a number is needed" if np.isinf(allowed.error) else f"{allowed.error:g} is allowed"
        fault = f"a {parity.of} of the {precision} file is off by {parity.max_error:.2g}{unit}; {limit}."
    else:
        return
    raise ParityBroken(fault) if search is None else _broken(fault, search())


def _broken(fault: str, where: Divergence | None) -> ParityBroken:
    none = "No layer differs in ONNX Runtime without optimizations: what the runtime makes of them does."
    return ParityBroken(f"{fault} {where or none}")


def _other_shape(given: NDArray[Any], wanted: NDArray[Any]) -> str:
    return f"the file answers {list(given.shape)}; {list(wanted.shape)} is needed."
