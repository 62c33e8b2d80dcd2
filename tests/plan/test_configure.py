"""Settings follow from traits, and the user's numbers stand."""

from hpmkd_edge.plan.configure import configure
from hpmkd_edge.plan.traits import Traits, traits_of
from hpmkd_edge.tasks.source import open_task


def test_the_traits_of_digits():
    """1,259 of 1,797 rows are for training."""
    traits = traits_of(open_task("digits"))

    assert (traits.kind, traits.rows, traits.classes) == ("images", 1259, 10)


def test_what_the_user_gives_stands():
    """No rule overrides a flag."""
    traits = traits_of(open_task("digits"))
    settings = configure(traits, epochs=3, views=5, flip=True, method="dkd", temperature=3.0)

    assert (settings.epochs, settings.views, settings.flip) == (3, 5, True)
    assert (settings.method, settings.temperature) == ("dkd", 3.0)
    assert configure(traits, method="kd").temperature > 1


def test_a_table_has_copies_where_they_are_asked_for():
    """By default its rows alone."""
    table = Traits(kind="table", rows=900, classes=3)

    assert (configure(table).views, configure(table, views=4).views) == (1, 4)
