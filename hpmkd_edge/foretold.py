"""A latency on a target where it was not measured: predicted, transferred, or why neither."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hpmkd_edge.bench.prediction import Prediction
from hpmkd_edge.targets import Percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What one percentile of the latency would be on a target.

    Attributes:
        percentile: that the prediction is of.
        source: what it rests on: "8 records", "published figures".
        prediction: with its 90 % interval.
    """

    percentile: Percentile
    source: str
    prediction: Prediction

    def __post_init__(self) -> None:
        numbers = (self.prediction.low_ms, self.prediction.ms, self.prediction.high_ms)
        if self.prediction.provenance == "unknown":
            if numbers != (None, None, None):
                raise ValueError(f"the latency is unknown and {numbers} was found; no number is needed")
            return
        low, ms, high = (math.nan if number is None else number for number in numbers)
        if not 0 < low <= ms <= high < math.inf:
            raise ValueError(f"{low:g} ms, {ms:g} ms, {high:g} ms were found; low, middle and high above 0 are needed")

    @property
    def interval_ms(self) -> tuple[float, float] | None:
        """The lowest and the highest that it may be at 90 %; None where it is unknown."""
        low, high = self.prediction.low_ms, self.prediction.high_ms
        return None if low is None or high is None else (low, high)

    @property
    def phrase(self) -> str:
        """The number with its interval and source, or why there is none, within a sentence."""
        found = self.prediction
        if found.ms is None:
            return f"not predicted: {found.reason.rstrip('.')}"
        return f"{found.provenance} {found.ms:.4g} ms ({found.low_ms:.4g} to {found.high_ms:.4g}) from {self.source}"
