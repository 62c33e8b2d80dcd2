"""Compare an exported file with the model that it came from."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import ParityBroken
from hpmkd_edge.export.artifact import Parity
from hpmkd_edge.tasks.values import Scale

LEAST_AGREEMENT: Final = 0.999
LARGEST_ERROR: Final = {"fp32": 1e-3}
# Two classes this close are a draw that either side may call.
DRAW: Final = 1e-4


def compare_answers(given_NK: NDArray[np.float32], wanted_NK: NDArray[np.float32]) -> Parity:
    """Compare probabilities of a file with those of its origin, row by row.

    A row whose two likeliest classes differ by less than 1e-4 agrees when the file picks either.
    """
    picked = given_NK.argmax(1)
    lead = wanted_NK.max(1) - wanted_NK[np.arange(len(picked)), picked]
    return Parity(
        rows=len(picked),
        agreement=float((lead < DRAW).mean()),
        max_error=float(np.abs(given_NK - wanted_NK).max()),
    )


def compare_values(given_N1: NDArray[np.float32], wanted_N1: NDArray[np.float32], scale: Scale) -> Parity:
    """Compare values of a file with the answers of its origin, which are standardized by *scale*."""
    away_N1 = scale.standardized(given_N1) - wanted_N1
    return Parity(rows=len(away_N1), agreement=1.0, max_error=float(np.abs(away_N1).max()), of="value")


def check_parity(parity: Parity, precision: str) -> None:
    """Stop the run if the file does not answer as its origin does.

    Raises:
        ParityBroken: the classes or the probabilities differ too much; NaN always does.
    """
    if not parity.agreement >= LEAST_AGREEMENT:
        raise ParityBroken(
            f"the {precision} file keeps the class of {parity.agreement:.2%} of {parity.rows} rows;"
            f" {LEAST_AGREEMENT:.1%} is needed."
        )
    allowed = LARGEST_ERROR[precision]
    if not parity.max_error <= allowed:
        unit = "" if parity.of == "probability" else " deviations of the label"
        raise ParityBroken(
            f"a {parity.of} of the {precision} file is off by {parity.max_error:.2g}{unit}; {allowed:g} is allowed."
        )
