"""The six components: all on, and each can be turned off by its name."""

import pytest

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.plan.components import COMPONENTS, Components, without


def test_all_six_are_on_unless_one_is_left_out():
    """A run is HPM-KD as a whole; what is off is said."""
    assert len(COMPONENTS) == 6
    assert all(Components().uses(name) for name in COMPONENTS)
    assert without([]) == Components()


@pytest.mark.parametrize("name", COMPONENTS)
def test_each_is_turned_off_alone(name):
    """The others stay on; twice is once."""
    components = without([name, name])

    assert not components.uses(name)
    assert all(components.uses(other) for other in COMPONENTS if other != name)


def test_all_can_be_off_at_once():
    """What is left is plain distillation beside labels alone."""
    assert not any(without(COMPONENTS).uses(name) for name in COMPONENTS)


def test_an_unknown_component_is_refused_with_the_nearest():
    """A misspelled one would stay on in silence."""
    with pytest.raises(BadConfiguration, match=r"component 'atention'.*Did you mean 'attention'"):
        without(["chain", "atention"])
