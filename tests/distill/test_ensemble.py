"""Weights of teachers without training: what the closed forms, the mixture and the comparison must hold to."""

import math
from itertools import permutations

import numpy as np
import pytest

from hpmkd_edge.distill.ensemble import closed_form, closed_form_unlabeled, mixture_logits, worth_of

CLASSES = 10


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(0).integers(CLASSES, size=400)


def random_teacher(seed, rows=400):
    return np.random.default_rng(seed).normal(0, 3, (rows, CLASSES)).astype(np.float32)


def good_teacher(labels, seed):
    return random_teacher(seed) / 3 + 4 * np.eye(CLASSES, dtype=np.float32)[labels]


@pytest.fixture(scope="module")
def teachers(labels):
    """Two good ones and, the last, a random one: as sure as they are, and right by chance."""
    return np.stack([good_teacher(labels, 1), good_teacher(labels, 2), random_teacher(3)])


def naive_softmax(values):
    exponentials = [math.exp(value - max(values)) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def naive_closed_form(teachers, labels, temperature, floor):
    rows = []
    for row, label in enumerate(labels):
        losses = [-math.log(naive_softmax(list(map(float, teacher[row])))[label]) for teacher in teachers]
        favor = naive_softmax([-loss / temperature for loss in losses])
        rows.append([(1 - floor) * share + floor / len(teachers) for share in favor])
    return np.array(rows)


def naive_mixture(teachers, weights):
    rows = []
    for row, shares in enumerate(weights):
        answers = [naive_softmax(list(map(float, teacher[row]))) for teacher in teachers]
        means = [sum(s * answer[k] for s, answer in zip(shares, answers, strict=True)) for k in range(CLASSES)]
        rows.append([math.log(max(mean, 1e-7)) for mean in means])
    return np.array(rows)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_closed_form_is_its_formula(teachers, labels, temperature):
    """Row by row in plain Python."""
    fast = closed_form(teachers[:, :40], labels[:40], temperature=temperature, floor=0.2)

    np.testing.assert_allclose(fast, naive_closed_form(teachers[:, :40], labels[:40], temperature, 0.2), rtol=1e-5)


def test_the_mixture_is_its_formula(teachers, labels):
    """Row by row in plain Python."""
    weights = closed_form(teachers, labels)

    np.testing.assert_allclose(
        mixture_logits(teachers[:, :40], weights[:40]), naive_mixture(teachers[:, :40], weights[:40]), atol=1e-5
    )


@pytest.mark.parametrize("form", ["labeled", "unlabeled"])
def test_weights_are_shares_above_the_floor(teachers, labels, form):
    """They sum to 1, and none is below floor / M, up to rounding."""
    weights = closed_form(teachers, labels) if form == "labeled" else closed_form_unlabeled(teachers)

    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert weights.min() >= 0.1 / 3 - 1e-6
    assert weights.dtype == np.float32


def test_one_teacher_has_weight_one(teachers, labels):
    """Whoever it is."""
    for teacher in teachers:
        weights = closed_form(teacher[None], labels), closed_form_unlabeled(teacher[None])

        np.testing.assert_array_equal(weights, np.ones((2, 400, 1)))


def test_a_random_teacher_loses_nearly_all_its_weight(teachers, labels):
    """The floor leaves it 3.3 %, and chance makes it right on some rows."""
    assert closed_form(teachers, labels).mean(0)[2] < 0.1


def test_without_labels_an_unsure_teacher_loses_weight(teachers):
    """A flat answer has the largest entropy there is."""
    flat = np.stack([teachers[0], np.zeros_like(teachers[0])])

    assert closed_form_unlabeled(flat)[:, 1].max() < 0.5


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_reordered_teachers_have_reordered_weights(teachers, labels, order):
    """A teacher's place says nothing."""
    order = list(order)

    np.testing.assert_allclose(closed_form(teachers[order], labels), closed_form(teachers, labels)[:, order], rtol=1e-6)
    np.testing.assert_allclose(
        closed_form_unlabeled(teachers[order]), closed_form_unlabeled(teachers)[:, order], rtol=1e-6
    )


def test_a_constant_added_to_a_row_of_logits_changes_nothing(teachers, labels):
    """Softmax does not see it."""
    shift = np.random.default_rng(5).normal(0, 10, (3, 400, 1)).astype(np.float32)

    np.testing.assert_allclose(closed_form(teachers + shift, labels), closed_form(teachers, labels), atol=1e-5)


def test_a_mixture_of_identical_teachers_is_that_teacher(teachers, labels):
    """Whatever the weights are."""
    weights = np.random.default_rng(6).dirichlet([1, 1, 1], 400).astype(np.float32)
    mixture = mixture_logits(np.stack([teachers[0]] * 3), weights)

    np.testing.assert_allclose(mixture, mixture_logits(teachers[:1], np.ones((400, 1), np.float32)), atol=1e-6)
    np.testing.assert_allclose(np.exp(mixture).sum(1), 1, atol=1e-5)


def test_a_mixture_is_finite_where_a_teacher_excludes_a_class():
    """A probability that rounds to zero is clipped to 1e-7."""
    teacher = np.array([[[0, -1e6, 900]]], np.float32)

    np.testing.assert_allclose(
        mixture_logits(teacher, np.ones((1, 1), np.float32)), [[math.log(1e-7), math.log(1e-7), 0]], rtol=1e-6
    )


def test_equal_weights_lead_over_nothing(teachers, labels):
    """They are the uniform mixture, so neither is ahead, and they do not differ between rows."""
    worth = worth_of(np.full((400, 3), 1 / 3, np.float32), teachers, labels)

    assert worth.weighted == pytest.approx(worth.uniform)
    assert (worth.pays, worth.sure_share) == (False, 0)
    assert worth.spread == pytest.approx(0, abs=1e-6)
    assert worth.mean_weights == pytest.approx((1 / 3,) * 3)


def test_weights_on_one_teacher_are_worth_what_it_is(teachers, labels):
    """The corners of the simplex are the single teachers."""
    for number in range(3):
        worth = worth_of(np.eye(3, dtype=np.float32)[[number] * 400], teachers, labels)

        assert worth.weighted == pytest.approx(worth.singles[number])
        assert worth.sure_share == 1
        assert not worth.pays


def test_the_mixture_that_is_compared_is_the_one_a_student_learns_from(teachers, labels):
    """Its cross-entropy is that of `mixture_logits`."""
    weights = np.random.default_rng(7).dirichlet([1, 1, 1], 400).astype(np.float32)
    mixture = mixture_logits(teachers, weights)

    assert worth_of(weights, teachers, labels).weighted == pytest.approx(
        -mixture[np.arange(400), labels].mean(), rel=1e-5
    )
