"""Sizing by measured cost, and how a verdict moves it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_records import judgement

from hpmkd_edge.plan.chain import Chain, first_chain, intermediates, resize
from hpmkd_edge.plan.sizing import fits
from hpmkd_edge.students.family import Size
from hpmkd_edge.verdict import Outcome, Verdict

LADDER = tuple(Size(family="f", width=w, depth=1, parameters=100 * w * w) for w in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32))


def verdict(*judgements):
    return Verdict(target="board", judgements=judgements)


def latency_probe(limit, power=0.7, *, known=True):
    """Return a probe whose latency grows as a power of the parameters, and the list of what it measured."""
    measured = []

    def probe(size):
        measured.append(size)
        return verdict(judgement("latency_ms.p90", 0.01 * size.parameters**power, limit, known=known))

    return probe, measured


def test_a_tight_budget_picks_a_smaller_student_than_a_loose_one():
    """Three budgets, three sizes, in order."""
    ends = [first_chain(LADDER, latency_probe(limit)[0]).chain.end.parameters for limit in (0.5, 2.5, 8)]

    assert ends == sorted(set(ends))


def test_the_reason_names_the_budget_that_nothing_fits():
    """The user must know which of them to move."""
    step = first_chain(LADDER, latency_probe(1e-6)[0])

    assert "no size fits" in step.reason
    assert "latency_ms.p90" in step.reason


def test_what_is_unknown_on_the_board_is_planned_with_this_host_s_number():
    """And never called broken for it."""
    over = verdict(judgement("latency_ms.p90", 9.0, 8.0, known=False))

    assert not fits(over)
    assert over.outcome is Outcome.INCONCLUSIVE


def moved(chain, *judgements, tried=None, allowed=LADDER[:6], refused=(), dear=()):
    return resize(
        chain,
        verdict(*judgements),
        allowed=allowed,
        ladder=LADDER,
        tried=tried or [chain],
        refused=refused,
        probe=lambda size: verdict(judgement("model_size_mb", 5 if size in dear else 1, 4)),
        teacher_parameters=LADDER[-1].parameters,
    )


def end_at(place):
    return Chain(sizes=(LADDER[place],))


def test_a_broken_cost_takes_the_next_smaller_end():
    """Also when the accuracy is broken too: a smaller file at least fits."""
    for others in ((), (judgement("accuracy", 0.8, 0.9),)):
        step = moved(end_at(3), judgement("model_size_mb", 5, 4), *others)
        assert step.chain == end_at(2)
        assert "model_size_mb" in step.reason


def test_the_next_larger_size_is_measured_before_it_is_trained():
    """The search may have passed it over by what it expected; a training that cannot ship is none."""
    step = moved(end_at(3), judgement("accuracy", 0.8, 0.9), dear={LADDER[4]})

    assert step.chain.end == LADDER[3]
    assert "one more intermediate" in step.reason


def test_a_broken_accuracy_with_cost_to_spare_takes_the_next_larger_end():
    """While one is allowed."""
    step = moved(end_at(3), judgement("accuracy", 0.8, 0.9), judgement("model_size_mb", 1, 4))

    assert step.chain == end_at(4)


def test_a_broken_accuracy_does_not_take_an_end_that_was_measured_not_to_fit():
    """A larger student over budget is no answer; a better taught one of the same size may be."""
    step = moved(end_at(3), judgement("accuracy", 0.8, 0.9), refused={LADDER[4]})

    assert step.chain.end == LADDER[3]
    assert len(step.chain.sizes) == 2


def test_a_broken_accuracy_without_room_takes_one_intermediate_once():
    """It lies between teacher and student; a second time there is nothing left."""
    broken = judgement("accuracy", 0.8, 0.9)
    step = moved(end_at(5), broken)

    assert len(step.chain.sizes) == 2
    assert LADDER[5].parameters < step.chain.sizes[0].parameters < LADDER[-1].parameters
    assert step.chain.end == LADDER[5]
    assert moved(step.chain, broken, tried=[end_at(5), step.chain]) is None


def test_a_size_that_was_tried_is_not_tried_again():
    """Too large, then too weak: going back would go round for ever."""
    step = moved(end_at(2), judgement("accuracy", 0.8, 0.9), tried=[end_at(3), end_at(2)])

    assert step is None or len(step.chain.sizes) > 1
    assert moved(end_at(0), judgement("model_size_mb", 5, 4)) is None


def test_a_smaller_size_that_was_refused_is_passed_over():
    """A deep one may cost more than a wide one with more parameters; where all were refused there is nothing left."""
    broken = judgement("latency_ms.p90", 9, 8)

    assert moved(end_at(3), broken, refused={LADDER[2]}).chain == end_at(1)
    assert moved(end_at(3), broken, refused=set(LADDER[:3])) is None


def test_a_cost_that_breaks_on_the_way_up_does_not_lead_below_where_it_began():
    """Between a size too weak and one too dear there is only a better taught weak one; smaller ones are weaker."""
    broken = judgement("model_size_mb", 5, 4)
    step = moved(end_at(3), broken, tried=[end_at(2), end_at(3)])

    assert step.chain.end == LADDER[2]
    assert len(step.chain.sizes) == 2
    assert "short of accuracy" in step.reason
    assert moved(end_at(3), broken, tried=[end_at(2), step.chain, end_at(3)]) is None


@given(
    st.integers(0, 5),
    st.sets(st.sampled_from(LADDER)),
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=20, max_size=20),
)
@settings(max_examples=300, deadline=None)
def test_whatever_the_verdicts_say_the_rounds_come_to_an_end(start, refused, verdicts):
    """No chain is trained twice, none ends at a size that is not allowed, and each step says why."""
    allowed = LADDER[:6]
    tried = [end_at(start)]
    for dear, weak in verdicts:
        costs = judgement("model_size_mb", 5 if dear else 3, 4)
        scores = judgement("accuracy", 0.8 if weak else 0.95, 0.9)
        step = moved(tried[-1], costs, scores, tried=tried, allowed=allowed, refused=refused)
        if step is None:
            return
        assert step.chain not in tried
        assert step.chain.end in allowed
        assert step.chain.end not in refused or step.chain.end == tried[-1].end
        assert ("model_size_mb" in step.reason) == dear
        tried.append(step.chain)

    pytest.fail(f"still going after {len(tried)} rounds")


def test_a_met_verdict_ends_the_loop():
    """Inconclusive ones too: more training does not make a board known."""
    assert moved(end_at(3), judgement("model_size_mb", 1, 4)) is None
    assert moved(end_at(3), judgement("latency_ms.p90", 1, 4, known=False)) is None


def log_steps(*parameters):
    return np.diff(np.log(parameters))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_sizes_of_a_chain_are_about_geometric(count):
    """From the teacher to the student by equal factors, as near as the rungs allow; largest first."""
    top, end = 400_000, LADDER[0]
    between = intermediates(LADDER, end, top, count)
    steps = log_steps(top, *(size.parameters for size in between), end.parameters)

    assert len(between) == count
    assert (steps < -np.log(1.5)).all()
    assert (abs(steps - steps.mean()) < 0.75).all()


@given(st.integers(100, 10**7), st.sampled_from(LADDER), st.integers(1, 5))
@settings(max_examples=200, deadline=None)
def test_neighbors_of_a_chain_differ_by_half_at_least(top, end, count):
    """Else a link would train a model that is there already: then there is no such chain."""
    between = intermediates(LADDER, end, top, count)
    if between is None:
        return
    counts = [top, *(size.parameters for size in between), end.parameters]

    assert len(between) == count
    assert all(larger >= 1.5 * smaller for larger, smaller in pairwise(counts))


def test_a_ladder_without_room_gives_no_chain():
    """Too near to the teacher, or too many for the distance."""
    assert intermediates(LADDER, LADDER[-1], LADDER[-1].parameters, 1) is None
    assert intermediates(LADDER, LADDER[0], LADDER[-1].parameters, 1) is not None
    assert intermediates(LADDER, LADDER[0], LADDER[-1].parameters, 12) is None


def test_a_teacher_without_a_count_stands_at_the_largest_rung():
    """A chain to it may then hold that rung's neighbors, not the rung itself."""
    between = intermediates(LADDER, LADDER[0], None, 2)

    assert between == intermediates(LADDER, LADDER[0], LADDER[-1].parameters, 2)
    assert LADDER[-1] not in between


def for_size(accuracy, limit):
    found = judgement("accuracy", accuracy, limit)
    return replace(found, budget="accuracy_for_size")


def test_an_accuracy_short_of_its_size_moves_as_a_broken_accuracy_does():
    """To the next larger end while one fits, else one intermediate, once; a broken cost goes first."""
    short, slow = for_size(0.85, 0.9), judgement("latency_ms.p90", 9.0, 8.0)
    chain = Chain(sizes=(LADDER[2],))
    up, at_top, down = (
        moved(chain, short),
        moved(Chain(sizes=(LADDER[5],)), short),
        moved(chain, short, slow),
    )

    assert up.chain.end == LADDER[3]
    assert "accuracy_for_size" in up.reason
    assert (len(at_top.chain.sizes), at_top.chain.end) == (2, LADDER[5])
    assert down.chain.end == LADDER[1]
    assert moved(chain, for_size(0.9, 0.9)) is None
