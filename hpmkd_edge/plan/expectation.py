"""What a size would cost, by what others of its ladder were measured to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.students.effort import Effort
from hpmkd_edge.students.family import Size

# What a call costs beside its weighted layers, in such layers: the runtime's own work, casts, a mean, a softmax. With 8
# a third layer adds 1/10 to a perceptron's 5 µs; measured are 6 to 8 %.
EXTRA: Final = 8


def expected_amount(size: Size, measured: Mapping[Size, float]) -> float:
    """Interpolate bytes, of a file or in memory, linearly in the parameters; exact to about 1 % for a file.

    Args:
        measured: the same cost of other sizes, at least one; beyond its ends the nearest end's is returned, and one
            alone is taken for proportional.
    """
    known = sorted(measured, key=lambda other: other.parameters)
    if len(known) == 1:
        return measured[known[0]] * size.parameters / known[0].parameters
    at = [other.parameters for other in known]
    return float(np.interp(size.parameters, at, [measured[other] for other in known]))


def expected_time(size: Size, measured: Mapping[Size, float], efforts: Mapping[Size, Effort]) -> float:
    """Expect a time by non-negative shares for each multiply-add and each layer, corrected by what they miss nearby.

    The correction is interpolated in the logarithm of the multiply-adds, so that what was measured is met.

    Args:
        measured: the same time of other sizes, at least one.
        efforts: of all these sizes.
    """
    known = sorted(measured, key=lambda other: efforts[other].macs)
    times = np.array([measured[other] for other in known], np.float64)
    rows = np.stack([_features(efforts[other]) for other in known])
    law = _law(rows, times)
    missed = np.log(times / (rows @ law))
    here = _features(efforts[size])
    return float(here @ law * np.exp(np.interp(np.log(here[0]), np.log(rows[:, 0]), missed)))


def _features(effort: Effort) -> NDArray[np.float64]:
    return np.array([max(effort.macs, 1), effort.layers + EXTRA], np.float64)


def _law(rows: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit *times* by a sum of non-negative shares of the columns of *rows*, by least squares of relative errors."""
    from scipy.optimize import nnls

    shares, _ = nnls(rows / times[:, None], np.ones(len(times)))
    return np.asarray(shares, np.float64)
