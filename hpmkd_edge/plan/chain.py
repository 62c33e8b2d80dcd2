"""The sizes to train, the last of them the student: laid by measured cost, moved by a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hpmkd_edge.plan.sizing import SHORT, excess, fits, largest_that_fits
from hpmkd_edge.students.effort import Effort
from hpmkd_edge.students.family import Size
from hpmkd_edge.verdict import Verdict


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


def first_chain(
    ladder: Sequence[Size], probe: Callable[[Size], Verdict], *, efforts: Mapping[Size, Effort] | None = None
) -> Step:
    """Lay a chain that ends at the largest size whose untrained *probe* meets the cost budgets.

    Latency does not depend on trained weights, so candidates are measured before anything is trained; see
    `sizing.largest_that_fits`.

    Args:
        ladder: sizes, fewest parameters first; at least one.
        probe: builds, exports and measures one size in the precision that is to ship, and judges its cost; each call
            measures anew.
        efforts: of each size, see `students.effort`; they tell latencies better than the parameters do.

    Returns:
        The chain. Where no size fits, it ends at the smallest, so that the report can show by how much.
    """
    found = largest_that_fits(ladder, probe, efforts or {})
    return Step(chain=Chain(sizes=(found.size,)), reason=found.reason)


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
    probe: Callable[[Size], Verdict],
    teacher_parameters: int | None,
) -> Step | None:
    """Move *chain* by what its *verdict* found broken, or return None when there is nothing left to try.

    A broken cost takes the next smaller end that was not refused. A broken accuracy takes the next larger end
    while one is allowed and fits, else one more intermediate, once. No end is trained twice without one: after at most
    one round more than there are sizes there is nothing left.

    Args:
        chain: what was trained last.
        verdict: its judgement.
        allowed: sizes that the student may have, fewest parameters first.
        ladder: all sizes of the family, for intermediates.
        tried: all chains trained so far, *chain* among them.
        refused: sizes whose probe did not fit.
        probe: as for `first_chain`; the next larger size is measured before it is trained, since the search may have
            passed it over by what it expected.
        teacher_parameters: the upper end for intermediates, if it is known.
    """
    over = {judgement.budget: sentence for judgement in verdict.judgements if (sentence := excess(judgement))}
    missed = [over.pop(name) for name in SHORT if name in over]
    short = "; ".join(missed) or None
    place = allowed.index(chain.end)
    ends = {other.end for other in tried}
    if over:
        # What costs more need not be larger: a smaller size that was refused is passed over.
        smaller = next((size for size in reversed(allowed[:place]) if size not in refused), None)
        if smaller is None:
            return None
        why = "; ".join(over.values())
        if smaller not in ends:
            return Step(chain=Chain(sizes=(smaller,)), reason=f"{why}: the next smaller size")
        # From there the way led up here, so it fits, and what it lacked was accuracy.
        why += ", and the next smaller size was short of accuracy"
        return _longer(smaller, why, ladder, tried, teacher_parameters)
    if short is None:
        return None
    larger = allowed[place + 1 :]
    if larger and larger[0] not in ends and larger[0] not in refused and fits(probe(larger[0])):
        return Step(chain=Chain(sizes=(larger[0],)), reason=f"{short}, with cost to spare: the next larger size")
    return _longer(chain.end, f"{short}, and no larger size is allowed and fits", ladder, tried, teacher_parameters)


def _longer(
    end: Size, why: str, ladder: Sequence[Size], tried: Sequence[Chain], teacher_parameters: int | None
) -> Step | None:
    """Lay the chain to *end* with one intermediate, unless one was tried already or there is no room for it."""
    if any(len(other.sizes) > 1 for other in tried):
        return None
    between = intermediates(ladder, end, teacher_parameters, 1)
    if between is None:
        return None
    return Step(chain=Chain(sizes=(*between, end)), reason=f"{why}: one more intermediate")
