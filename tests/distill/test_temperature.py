"""Laws of the temperature: bounds, ends, what it follows, what it does not see, and a resume that changes nothing."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.distill.temperature import (
    AUTO,
    SCHEDULES,
    TemperatureState,
    advance,
    choose_strategy,
    first_state,
    skip,
    temperature,
)
from hpmkd_edge.errors import BadConfiguration, TrainingFailed

MOVING = [name for name in (*SCHEDULES, AUTO) if name != "constant"]
# Not so small that a factor would round it away.
LOSS = st.just(0.0) | st.floats(1e-6, 1e6)
EPOCH = st.tuples(st.lists(LOSS, min_size=1, max_size=9), LOSS | LOSS.map(lambda loss: -loss))
TRAINING = st.lists(EPOCH, min_size=1, max_size=8)
POWER_OF_TWO = st.integers(-20, 20).map(lambda power: 2.0**power)
FAST = [2.3 * math.exp(-i / 4) for i in range(8)]
FLATTENING = [0.3 + 2 * math.exp(-i) for i in range(8)]
SLOW = [2.3 - 0.02 * i for i in range(8)]
NOISY = [2.3 - 0.02 * i + 0.1 * (-1) ** i for i in range(8)]


def walk(state, epochs):
    """Yield the state before the first epoch, and after each."""
    yield state
    for blocks, gap in epochs:
        state = advance(state, blocks, gap)
        yield state


def temperatures(schedule, epochs, start=4.0):
    return [temperature(state) for state in walk(first_state(schedule, start, len(epochs)), epochs)]


def steady(losses):
    """Epochs of equal blocks, with the loss itself for a gap."""
    return [([loss] * 8, loss) for loss in losses]


@settings(max_examples=50, deadline=None)
@given(schedule=st.sampled_from(MOVING), start=st.floats(1, 20), epochs=TRAINING)
def test_every_schedule_stays_in_the_range_and_begins_at_its_start(schedule, start, epochs):
    """Whatever the losses do; the cosine alone begins at the top. A start outside the usual range widens it."""
    found = temperatures(schedule, epochs, start=start)
    low, high = min(2.0, start), max(6.0, start)

    assert all(low <= value <= high for value in found)
    assert found[0] == (high if schedule == "cosine" else start)


@settings(max_examples=30, deadline=None)
@given(start=st.floats(1, 100), epochs=TRAINING)
def test_a_constant_temperature_never_moves(start, epochs):
    """It is the start, of which 1 is the least."""
    assert set(temperatures("constant", epochs, start=start)) == {start}


@pytest.mark.parametrize("horizon", [1, 2, 6, 100])
def test_the_cosine_falls_from_the_top_to_the_bottom_of_the_range(horizon):
    """Its divisor is the horizon: the bottom is reached when the last epoch is over, halfway at half of it."""
    found = temperatures("cosine", steady([1.0] * horizon))

    assert found[0] == 6
    assert found[-1] == pytest.approx(2, abs=1e-12)
    assert all(later < earlier for earlier, later in pairwise(found))
    if horizon % 2 == 0:
        assert found[horizon // 2] == pytest.approx(4)


@settings(max_examples=50, deadline=None)
@given(schedule=st.sampled_from((*SCHEDULES, AUTO)), epochs=TRAINING, factor=POWER_OF_TWO)
def test_no_schedule_sees_the_scale_of_the_losses(schedule, epochs, factor):
    """Nats or bits, the temperatures are the same."""
    scaled = [([block * factor for block in blocks], gap * factor) for blocks, gap in epochs]

    assert temperatures(schedule, scaled) == pytest.approx(temperatures(schedule, epochs), abs=1e-9)


def test_the_loss_form_falls_with_the_loss_and_does_not_collapse():
    """With the smallest loss so far for a floor, a falling loss would give the bottom from the second epoch on."""
    found = temperatures("loss", steady([2.0, 1.0, 0.5, 1.0]))

    assert found == pytest.approx([4, 6, 4, 3, 4])


def test_a_loss_that_no_longer_changes_has_converged():
    """Zero change gives the bottom, for the first change as for a later one, and one half of it more than half of s."""
    assert temperatures("convergence", steady([1.0, 1.0])) == [4, 4, 2]
    assert temperatures("convergence", steady([3.0, 2.0, 1.5, 1.5])) == pytest.approx(
        [4, 4, 2 + 4 * 0.9, 2 + 4 * (1 - 10**-0.5), 2]
    )


def test_the_gap_form_is_lowest_for_a_student_as_good_as_its_teacher():
    """And does not go on falling for a better one; the largest gap so far is the top."""
    epochs = [([1.0], gap) for gap in (0.8, 0.4, 0.0, -0.3, 1.6)]

    assert temperatures("gap", epochs) == pytest.approx([4, 6, 4, 2, 2, 6])
    assert temperatures("gap", [([1.0], -0.1)]) == [4, 2]


@settings(max_examples=50, deadline=None)
@given(schedule=st.sampled_from((*SCHEDULES, AUTO)), epochs=TRAINING, data=st.data())
def test_a_resumed_state_gives_the_same_further_temperatures(schedule, epochs, data):
    """Through the text of a checkpoint, after any epoch."""
    after = data.draw(st.integers(0, len(epochs)))
    states = list(walk(first_state(schedule, 4.0, len(epochs)), epochs))
    resumed = TemperatureState.from_dict(json.loads(json.dumps(states[after].as_dict())))

    assert resumed == states[after]
    assert [temperature(state) for state in walk(resumed, epochs[after:])] == [
        temperature(state) for state in states[after:]
    ]


@settings(max_examples=50, deadline=None)
@given(epochs=st.lists(EPOCH, min_size=1, max_size=25))
def test_auto_is_constant_for_a_tenth_and_then_the_schedule_that_it_chose(epochs):
    """A tenth in whole epochs, at least one; the choice stays whatever comes later."""
    states = list(walk(first_state(AUTO, 4.0, len(epochs)), epochs))
    trial = math.ceil(len(epochs) / 10)
    chosen = choose_strategy([block for blocks, _ in epochs[:trial] for block in blocks])

    assert [state.strategy for state in states] == [None] * trial + [chosen] * (len(epochs) + 1 - trial)
    assert all(temperature(state) == 4 for state in states[:trial])
    assert [temperature(state) for state in states[trial:]] == temperatures(chosen, epochs)[trial:]


def test_what_comes_after_the_first_tenth_does_not_change_the_choice():
    """A loss that jumps up, and is noise from there on."""
    falling = [2.3 - 0.1 * i for i in range(16)]
    epochs = [(falling[:8], 1.0), (falling[8:], 1.0), *[(NOISY, 1.0)] * 18]
    strategies = [state.strategy for state in walk(first_state(AUTO, 4.0, 20), epochs)]

    assert strategies == [None] * 2 + ["cosine"] * 19
    assert choose_strategy(falling + NOISY) == "constant"


@pytest.mark.parametrize(
    ("blocks", "chosen"), [(FAST, "cosine"), (FLATTENING, "convergence"), (SLOW, "loss"), (NOISY, "constant")]
)
def test_the_choice_follows_the_shape_of_the_descent(blocks, chosen):
    """One training for each rule."""
    assert choose_strategy(blocks) == chosen


@pytest.mark.parametrize("blocks", [[], [2.0, 1.0, 0.5], [0.1] * 8, [0.0] * 8, FAST[::-1]])
def test_a_training_without_a_clear_descent_keeps_its_temperature(blocks):
    """Too few blocks, none that differ, and a rising loss."""
    assert choose_strategy(blocks) == "constant"


@settings(max_examples=50, deadline=None)
@given(blocks=st.lists(st.floats(1e-3, 1e3), max_size=20), factor=POWER_OF_TWO)
def test_the_choice_does_not_see_the_scale_of_the_losses(blocks, factor):
    """Every rule compares two losses; a power of two rounds nothing."""
    assert choose_strategy([block * factor for block in blocks]) == choose_strategy(blocks)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"extra": 1}, "extra cannot be used"),
        ({"horizon": "6"}, "horizon cannot be used"),
        ({"horizon": True}, "horizon cannot be used"),
        ({"losses": [1.0, None]}, r"losses\.1 cannot be used"),
        ({"gaps": [math.nan, 0.1]}, "not of texts and finite numbers"),
        ({"gaps": [0.1]}, "2 losses, 1 gaps"),
        ({"blocks": []}, "0 blocks"),
        ({"losses": [1.0, -1.0]}, "below 0"),
        ({"horizon": 1}, "2 epochs of 1 are over"),
        ({"low": 0.5}, "a range from at least 1 upwards"),
        ({"start": 1.5}, r"1\.5 was found for a range from 2 to 6"),
    ],
)
def test_a_saved_state_that_was_changed_is_refused(change, complaint):
    """Strictly: no unknown key, no other type, no contradiction."""
    *_, state = walk(first_state("gap", 4.0, 3), steady([2.0, 1.0]))

    with pytest.raises(BadConfiguration, match=complaint):
        TemperatureState.from_dict({**state.as_dict(), **change})


@pytest.mark.parametrize("key", first_state(AUTO, 4.0, 3).as_dict())
def test_a_saved_state_without_one_of_its_values_is_refused(key):
    """None has a default to fall back on."""
    found = first_state(AUTO, 4.0, 3).as_dict()
    del found[key]

    with pytest.raises(BadConfiguration, match=f"{key} cannot be used: Field required"):
        TemperatureState.from_dict(found)


def test_a_state_that_cannot_be_is_refused_at_the_start():
    """With what was found, and what is needed."""
    with pytest.raises(BadConfiguration, match="Known: auto, constant, convergence, cosine, gap, loss"):
        first_state("linear", 4.0, 3)
    with pytest.raises(BadConfiguration, match=r"0\.5 was found; at least 1"):
        first_state("constant", 0.5, 3)
    with pytest.raises(BadConfiguration, match="at least 1 epoch"):
        first_state("cosine", 4.0, 0)


@pytest.mark.parametrize(("blocks", "gap"), [([], 0.0), ([1.0, math.inf], 0.0), ([-1.0], 0.0), ([1.0], math.nan)])
def test_an_epoch_without_usable_numbers_is_refused(blocks, gap):
    """A temperature from NaN would be NaN, or hide it."""
    with pytest.raises(TrainingFailed, match="epoch 1 has the losses"):
        advance(first_state("loss", 4.0, 2), blocks, gap)


def test_a_training_ends_at_its_horizon():
    """One more epoch than was planned would bring the cosine up again."""
    *_, last = walk(first_state("cosine", 4.0, 2), steady([2.0, 1.0]))

    with pytest.raises(BadConfiguration, match="3 epochs of 2 are over"):
        advance(last, [1.0], 0.0)


@settings(max_examples=30, deadline=None)
@given(schedule=st.sampled_from([name for name in MOVING if name != "cosine"]), epochs=TRAINING)
def test_an_epoch_without_a_measurement_leaves_the_temperature_where_it_is(schedule, epochs):
    """Only the cosine goes by the calendar; a choice of its own that falls due is made by what was measured."""
    state = first_state(schedule, 4.0, 100)
    for blocks, gap in epochs:
        state = advance(state, blocks, gap)
    skipped = skip(state)

    assert skipped.epoch == state.epoch + 1
    assert (skipped.losses, skipped.blocks, skipped.gaps) == (state.losses, state.blocks, state.gaps)
    assert TemperatureState.from_dict(skipped.as_dict()) == skipped
    if skipped.strategy == state.strategy != "cosine":
        assert temperature(skipped) == temperature(state)


def test_epochs_without_a_measurement_count_for_the_calendar():
    """The cosine of a training ends where the training ends; one epoch more than all is refused."""
    state = advance(first_state("cosine", 4.0, 2), [1.0] * 8, 0.0)

    assert temperature(skip(state)) == 2
    with pytest.raises(BadConfiguration, match="3 epochs of 2 are over"):
        skip(skip(state))
    with pytest.raises(BadConfiguration, match="-1 epochs without a measurement were found"):
        replace(state, skipped=-1)
