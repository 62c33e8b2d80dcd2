"""Settings follow from traits, and the user's numbers stand."""

import pytest

from hpmkd_edge.plan.configure import configure, loss_for
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


@pytest.mark.parametrize(
    ("rows", "epochs", "views"), [(67_349, 17, 14), (4_361, 120, 16), (1_000_000, 6, 1), (50, 120, 16)]
)
def test_a_teacher_labels_at_most_a_million_sentences_and_none_in_vain(rows, epochs, views):
    """Few rows have more copies; there are no more views than epochs, which go over one each."""
    text = Traits(kind="text", rows=rows, classes=2)
    settings = configure(text)

    assert (settings.epochs, settings.views) == (epochs, views)
    assert configure(text, epochs=3).views == min(views, 3)
    assert configure(text, epochs=3, views=5).views == 5


@pytest.mark.parametrize(("classes", "loss"), [(2, ("kd", 2.0)), (6, ("kd", 4.0)), (10, ("dist", 4.0))])
def test_the_loss_of_texts_follows_from_the_classes(classes, loss):
    """As for images: for two classes a part of DIST has no gradient."""
    assert loss_for("text", classes) == loss_for("images", classes) == loss
