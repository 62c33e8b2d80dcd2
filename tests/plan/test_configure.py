"""Settings follow from traits, and the user's numbers stand."""

import numpy as np

from hpmkd_edge.plan.configure import configure
from hpmkd_edge.plan.traits import traits_of
from hpmkd_edge.tasks.source import open_task


def test_the_traits_of_digits():
    """1,797 rows of 8×8 pixels and ten nearly even classes."""
    traits = traits_of(open_task("digits"))

    assert (traits.kind, traits.features, traits.classes) == ("images", 64, 10)
    assert 1 <= traits.imbalance < 1.2
    np.testing.assert_allclose(traits.label_entropy, np.log(10), rtol=1e-3)


def test_what_the_user_gives_stands():
    """No rule overrides a flag."""
    traits = traits_of(open_task("digits"))
    settings = configure(traits, epochs=3, views=5, flip=True, method="dkd", temperature=3.0)

    assert (settings.epochs, settings.views, settings.flip) == (3, 5, True)
    assert (settings.method, settings.temperature) == ("dkd", 3.0)
    assert configure(traits, method="kd").temperature > 1
