"""The latency of a model on a device that isn't here, from records that were taken there."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from hpmkd_edge.bench.additive import LEAST_POINTS, fit
from hpmkd_edge.bench.profile import Profile, read_profile
from hpmkd_edge.errors import BadReport
from hpmkd_edge.export.graph_costs import node_costs, parameter_count

NAMES: Final = ("dense MACs", "depthwise MACs", "bytes moved", "operators", "bytes of parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFeatures:
    """What a latency is predicted from.

    Attributes:
        operators: how many nodes move bytes.
        kinds: which operators those are.
    """

    dense_macs: int
    depthwise_macs: int
    moved_bytes: int
    operators: int
    parameter_bytes: int
    parameters: int
    kinds: tuple[str, ...]

    @property
    def vector(self) -> tuple[float, ...]:
        """The numbers that `NAMES` names."""
        return (self.dense_macs, self.depthwise_macs, self.moved_bytes, self.operators, self.parameter_bytes)

    @property
    def precision(self) -> str:
        """What most weights are stored in: "fp32", "fp16" or "int8"."""
        width = self.parameter_bytes / max(self.parameters, 1)
        return "fp32" if width > 3 else "fp16" if width > 1.5 else "int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """One model that was measured on the device, in one shape of its inputs."""

    model_sha256: str
    features: GraphFeatures
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A latency with its 90 % interval, or why there is none.

    Attributes:
        provenance: as in a verdict.
        ms, low_ms, high_ms: None where the provenance is "unknown".
        reason: a sentence: what it rests on, or what is missing.
    """

    provenance: Literal["predicted", "transferred", "unknown"]
    ms: float | None
    low_ms: float | None
    high_ms: float | None
    reason: str


def unknown_because(reason: str) -> Prediction:
    """Return the answer without a number."""
    return Prediction(provenance="unknown", ms=None, low_ms=None, high_ms=None, reason=reason)


def features_of(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> GraphFeatures:
    """Count what the graph in *path* costs.

    Args:
        path: a file that `inspect_file` accepts.
        shapes: of each input, the batch filled in.

    Raises:
        BadConfiguration: as `node_costs`.
    """
    costs = node_costs(path, shapes)
    executed = [cost for cost in costs if cost.moved_bytes > 0]
    return GraphFeatures(
        dense_macs=sum(cost.macs for cost in costs if not cost.depthwise),
        depthwise_macs=sum(cost.macs for cost in costs if cost.depthwise),
        moved_bytes=sum(cost.moved_bytes for cost in executed),
        operators=len(executed),
        parameter_bytes=sum(cost.parameter_bytes for cost in costs),
        parameters=parameter_count(path),
        kinds=tuple(sorted({cost.operator for cost in executed})),
    )


def read_records(folder: Path) -> tuple[tuple[Profile, Path], ...]:
    """Read every profile in *folder*, with the ONNX file there that it is of.

    Raises:
        BadReport: there is no profile, one cannot be read, or its model is not there.
    """
    if not folder.is_dir():
        raise BadReport(f"there is no folder {folder}; one with profiles and their ONNX files is needed.")
    files = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in sorted(folder.glob("*.onnx"))}
    records = []
    for path in sorted(folder.glob("*.json")):
        profile = read_profile(path)
        if profile.model_sha256 not in files:
            raise BadReport(
                f"{path} is of {profile.model}, sha256 {profile.model_sha256[:12]}…; that file is needed beside it."
            )
        records.append((profile, files[profile.model_sha256]))
    if not records:
        raise BadReport(f"{folder} has no profile; a .json of each measurement, with its .onnx, is needed.")
    return tuple(records)


def calibrations_of(records: Sequence[tuple[Profile, Path]], *, percentile: float = 50) -> tuple[Calibration, ...]:
    """Return one calibration for each shape that a model was measured in: the median over those profiles.

    Profiles of students in two files, of runs too few for the percentile, and without the shapes that were fed, are
    left out.

    Args:
        percentile: of the latency.

    Raises:
        BadConfiguration: the costs of a file cannot be counted.
    """
    seen: dict[str, list[float]] = {}
    features: dict[str, GraphFeatures] = {}
    for profile, path in records:
        ms = profile.percentile_ms(percentile)
        if ms is None or profile.preprocessing is not None or not profile.shapes:
            continue
        # One file in two batches is two points.
        shapes = {shape.name: shape.sizes for shape in profile.shapes}
        key = f"{profile.model_sha256}{sorted(shapes.items())}"
        if key not in features:
            features[key] = features_of(path, shapes)
        seen.setdefault(key, []).append(ms)
    return tuple(
        Calibration(model_sha256=key[:64], features=features[key], ms=statistics.median(found))
        for key, found in seen.items()
    )


def predict(features: GraphFeatures, calibrations: Sequence[Calibration]) -> Prediction:
    """Predict a latency from models that were measured on one device, in one runtime, mode and number of threads.

    Non-negative least squares of the relative error; the interval is that of leaving each model out, with all of its
    points: a file in two batches is two points, and one model. Unknown, where fewer than five models of the same
    precision were measured, where the graph has other operators than theirs, and
    outside their range.
    """
    same = [one for one in calibrations if one.features.precision == features.precision]
    models = [one.model_sha256 for one in same]
    count = len(set(models))
    if count < LEAST_POINTS:
        return unknown_because(
            f"{count} models in {features.precision} were measured on the device; {LEAST_POINTS} are needed."
        )
    foreign = _other_operators(features, same)
    if foreign:
        return unknown_because(f"it is of another family than the {count} measured models: {foreign}.")
    points = np.array([one.features.vector for one in same], np.float64)
    fitted = fit(NAMES, points, np.array([one.ms for one in same]), models)
    beyond = fitted.range.outside(features.vector)
    if beyond:
        return unknown_because(f"it has {beyond} in the {count} measured models.")
    ms = fitted.ms(features.vector)
    if not ms > 0 or not np.isfinite(fitted.factor):
        return unknown_because(f"the {count} measured models do not tell what it costs.")
    return Prediction(
        provenance="predicted",
        ms=ms,
        low_ms=ms / fitted.factor,
        high_ms=ms * fitted.factor,
        reason=f"from {count} models measured on the device; each left out in turn gives the interval.",
    )


def _other_operators(features: GraphFeatures, same: Sequence[Calibration]) -> str | None:
    """Say which operators none of the others has, or all of them have and this one lacks."""
    others = [set(one.features.kinds) for one in same]
    new = sorted(set(features.kinds).difference(*others))
    lacking = sorted(others[0].intersection(*others).difference(features.kinds))
    if new:
        return f"none of them has {', '.join(new)}"
    return f"all of them have {', '.join(lacking)}" if lacking else None
