"""The tables of losses: on features, and what is said where one is asked for in the other's place."""

import pytest

from hpmkd_edge.distill.methods.table import (
    FEATURE_METHODS,
    METHODS,
    check_shapes,
    find_feature_method,
    find_method,
    is_feature_method,
)
from hpmkd_edge.errors import BadConfiguration


def test_every_loss_is_found_by_its_name_in_one_table():
    """A name in both would be ambiguous."""
    assert list(FEATURE_METHODS) == ["fitnet", "at", "rkd", "sp"]
    assert METHODS.keys() & FEATURE_METHODS.keys() == set()
    assert all(find_feature_method(name).name == name and is_feature_method(name) for name in FEATURE_METHODS)
    assert not any(is_feature_method(name) for name in METHODS)


@pytest.mark.parametrize("name", FEATURE_METHODS)
def test_a_loss_on_features_asked_for_on_logits_says_how_it_is_used(name):
    """It needs taps, which a stage has."""
    with pytest.raises(BadConfiguration, match=f"'{name}' compares features.* as a stage: --stages {name},kd"):
        find_method(name, 10)


def test_an_unknown_loss_on_features_is_refused_with_the_nearest():
    """As losses on logits are."""
    with pytest.raises(BadConfiguration, match=r"no loss on features 'fitnets'. Did you mean 'fitnet'"):
        find_feature_method("fitnets")


def test_shapes_that_a_loss_refuses_stop_with_its_reason():
    """Before anything is trained."""
    check_shapes(FEATURE_METHODS["fitnet"], (5,), (8, 4, 4))

    with pytest.raises(BadConfiguration, match=r"'at' cannot compare the taps: .* no maps .*; choose other taps"):
        check_shapes(FEATURE_METHODS["at"], (5,), (8, 4, 4))
