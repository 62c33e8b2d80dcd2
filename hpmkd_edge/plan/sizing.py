"""The largest size of a ladder that fits, found by few measurements, each of which may be off by some percent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hpmkd_edge.plan.expectation import expected_amount, expected_time
from hpmkd_edge.students.effort import Effort
from hpmkd_edge.students.family import Size
from hpmkd_edge.verdict import AT_LEAST, Judgement, Outcome, Verdict

# The budgets that a larger student may meet; all others are costs.
SHORT: Final = ("accuracy", "r2", "mae", "accuracy_for_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How far a number about a size can be trusted, relative to itself.

    Attributes:
        noise: by how much the same file's cost moves from one process to another.
        doubt: by how much what was expected of an unmeasured size may be wrong.
    """

    noise: float
    doubt: float


# Of 28 sizes measured four times each on a shared machine, one p90 bound in eight was more than a tenth, and one peak
# in seven more than 0.5 %, away from the median of its size; see bench/results/sizing.json.
TRUSTS: Final[Mapping[str, Trust]] = {
    "latency_ms": Trust(noise=0.10, doubt=0.30),
    "peak_memory_mb": Trust(noise=0.005, doubt=0.02),
    "engine_build_s": Trust(noise=0.10, doubt=0.30),
}
EXACT: Final = Trust(noise=0.0, doubt=0.01)  # bytes of a file
# What ships is measured once more after its training: a cost must stay below its limit by this part of its noise.
MARGIN: Final = 0.75
MOST_MEASUREMENTS: Final = 3  # of one size
# A cost so many times what was expected is not believed at once.
SURPRISE: Final = 1.5


def figure(judgement: Judgement) -> float | None:
    """Return the cost to plan with: the target's own, or this host's in its place; None for what is no cost."""
    if judgement.budget in AT_LEAST or judgement.budget in SHORT:
        return None
    return judgement.value if judgement.value is not None else judgement.here


def excess(judgement: Judgement) -> str | None:
    """Return a sentence if *judgement* is over its limit as far as this host can tell, else None."""
    if judgement.outcome is Outcome.BROKEN:
        return f"{judgement.budget}: {judgement.reason}"
    number = figure(judgement)
    # What is unknown on the board is planned with this host's number: a start, not a verdict.
    over = number is not None and judgement.limit is not None and number > judgement.limit
    if judgement.value is None and over:
        return f"{judgement.budget}: {number:.3g} {judgement.unit} on this host, {judgement.limit:g} allowed"
    return None


def fits(verdict: Verdict) -> bool:
    """Tell whether no cost of *verdict* is over its limit as far as this host can tell."""
    return not any(excess(judgement) for judgement in verdict.judgements)


def strains(verdict: Verdict) -> dict[str, float]:
    """Return each limited cost over its limit, by budget: above 1 is too much; infinite is what broke without one."""
    found = {}
    for judgement in verdict.judgements:
        number = figure(judgement)
        if number is not None and judgement.limit is not None:
            found[judgement.budget] = number / judgement.limit
        elif judgement.outcome is Outcome.BROKEN:
            found[judgement.budget] = math.inf
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search ended at, and the sentence that says why."""

    size: Size
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """What is known so far: each measurement's verdict, and the sizes that it was enough for."""

    probe: Callable[[Size], Verdict]
    efforts: Mapping[Size, Effort]
    verdicts: dict[Size, list[Verdict]] = field(default_factory=dict)
    decided: dict[Size, bool] = field(default_factory=dict)

    def fits(self, size: Size) -> bool:
        """Measure *size* until it is clear whether it fits, and say so."""
        expected = self.expect(size)
        while size not in self.decided:
            self.verdicts.setdefault(size, []).append(self.probe(size))
            clear = self._clear(size, expected)
            if clear is not None:
                self.decided[size] = clear
        return self.decided[size]

    def strain(self, size: Size) -> dict[str, float]:
        """Return the median strain of each budget; of two the smaller, since what disturbs a measurement adds to it."""
        seen = [strains(verdict) for verdict in self.verdicts[size]]
        names = set.intersection(*(set(one) for one in seen))
        return {name: sorted(one[name] for one in seen)[(len(seen) - 1) // 2] for name in seen[0] if name in names}

    def expect(self, size: Size) -> dict[str, float]:
        """Return the strain of each budget that the measured sizes let expect of *size*."""
        known = {other: self.strain(other) for other in self.verdicts}
        expected = {}
        for name in set.intersection(*(set(one) for one in known.values())) if known else ():
            numbers = {other: one[name] for other, one in known.items()}
            if not all(map(math.isfinite, numbers.values())):
                continue
            timed = name.startswith("latency_ms") and self.efforts
            expected[name] = expected_time(size, numbers, self.efforts) if timed else expected_amount(size, numbers)
        return expected

    def _clear(self, size: Size, expected: Mapping[str, float]) -> bool | None:
        """Say whether *size* fits, or None where only another measurement can tell."""
        strain = self.strain(size)
        if any(value > 1 for name, value in strain.items() if trust_in(name) is EXACT):
            return False
        unsure = any(
            abs(value - 1) <= trust_in(name).noise or 1 < value > SURPRISE * expected.get(name, math.inf)
            for name, value in strain.items()
            if trust_in(name) is not EXACT
        )
        if unsure and len(self.verdicts[size]) < MOST_MEASUREMENTS:
            return None
        return all(value <= _most(name) for name, value in strain.items())


def trust_in(budget: str) -> Trust:
    """Return how far numbers of *budget* can be trusted."""
    return TRUSTS.get(budget.partition(".")[0], EXACT)


def _most(budget: str) -> float:
    """Return the largest strain that is taken for fitting."""
    return 1 - MARGIN * trust_in(budget).noise


def largest_that_fits(
    ladder: Sequence[Size], probe: Callable[[Size], Verdict], efforts: Mapping[Size, Effort]
) -> Found:
    """Search *ladder* for the size with the most parameters whose cost meets every limit.

    The largest is measured first, then the smallest; then always the largest that what was measured lets expect to fit;
    and where none is left, the one nearest to its limits, while it is near enough to doubt. A cost need not grow from
    rung to rung. What comes out near its limit, or far above what was expected, is measured again.

    Args:
        ladder: sizes, fewest parameters first; at least one.
        probe: measures a size and judges its cost; each call anew.
        efforts: of each size; empty, latencies are taken for linear in the parameters, as other costs are.
    """
    search = _Search(probe=probe, efforts=efforts)
    smallest, largest = ladder[0], ladder[-1]
    if search.fits(largest):
        return Found(size=largest, reason=f"{largest.label} is the largest size that this run may use, and it fits")
    if not search.fits(smallest):
        over = [excess(judgement) for judgement in search.verdicts[smallest][-1].judgements]
        near = "; ".join(filter(None, over)) or "it comes too near its limits to stay within them"
        return Found(size=smallest, reason=f"no size fits; {smallest.label} is the smallest ({near})")
    best = smallest
    while (choice := _next(search, [size for size in ladder if size.parameters > best.parameters])) is not None:
        if search.fits(choice):
            best = choice
    count, times = len(search.verdicts), sum(map(len, search.verdicts.values()))
    said = f"{count} of {len(ladder)} measured" + (f", {times} times in all" if times > count else "")
    return Found(size=best, reason=f"{best.label} is the largest size that fits ({said})")


def _next(search: _Search, larger: Sequence[Size]) -> Size | None:
    """Return the size to measure next, or None where none of the *larger* ones is worth it."""
    doubts = {}
    for size in larger:
        if size in search.decided:
            continue
        expected = search.expect(size)
        # 0 and below fits as far as is expected; up to 1 it may.
        beyond = ((value - _most(name)) / trust_in(name).doubt for name, value in expected.items())
        doubts[size] = max(beyond, default=0.0)
    hopeful = [size for size, doubt in doubts.items() if doubt <= 0]
    if hopeful:
        return hopeful[-1]
    nearest = min(doubts, key=doubts.__getitem__, default=None)
    return nearest if nearest is not None and doubts[nearest] <= 1 else None
