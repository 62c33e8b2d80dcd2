"""Foretell the latency of a file on a target that isn't here, from records of that target or published figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hpmkd_edge.bench.prediction import (
    Calibration,
    GraphFeatures,
    calibrations_of,
    features_of,
    predict,
    read_records,
    unknown_because,
)
from hpmkd_edge.bench.transferred import transfer
from hpmkd_edge.entrance import entering
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.export.inspection import inspect_file
from hpmkd_edge.foretold import Foretold
from hpmkd_edge.targets import Percentile, Target
from hpmkd_edge.tasks.task import Rows
from hpmkd_edge.verdict import Provenance, provenance_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What was measured on one target before.

    Attributes:
        calibrations: by each percentile that the target has a budget of.
        elsewhere: how many profiles were left out, of another machine, power mode, runtime or number of threads.
    """

    calibrations: Mapping[Percentile, tuple[Calibration, ...]]
    elsewhere: int

    def of(self, features: GraphFeatures, percentile: Percentile) -> Foretold:
        """Foretell a percentile of a graph's latency."""
        known = self.calibrations[percentile]
        found = predict(features, known)
        if found.ms is None and self.elsewhere:
            left_out = f"{self.elsewhere} profiles of another machine, power mode, runtime or number of threads"
            found = replace(found, reason=f"{found.reason.rstrip('.')}; {left_out} were left out.")
        count = sum(one.features.precision == features.precision for one in known)
        return Foretold(percentile=percentile, source=f"{count} records", prediction=found)


def read_experience(folder: str | None, target: Target) -> Experience | None:
    """Read the profiles in *folder* that were taken on *target*; None where no folder is given.

    Raises:
        BadReport: see `bench.prediction.read_records`.
        BadConfiguration: an ONNX file there cannot be read, or its costs not be counted.
    """
    if folder is None:
        return None
    records = read_records(Path(folder).expanduser())
    for _, path in records:
        inspect_file(path)
    there = [one for one in records if provenance_of(one[0], target) is Provenance.MEASURED]
    return Experience(
        calibrations={
            asked.percentile: calibrations_of(there, percentile=float(asked.percentile[1:]))
            for asked in target.budgets.latency_ms
        },
        elsewhere=len(records) - len(there),
    )


def foretell(artifact: Artifact, row: Rows, target: Target, experience: Experience | None) -> tuple[Foretold, ...]:
    """Foretell each percentile that *target* has a budget of; without experience the median alone.

    Published figures are of medians, which say nothing of a tail.

    Args:
        row: one, as what ships takes it.
    """
    asked = tuple(limit.percentile for limit in target.budgets.latency_ms)
    try:
        features = _features_of(artifact, row)
    except BadConfiguration as error:
        # A student that is trained and measured is not lost because its graph cannot be counted.
        none = unknown_because(str(error))
        return tuple(Foretold(percentile=one, source="no record", prediction=none) for one in asked)
    if experience is not None:
        return tuple(experience.of(features, one) for one in asked)
    if not asked:
        return ()
    return (Foretold(percentile="p50", source="published figures", prediction=transfer(features, target)),)


def _features_of(artifact: Artifact, row: Rows) -> GraphFeatures:
    if artifact.preprocessing is not None:
        raise BadConfiguration("it is two files, and records and published figures are of one.")
    return features_of(artifact.path, {name: array.shape for name, array in entering(artifact, row).items()})
