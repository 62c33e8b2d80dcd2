"""What trainings are tried on: 600 digits, and a workshop with a store of its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_lessons import SETTINGS, Stop

from hpmkd_edge.distill.lesson import direct_lesson, training_views
from hpmkd_edge.distill.workshop import Workshop
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.tasks.source import open_task

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def task():
    """400 digits to learn from and 200 to choose by."""
    digits = open_task("digits")
    return replace(
        digits,
        train=digits.train.take(np.arange(400)),
        validation=digits.validation.take(np.arange(200)),
        digest="600 digits",
    )


@pytest.fixture(scope="session")
def inlet(task):
    return fit_inlet(task)


@pytest.fixture(scope="session")
def views(task):
    return training_views(task.train, count=2, flip=False)


@pytest.fixture(scope="session")
def untaught(task, inlet, views):
    """The lesson without a guide."""
    return direct_lesson(task, inlet, views, device=CPU, sources="views 2")


@pytest.fixture(scope="session")
def shape(task, inlet):
    return shape_of(inlet, task)


@pytest.fixture(scope="session")
def sizes(shape):
    """The ladder of perceptrons."""
    return FAMILIES["mlp"].ladder(shape)


@pytest.fixture
def make(shape, tmp_path):
    """Return a function that opens a workshop in a folder; the store is the folder's, another, or None."""

    def workshop(name="a", *, settings=SETTINGS, seed=0, stop=None, family="mlp", store="own", **more):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return Workshop(
            family=FAMILIES[family],
            shape=shape,
            settings=settings,
            seed=seed,
            folder=folder,
            stop=stop or Stop(),
            store=open_store(folder / "store") if store == "own" else store,
            **more,
        )

    return workshop
