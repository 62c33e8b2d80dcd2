"""What values inner tensors take on real rows, and which of them eight bits should span."""

# Shape suffixes: B = bins, H = bins from zero to the furthest, L = levels.

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import ConversionFailed

if TYPE_CHECKING:
    import onnx

# The last: activations stay in float32, and weights alone become integers.
Calibration = Literal["minmax", "entropy", "percentile", "weights"]
CALIBRATIONS: Final[tuple[Calibration, ...]] = ("minmax", "entropy", "percentile")

BINS: Final = 4096  # even: zero lies on an edge
OUTSIDE: Final = 5e-5  # of the values, what a percentile leaves out on each side
BATCH_BYTES: Final = 64e6  # of all inner tensors together
MOST_ROWS: Final = 256
_STRIDE: Final = 8  # bins between two limits that entropy compares


def told(calibration: Calibration) -> str:
    """Return how an int8 file came to be, as a phrase."""
    return "weights alone in integers" if calibration == "weights" else f"calibrated by {calibration}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How the values of a tensor are spread.

    Attributes:
        least, most: of all values.
        counts: int64, [B]: values in each of 4,096 equal bins between −reach and reach; 0 where that is infinite.
    """

    least: float
    most: float
    counts: NDArray[np.int64]

    @property
    def is_finite(self) -> bool:
        """Whether all values are numbers."""
        return math.isfinite(self.least) and math.isfinite(self.most)

    @property
    def reach(self) -> float:
        """The greatest magnitude."""
        return max(-self.least, self.most)

    def limits(self, calibration: Calibration, levels: int) -> tuple[float, float]:
        """Return the least and the greatest value to be spanned, zero among them.

        Args:
            calibration: "minmax" spans all values; "percentile" all but 0.005 % on each side; "entropy" those whose
                distribution loses least when it is told in *levels* steps.
            levels: from zero to the greatest magnitude.
        """
        if calibration == "minmax" or self.reach == 0:
            low, high = self.least, self.most
        elif calibration == "percentile":
            share_B = np.cumsum(self.counts) / self.counts.sum()
            width = 2 * self.reach / BINS
            low = max(self.least, int(np.searchsorted(share_B, OUTSIDE)) * width - self.reach)
            high = min(self.most, (int(np.searchsorted(share_B, 1 - OUTSIDE)) + 1) * width - self.reach)
        else:
            half = BINS // 2
            bound = self.reach * _least_divergent(self.counts[half:] + self.counts[half - 1 :: -1], levels) / half
            low, high = max(self.least, -bound), min(self.most, bound)
        return min(low, 0.0), max(high, 0.0)


def _least_divergent(counts_H: NDArray[np.int64], levels: int) -> int:
    """Return after how many bins to clip, for the least Kullback–Leibler divergence of *levels* steps.

    Source: Migacz, "8-bit Inference with TensorRT" (GTC 2017), entropy calibration.
    """
    # A rectifier's zeros are told as they are in any number of steps, and outweigh all else.
    counts_H = np.concatenate([counts_H[1:2], counts_H[1:]])
    best, least = len(counts_H), np.inf
    for kept in range(len(counts_H), levels - 1, -_STRIDE):
        inside_H = counts_H[:kept].astype(np.float64)
        wanted_H = inside_H.copy()
        wanted_H[-1] += counts_H[kept:].sum()
        edges_L = np.linspace(0, kept, levels + 1).astype(np.int64)
        filled_L = np.add.reduceat((inside_H > 0).astype(np.float64), edges_L[:-1])
        mean_L = np.add.reduceat(inside_H, edges_L[:-1]) / np.maximum(filled_L, 1)
        told_H = np.repeat(mean_L, np.diff(edges_L)) * (inside_H > 0)
        seen_H = wanted_H > 0
        if not told_H.any():
            break
        # What is told nowhere but wanted there, the clipped tail on an empty bin, costs as a thousandth of a value.
        told_H = np.maximum(told_H, 1e-3)[seen_H] / told_H.sum()
        wanted_H = wanted_H[seen_H] / wanted_H.sum()
        divergence = float((wanted_H * np.log(wanted_H / told_H)).sum())
        if divergence < least:
            best, least = kept, divergence
    return best


def spreads_of(
    model: onnx.ModelProto, tensors: Collection[str], feeds: Mapping[str, NDArray[Any]]
) -> dict[str, Spread]:
    """Run *model* on all rows, twice, and return how the values of float32 *tensors* are spread.

    Args:
        model: is not changed.
        tensors: names of values; those that are inputs of the graph, too.
        feeds: N ≥ 1 rows by input name, words as objects; a file with a fixed batch is run on whole batches.

    Raises:
        ConversionFailed: there are no rows, or the model cannot be run on them.
    """
    if not feeds or min(map(len, feeds.values())) == 0:
        raise ConversionFailed("no rows were given to calibrate on; at least one is needed.")
    inside = [name for name in dict.fromkeys(tensors) if name not in feeds]
    session = _session(model, inside)
    rows = min(map(len, feeds.values()))
    fixed = _fixed_batch(model)

    def values_of(start: int, stop: int) -> dict[str, NDArray[np.float32]]:
        part = {name: array[start:stop] for name, array in feeds.items()}
        try:
            found = session.run(inside, part)
        except Exception as error:
            raise ConversionFailed(f"the rows to calibrate on cannot be run: {' '.join(str(error).split())}") from error
        return dict(zip(inside, found, strict=True)) | {name: part[name] for name in tensors if name in part}

    once = min(fixed or 1, rows)
    bytes_a_row = sum(array.nbytes for array in values_of(0, once).values()) / once
    batch = fixed or int(np.clip(BATCH_BYTES / max(bytes_a_row, 1), 1, MOST_ROWS))
    places = range(0, rows - (rows % fixed if fixed and rows > fixed else 0), batch)
    ends: dict[str, tuple[float, float]] = {}
    for start in places:
        for name, values in values_of(start, start + batch).items():
            low, high = ends.get(name, (0.0, 0.0) if not values.size else (np.inf, -np.inf))
            if values.size:  # numpy's own, for which NaN is the least and the greatest, wherever it stands
                low, high = float(np.minimum(low, values.min())), float(np.maximum(high, values.max()))
            ends[name] = low, high
    counts = {name: np.zeros(BINS, np.int64) for name in ends}
    for start in places:
        for name, values in values_of(start, start + batch).items():
            reach = max(-ends[name][0], ends[name][1])
            if 0 < reach < np.inf:
                counts[name] += np.histogram(values, BINS, (-reach, reach))[0]
    return {name: Spread(least=low, most=high, counts=counts[name]) for name, (low, high) in ends.items()}


def _session(model: onnx.ModelProto, inside: Collection[str]) -> Any:
    """Open *model* with the values *inside* it as outputs."""
    import onnxruntime
    from onnx import TensorProto, helper

    seen = type(model)()
    seen.CopyFrom(model)
    given = {one.name for one in seen.graph.output}
    seen.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inside if name not in given
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(seen.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ConversionFailed(f"ONNX Runtime cannot load the graph: {' '.join(str(error).split())}") from error


def _fixed_batch(model: onnx.ModelProto) -> int | None:
    """Return the rows that the graph takes at once, or None where their number is free."""
    for value in model.graph.input:
        shape = value.type.tensor_type.shape.dim
        if shape and shape[0].dim_value:
            return int(shape[0].dim_value)
    return None
