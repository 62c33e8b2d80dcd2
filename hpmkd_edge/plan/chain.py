"""The sizes to train, the last of them the student: laid by measured cost, moved by a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from hpmkd_edge.students.family import Size
from hpmkd_edge.verdict import AT_LEAST, Judgement, Outcome, Verdict

# The budgets that a larger student may meet; all others are costs.
SHORT: Final = ("accuracy", "r2", "mae")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Sizes from the largest intermediate to the student; one size alone has no intermediates."""

    sizes: tuple[Size, ...]

    @property
    def end(self) -> Size:
        """The student's size."""
        return self.sizes[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A chain to train, and the sentence that says why."""

    chain: Chain
    reason: str


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


def _predicted_to_fit(size: Size, measured: Mapping[Size, Verdict]) -> bool:
    """Interpolate each cost linearly in the parameters between measured sizes, and compare with its limit."""
    known = sorted(measured, key=lambda other: other.parameters)
    at = [other.parameters for other in known]
    for place, judgement in enumerate(measured[known[0]].judgements):
        numbers = [figure(measured[other].judgements[place]) for other in known]
        if judgement.limit is None or any(number is None for number in numbers):
            continue
        if np.interp(size.parameters, at, np.array(numbers, np.float64)) > judgement.limit:
            return False
    return True


def first_chain(ladder: Sequence[Size], probe: Callable[[Size], Verdict]) -> Step:
    """Lay a chain that ends at the largest size whose untrained *probe* meets the cost budgets.

    Latency does not depend on trained weights, so candidates are measured before anything is trained:
    the smallest and the largest first, then always the largest that the measured ones let expect to fit. The search
    ends when the next larger rung is measured and does not fit.

    Args:
        ladder: sizes, fewest parameters first; at least one.
        probe: builds, exports and measures one size, and judges its cost.

    Returns:
        The chain. Where no size fits, it ends at the smallest, so that the report can show by how much.
    """
    measured: dict[Size, Verdict] = {}

    def fits_when_measured(size: Size) -> bool:
        if size not in measured:
            measured[size] = probe(size)
        return fits(measured[size])

    smallest, largest = ladder[0], ladder[-1]
    if fits_when_measured(largest):
        reason = f"{largest.label} is the largest size that this run may use, and it fits"
        return Step(chain=Chain(sizes=(largest,)), reason=reason)
    if not fits_when_measured(smallest):
        over = [excess(judgement) for judgement in measured[smallest].judgements]
        reason = f"no size fits; {smallest.label} is the smallest ({'; '.join(filter(None, over))})"
        return Step(chain=Chain(sizes=(smallest,)), reason=reason)
    fitting, refused = smallest, largest
    while True:
        between = [size for size in ladder if fitting.parameters < size.parameters < refused.parameters]
        if not between:
            reason = f"{fitting.label} is the largest size that fits ({len(measured)} of {len(ladder)} measured)"
            return Step(chain=Chain(sizes=(fitting,)), reason=reason)
        expected = [size for size in between if _predicted_to_fit(size, measured)]
        choice = expected[-1] if expected else between[0]
        if fits_when_measured(choice):
            fitting = choice
        else:
            refused = choice


def intermediates(ladder: Sequence[Size], end: Size, top: int | None, count: int) -> tuple[Size, ...] | None:
    """Return *count* sizes between *top* parameters and *end*, largest first, or None where the ladder has too few.

    Sizes of a chain are geometric: `|θ_i| = |θ_T|·(|θ_S|/|θ_T|)^(i/L)` (HPM-KD, arXiv 2512.09886); each is the
    nearest rung. Neighbors differ by half at least, else a link would train a model that is there already.

    Args:
        ladder: all sizes of the family.
        top: the teacher's parameters, or None where it has no such count: then the largest rung's.
    """
    first = top or ladder[-1].parameters
    chosen: list[Size] = []
    for place in range(1, count + 1):
        wanted = math.log(first) + (math.log(end.parameters) - math.log(first)) * place / (count + 1)
        chosen.append(min(ladder, key=lambda size: abs(math.log(size.parameters) - wanted)))
    counts = [*([top] if top else []), *(size.parameters for size in chosen), end.parameters]
    if any(larger < 1.5 * smaller for larger, smaller in pairwise(counts)):
        return None
    return tuple(chosen)


def resize(
    chain: Chain,
    verdict: Verdict,
    *,
    allowed: Sequence[Size],
    ladder: Sequence[Size],
    tried: Sequence[Chain],
    refused: Collection[Size],
    teacher_parameters: int | None,
) -> Step | None:
    """Move *chain* by what its *verdict* found broken, or return None when there is nothing left to try.

    A broken cost takes the next smaller end. A broken accuracy takes the next larger end while one is allowed and fits,
    else one more intermediate, once.

    Args:
        chain: what was trained last.
        verdict: its judgement.
        allowed: sizes that the student may have, fewest parameters first.
        ladder: all sizes of the family, for intermediates.
        tried: all chains trained so far, *chain* among them.
        refused: sizes whose probe did not fit.
        teacher_parameters: the upper end for intermediates, if it is known.
    """
    over = {judgement.budget: sentence for judgement in verdict.judgements if (sentence := excess(judgement))}
    missed = [over.pop(name) for name in SHORT if name in over]
    short = "; ".join(missed) or None
    place = allowed.index(chain.end)
    ends = {other.end for other in tried}
    if over:
        smaller = [size for size in allowed[:place] if size not in ends]
        if not smaller:
            return None
        return Step(chain=Chain(sizes=(smaller[-1],)), reason=f"{'; '.join(over.values())}: the next smaller size")
    if short is None:
        return None
    larger = allowed[place + 1 :]
    if larger and larger[0] not in ends and larger[0] not in refused:
        return Step(chain=Chain(sizes=(larger[0],)), reason=f"{short}, with cost to spare: the next larger size")
    if all(len(other.sizes) == 1 for other in tried):
        between = intermediates(ladder, chain.end, teacher_parameters, 1)
        if between is not None:
            longer = Chain(sizes=(*between, chain.end))
            return Step(chain=longer, reason=f"{short}, and no larger size is allowed and fits: one more intermediate")
    return None
