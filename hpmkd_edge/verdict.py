"""Judge what was measured against a target's budgets, with the provenance of each number."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Provenance(str, Enum):
    """Where a number comes from, best first."""

    MEASURED = "measured"
    TRANSFERRED = "transferred"
    PREDICTED = "predicted"
    UNKNOWN = "unknown"


class Outcome(str, Enum):
    """How one budget, or all of them together, came out."""

    MET = "met"
    WARNED = "warned"  # met, but beyond the warn level
    INCONCLUSIVE = "inconclusive"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One budget's answer.

    Attributes:
        budget: as in targets.yaml: "latency_ms.p90", "model_size_mb", "accuracy", …
        value: the number that was judged (the upper bound for a latency), or None if unknown.
        limit: the fail level, or for accuracy the least that is allowed; same unit as value.
        warn: the warn level, or None.
        unit: "ms", "MB", "s", "share" (0 to 1) or "".
        here: what this host measured where the value on the target is unknown, else None.
        reason: a sentence, e.g. "unknown on jetson, 0.21 ms p90 on this host".
    """

    budget: str
    outcome: Outcome
    provenance: Provenance
    value: float | None
    limit: float
    warn: float | None
    unit: str
    here: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All budgets of one target, judged."""

    target: str
    judgements: tuple[Judgement, ...]

    @property
    def outcome(self) -> Outcome:
        """Broken if any budget is; else inconclusive if any is; else warned; else met."""
        found = {judgement.outcome for judgement in self.judgements}
        for outcome in (Outcome.BROKEN, Outcome.INCONCLUSIVE, Outcome.WARNED):
            if outcome in found:
                return outcome
        return Outcome.MET

    @property
    def exit_code(self) -> int:
        """0 met or warned, 1 broken, 5 inconclusive."""
        return {Outcome.BROKEN: 1, Outcome.INCONCLUSIVE: 5}.get(self.outcome, 0)
