"""Laws of the stages: every epoch is given out, evenly, and what cannot be divided is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.distill.stages import WEIGHTINGS, Stage, parse_stages, plan_stages
from hpmkd_edge.errors import BadConfiguration

KNOWN = ("kd", "fitnet", "rkd")
NAMES = st.lists(st.sampled_from(KNOWN), min_size=1, max_size=5)


@settings(max_examples=50, deadline=None)
@given(names=NAMES, extra=st.integers(0, 300), weighting=st.sampled_from(WEIGHTINGS))
def test_a_plan_gives_out_every_epoch_as_evenly_as_possible(names, extra, weighting):
    """To all stages in order, and what is left over to the earliest."""
    plan = plan_stages(names, len(names) + extra, known=KNOWN, weighting=weighting)
    epochs = [stage.epochs for stage in plan.stages]

    assert plan.epochs == len(names) + extra
    assert [stage.method for stage in plan.stages] == names
    assert {stage.weighting for stage in plan.stages} == {weighting}
    assert min(epochs) >= 1
    assert max(epochs) - min(epochs) <= 1
    assert epochs == sorted(epochs, reverse=True)


@settings(max_examples=20, deadline=None)
@given(names=NAMES, weight=st.floats(0, 10))
def test_only_the_first_stage_has_no_reference(names, weight):
    """Nothing was left before it."""
    plan = plan_stages(names, 10, known=KNOWN, reference_weight=weight)

    assert [stage.reference_weight for stage in plan.stages] == [0, *[weight] * (len(names) - 1)]


def test_one_name_alone_is_a_training_of_one_stage():
    """All epochs, and no reference."""
    plan = plan_stages(["kd"], 7, known=KNOWN)

    assert plan.stages == (Stage(method="kd", epochs=7, weighting="inverse", reference_weight=0.0),)


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.text("abc_", min_size=1), min_size=1), spaces=st.sampled_from(["", " ", "  "]))
def test_names_come_back_from_their_text(names, spaces):
    """Whatever the spaces around the commas."""
    assert parse_stages(f"{spaces},{spaces}".join(names)) == tuple(names)


@pytest.mark.parametrize("text", ["", " ", "kd,", ",kd", "fitnet,,kd"])
def test_a_blank_name_is_refused(text):
    """It is more likely a slip than a stage less."""
    with pytest.raises(BadConfiguration, match="have a blank name; names of losses"):
        parse_stages(text)


def test_what_cannot_be_planned_is_refused():
    """With what was found, and what is needed."""
    with pytest.raises(BadConfiguration, match="2 epochs were found for 3 stages; at least 3 are needed"):
        plan_stages(["kd", "rkd", "kd"], 2, known=KNOWN)
    with pytest.raises(BadConfiguration, match="no stage was found"):
        plan_stages([], 2, known=KNOWN)
    with pytest.raises(BadConfiguration, match=r"no loss 'fitnt'\. Did you mean 'fitnet'"):
        plan_stages(["fitnt"], 2, known=KNOWN)
    with pytest.raises(BadConfiguration, match="Known: inverse, tcp, uniform"):
        plan_stages(["kd"], 2, known=KNOWN, weighting="even")
    with pytest.raises(BadConfiguration, match="reference weight of nan was found"):
        plan_stages(["kd"], 2, known=KNOWN, reference_weight=float("nan"))
