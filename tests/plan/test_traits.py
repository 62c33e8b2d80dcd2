"""Meta-features follow from the data alone, and can be compared between tasks."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sample_data import blobs

from hpmkd_edge.plan.traits import Traits, traits_of
from hpmkd_edge.tasks.task import Column, Images, Rows, Table, Task, Texts


def task_of(inputs, labels, classes=("no", "yes")):
    rows = Rows(inputs=inputs, labels=np.array(labels, np.int64), positions=np.arange(len(labels)))
    return Task(
        name="t", source="t", classes=classes, train=rows, validation=rows, test=rows, split_rule="none", digest="0"
    )


def numbers(name, values):
    return Column(name=name, kind="number", values=np.array(values, np.float32))


def words(name, values):
    return Column(name=name, kind="category", values=np.array(values, object))


TABLE = Table(
    columns=(numbers("a", [0, 0, 0, 4]), numbers("b", [1, np.nan, 3, np.nan]), words("c", ["x", "", "y", "y"]))
)


def test_a_small_table_has_the_traits_that_a_pencil_gives():
    """Column a: mean 1, variance 3, skewness 2/√3, kurtosis 7/3 − 3; b: mean 2, variance 1, skewness 0, kurtosis −2."""
    traits = traits_of(task_of(TABLE, [0, 0, 0, 1]))

    assert (traits.kind, traits.rows, traits.classes, traits.features) == ("table", 4, 2, 3)
    assert (traits.imbalance, traits.majority) == (3.0, 0.75)
    assert traits.label_entropy == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert (traits.missing, traits.categories) == (pytest.approx(3 / 12), pytest.approx(1 / 3))
    assert (traits.mean, traits.variance) == (pytest.approx(1.5), pytest.approx(2.0))
    assert traits.skewness == pytest.approx((2 / math.sqrt(3) + 0) / 2)
    assert traits.kurtosis == pytest.approx((7 / 3 - 3 - 2) / 2)


def test_images_have_the_moments_of_their_channels():
    """The histogram's moments are those of the pixels over 255, channel by channel."""
    pixels = np.random.default_rng(0).integers(0, 256, (130, 3, 4, 3)).astype(np.uint8) // np.array([1, 2, 5])
    traits = traits_of(task_of(Images(pixels=pixels.astype(np.uint8)), np.arange(130) % 2))
    channels = (pixels / 255).reshape(-1, 3)
    scaled = (channels - channels.mean(0)) / channels.std(0)

    assert traits.features == 36
    assert traits.mean == pytest.approx(channels.mean(0).mean())
    assert traits.variance == pytest.approx(channels.var(0).mean())
    assert traits.skewness == pytest.approx((scaled**3).mean())
    assert traits.kurtosis == pytest.approx((scaled**4).mean() - 3)
    assert (traits.missing, traits.categories) == (0.0, 0.0)


def test_sentences_have_the_moments_of_their_lengths():
    """Of ln(1 + characters), not bytes; words and empty sentences are counted."""
    sentences = ["", "née", "a b", "one two three", "x" * 99, "…"]
    traits = traits_of(task_of(Texts.of(sentences), [0, 0, 0, 1, 1, 1]))
    lengths = np.log1p([0, 3, 3, 13, 99, 1])
    scaled = (lengths - lengths.mean()) / lengths.std()

    assert (traits.kind, traits.features, traits.missing, traits.categories) == ("text", 1, 1 / 6, 0.0)
    assert (traits.mean, traits.variance) == (pytest.approx(lengths.mean()), pytest.approx(lengths.var()))
    assert (traits.skewness, traits.kurtosis) == (
        pytest.approx((scaled**3).mean()),
        pytest.approx((scaled**4).mean() - 3),
    )


def test_the_order_of_the_rows_changes_nothing():
    """Traits are of the distribution; up to rounding."""
    pixels, labels = blobs(rows=90)
    order = np.random.default_rng(1).permutation(90)
    one = traits_of(task_of(Images(pixels=pixels), labels, ("a", "b", "c"))).numbers()
    other = traits_of(task_of(Images(pixels=pixels[order]), labels[order], ("a", "b", "c"))).numbers()

    assert one == pytest.approx(other)


def test_large_sets_are_read_in_part_from_end_to_end():
    """Rows in the order of time would make the first 4,096 another distribution."""
    values = np.arange(20_000, dtype=np.float32)
    traits = traits_of(task_of(Table(columns=(numbers("t", values),)), np.arange(20_000) % 2))

    assert traits.rows == 20_000
    assert traits.mean == pytest.approx(9_999.5, rel=1e-3)


def test_what_is_not_known_is_left_out():
    """Constants have no skewness, text no moments, a task alone no models."""
    text = traits_of(task_of(Table(columns=(words("c", ["x", "y"]),)), [0, 1]))
    constant = traits_of(task_of(Table(columns=(numbers("a", [0.1, 0.1]),)), [0, 1]))

    assert (text.mean, text.kurtosis, text.teacher_parameters, text.ratio) == (None, None, None, None)
    assert (constant.variance, constant.skewness) == (0.0, None)
    assert not {"mean", "gap", "teacher_accuracy", "student_parameters"} & set(text.numbers())
    assert set(Traits(kind="table", rows=9, classes=3).numbers()) == {"rows", "classes", "rows_per_class"}


def test_a_class_without_training_rows_leaves_the_numbers_finite():
    """An infinite imbalance could not be compared."""
    traits = traits_of(task_of(TABLE, [0, 0, 0, 1], ("no", "yes", "maybe")))

    assert traits.imbalance == 3.0
    assert all(math.isfinite(number) for number in traits.numbers().values())


def test_about_twenty_numbers_describe_a_task_with_its_models():
    """Counts and sizes come as logarithms: twice the rows add ln 2."""
    task = task_of(TABLE, [0, 0, 0, 1])
    traits = traits_of(task, family="mlp", teacher_parameters=400_000, student_parameters=10_000, teacher_accuracy=0.98)
    found = traits.numbers()

    assert len(found) == 19
    assert found["gap"] == pytest.approx(math.log(40))
    assert found["teacher_accuracy"] == 0.98
    assert all(math.isfinite(number) for number in found.values())
    assert replace(traits, rows=2 * traits.rows).numbers()["rows"] - found["rows"] == pytest.approx(math.log(2))
