"""Small tasks that teachers are tried on."""

import numpy as np
import pytest

from hpmkd_edge.tasks.task import Column, Images, Inputs, Rows, Table, Task


def split(inputs: Inputs, labels: np.ndarray, classes: tuple[str, ...]) -> Task:
    """Half of the rows train, a quarter validates, a quarter tests."""
    count = len(labels)
    rows = Rows(inputs=inputs, labels=labels.astype(np.int64), positions=np.arange(count))
    half, most = count // 2, 3 * count // 4
    return Task(
        name="small",
        source="made here",
        classes=classes,
        train=rows.take(np.arange(half)),
        validation=rows.take(np.arange(half, most)),
        test=rows.take(np.arange(most, count)),
        split_rule="in order",
        digest="0" * 64,
    )


@pytest.fixture
def images() -> Task:
    """40 color images of 4 × 5 pixels, 3 classes."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (40, 4, 5, 3), dtype=np.uint8)
    return split(Images(pixels=pixels), np.arange(40) % 3, ("ant", "bee", "cat"))


@pytest.fixture
def numbers() -> Task:
    """80 rows of two numbers; the class is the sign of the first."""
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(2, 80)).astype(np.float32)
    columns = (Column(name="a", kind="number", values=a), Column(name="b", kind="number", values=b))
    return split(Table(columns=columns), a > 0, ("no", "yes"))


@pytest.fixture
def mixed() -> Task:
    """200 rows of a number and a text, some missing; the class is "yes" for red and for large numbers."""
    generator = np.random.default_rng(2)
    size = generator.normal(size=200).astype(np.float32)
    color = generator.choice(np.array(["red", "green", "blue", ""], dtype=object), 200)
    labels = (color == "red") | (size > 0.5)
    size[::17] = np.nan
    columns = (
        Column(name="size", kind="number", values=size),
        Column(name="color", kind="category", values=color),
    )
    return split(Table(columns=columns), labels, ("no", "yes"))
