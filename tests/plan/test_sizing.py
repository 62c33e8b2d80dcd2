"""The search for the largest size that fits: right, short, and not misled by noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_records import judgement

from hpmkd_edge.plan.sizing import MARGIN, MOST_MEASUREMENTS, TRUSTS, fits, largest_that_fits, strains
from hpmkd_edge.students.effort import Effort
from hpmkd_edge.students.family import Size
from hpmkd_edge.verdict import Judgement, Outcome, Provenance, Verdict

RUNGS = ((3, 1), (4, 1), (6, 1), (8, 1), (12, 1), (8, 3), (16, 1), (11, 2), (16, 2), (16, 3), (24, 2), (24, 3))
LADDER = tuple(
    Size(family="f", width=width, depth=depth, parameters=305 * width * width * depth)
    for width, depth in sorted(RUNGS, key=lambda rung: rung[0] ** 2 * rung[1])
)
EFFORTS = {size: Effort(macs=160 * size.parameters, layers=7 + 12 * size.depth) for size in LADDER}
LATENCY, MEMORY, FILE = "latency_ms.p90", "peak_memory_mb", "model_size_mb"


def true_costs(size):
    """Return what a residual ladder costs on one core, about: 8×3 is slower than 16×1."""
    return {
        LATENCY: 0.002 * (EFFORTS[size].layers + 8) + 2e-8 * EFFORTS[size].macs,
        MEMORY: 10.5 + 1.4e-5 * size.parameters,
        FILE: 0.004 + 4.02e-6 * size.parameters,
    }


class Probe:
    """Measures true costs times what *noise* draws, and keeps count."""

    def __init__(self, limits, noise=lambda: 1.0, *, known=True):
        self.limits, self.noise, self.known, self.asked = limits, noise, known, []

    def __call__(self, size):
        self.asked.append(size)
        costs = true_costs(size)
        noise = {LATENCY: self.noise(), MEMORY: 1.0, FILE: 1.0}
        return Verdict(
            target="board",
            judgements=tuple(
                judgement(name, costs[name] * noise[name], limit, known=self.known)
                for name, limit in self.limits.items()
            ),
        )


def search(probe, ladder=LADDER, efforts=EFFORTS):
    return largest_that_fits(ladder, probe, efforts)


def near(limits):
    """Tell whether any true cost is so near its limit that a margin decides."""
    return any(
        abs(true_costs(size)[name] / limit - 1) <= (TRUSTS[name.split(".")[0]].noise if name != FILE else 0)
        for size in LADDER
        for name, limit in limits.items()
    )


shares = st.floats(0.0, 1.0)


def between_ends(name, share):
    low, high = (true_costs(size)[name] for size in (LADDER[0], LADDER[-1]))
    return low * (high / low) ** share


limits_of_any = st.dictionaries(st.sampled_from([LATENCY, MEMORY, FILE]), shares, min_size=1).map(
    lambda drawn: {name: between_ends(name, share) for name, share in drawn.items()}
)


@given(limits_of_any, st.booleans())
@settings(max_examples=200, deadline=None)
def test_without_noise_the_largest_size_that_fits_is_found(limits, known):
    """As trying all of them does, wherever no cost is so near its limit that the margin decides."""
    probe = Probe(limits, known=known)
    found = search(probe)
    fitting = [size for size in LADDER if all(true_costs(size)[name] <= limit for name, limit in limits.items())]

    assert all(strain <= 1 for strain in strains(probe(found.size)).values()) or found.size is LADDER[0]
    if not near(limits):
        assert found.size == (fitting[-1] if fitting else LADDER[0])


@given(limits_of_any, st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_no_size_is_measured_more_often_than_it_may(limits, seed):
    """Whatever the noise; so the search ends."""
    probe = Probe(limits, np.random.default_rng(seed).lognormal(0, 0.5, 10_000).tolist().pop)
    search(probe)

    assert all(probe.asked.count(size) <= MOST_MEASUREMENTS for size in LADDER)


def test_few_sizes_are_measured():
    """Half of fifty random budgets take four measurements or fewer, of twelve sizes."""
    generator = np.random.default_rng(0)
    counts = []
    for _ in range(50):
        probe = Probe(
            {LATENCY: between_ends(LATENCY, generator.random()), FILE: between_ends(FILE, generator.random())}
        )
        search(probe)
        counts.append(len(probe.asked))

    assert np.median(counts) <= 4


def test_a_size_whose_file_is_too_large_is_not_timed_for_it():
    """Between two weighed files the rest are known: one more measurement, of the size that ships, tells."""
    probe = Probe({FILE: true_costs(LADDER[4])[FILE] * 1.001})

    assert search(probe).size == LADDER[4]
    assert probe.asked == [LADDER[-1], LADDER[0], LADDER[4]]


def test_what_ships_fits_when_it_is_measured_once_more():
    """With 3 % of noise in either measurement: 95 of 100 random budgets at least."""
    generator = np.random.default_rng(1)
    misses = 0
    for _ in range(100):
        limits = {LATENCY: between_ends(LATENCY, generator.uniform(0.05, 1))}
        noise = lambda: generator.lognormal(0, 0.03)  # noqa: E731
        end = search(Probe(limits, noise)).size
        misses += not fits(Probe(limits, noise)(end))

    assert misses <= 5


def test_a_cost_near_its_limit_is_measured_again():
    """And taken only if it leaves part of the noise free; one that is clear is measured once."""
    noise = TRUSTS["latency_ms"].noise
    for share, count, fitting in (
        (1 - 0.9 * MARGIN * noise, MOST_MEASUREMENTS, False),
        (1 - 1.1 * MARGIN * noise, MOST_MEASUREMENTS, True),
        (1 - 1.1 * noise, 1, True),
        (1 + 1.1 * noise, 1, False),
    ):
        only = LADDER[:1]
        probe = Probe({LATENCY: true_costs(only[0])[LATENCY] / share})
        found = search(probe, only)

        assert (len(probe.asked), "it fits" in found.reason) == (count, fitting)


def test_a_disturbed_measurement_does_not_decide():
    """Eight times what was expected: another process had the core; the next measurement is believed."""
    limits = {LATENCY: true_costs(LADDER[4])[LATENCY] * 1.2}
    disturbed = [1.0] * 20
    disturbed[2] = 8.0
    probe = Probe(limits, lambda: disturbed.pop(0))

    assert search(probe).size == LADDER[4]
    assert probe.asked.count(probe.asked[2]) == 2


def test_a_deep_size_that_does_not_fit_does_not_hide_a_wide_one_that_does():
    """Where layers cost most, 8×3 has fewer parameters than 16×1 and takes longer: the search passes it by."""
    deep, wide = (next(size for size in LADDER if (size.width, size.depth) == rung) for rung in ((8, 3), (16, 1)))
    asked = []

    def cost(size):
        return 0.01 * EFFORTS[size].layers + 1e-8 * EFFORTS[size].macs

    def probe(size):
        asked.append(size)
        return Verdict(target="board", judgements=(judgement(LATENCY, cost(size), 1.1 * cost(wide)),))

    assert deep.parameters < wide.parameters
    assert cost(deep) > 1.1 * cost(wide)
    assert largest_that_fits(LADDER, probe, EFFORTS).size is wide
    assert deep not in asked


def test_a_budget_that_only_breaks_counts_too():
    """A share of placement is no cost: there is nothing to interpolate, and it must be met all the same."""

    def probe(size):
        good = size in LADDER[:3]
        placed = Judgement(
            budget="placement",
            outcome=Outcome.MET if good else Outcome.BROKEN,
            provenance=Provenance.MEASURED,
            value=1.0 if good else 0.5,
            limit=0.9,
            warn=None,
            unit="share",
            here=None,
            reason="half of it is elsewhere",
        )
        return Verdict(target="board", judgements=(placed,))

    assert largest_that_fits(LADDER, probe, EFFORTS).size is LADDER[2]


def test_a_budget_that_was_not_measured_is_no_obstacle():
    """A kernel may not let memory be counted: the search goes by the rest."""

    def probe(size):
        unknown = Judgement(
            budget=MEMORY,
            outcome=Outcome.INCONCLUSIVE,
            provenance=Provenance.UNKNOWN,
            value=None,
            limit=5.0,
            warn=None,
            unit="MB",
            here=None,
            reason="not measured",
        )
        return Verdict(target="board", judgements=(unknown,))

    assert largest_that_fits(LADDER, probe, EFFORTS).size is LADDER[-1]


@pytest.mark.parametrize("efforts", [EFFORTS, {}])
def test_one_size_alone_is_a_ladder(efforts):
    """It is measured, and is the answer."""
    for limit in (1e-3, 1e3):
        assert largest_that_fits(LADDER[:1], Probe({LATENCY: limit}), efforts).size is LADDER[0]
