"""Laws of the reference loss and of the weights that the teacher's confidence gives its rows."""

import pytest
import torch

from hpmkd_edge.distill.methods.response import soft_kl
from hpmkd_edge.distill.reference import reference_loss, reference_weights, true_class_probability
from hpmkd_edge.distill.stages import WEIGHTINGS
from hpmkd_edge.errors import BadConfiguration

LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def logits(seed=0, classes=4):
    return 2 * torch.randn(6, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_true_class_probability_is_the_softmax_at_the_label():
    """Row by row; over all labels the probabilities of a row sum to one."""
    every = torch.stack([true_class_probability(logits(), torch.full((6,), label)) for label in range(4)], 1)

    torch.testing.assert_close(every.double(), torch.softmax(logits(), 1), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(true_class_probability(logits(), LABELS), every[torch.arange(6), LABELS])


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
def test_weights_have_a_mean_of_one(weighting, scale):
    """Whatever the teacher's confidence, so λ_r keeps its meaning."""
    weights = reference_weights(scale * logits(), LABELS, weighting)

    assert (weights >= 0).all()
    torch.testing.assert_close(weights.mean(), torch.ones(()), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("weighting", "wrong"), [("inverse", 0), ("tcp", 1)])
def test_where_no_row_weighs_anything_all_weigh_the_same(weighting, wrong):
    """A teacher that is sure of every label, or sure of another class, tells no two rows apart."""
    sure = 1e3 * torch.nn.functional.one_hot((LABELS + wrong) % 4, 4)

    torch.testing.assert_close(reference_weights(sure, LABELS, weighting), torch.ones(6))


def test_rows_are_ordered_by_the_teachers_confidence():
    """By "tcp" rising, by "inverse" falling, the two adding up to a constant before they are normalized."""
    confidence = true_class_probability(logits(), LABELS)
    order = confidence.argsort()
    tcp, inverse = (reference_weights(logits(), LABELS, name) for name in ("tcp", "inverse"))

    assert (tcp[order].diff() > 0).all()
    assert (inverse[order].diff() < 0).all()
    torch.testing.assert_close(
        tcp * confidence.mean() + inverse * (1 - confidence).mean(), torch.ones(6), rtol=1e-4, atol=0
    )


def test_a_very_sure_teacher_still_orders_its_rows():
    """Where 1 − c is lost to rounding in float32, the other classes' sum is not."""
    teacher = torch.tensor([[12.0, 0.0], [12.5, 0.0], [13.0, 0.0]])
    weights = reference_weights(teacher, torch.zeros(3, dtype=torch.int64), "inverse")

    assert (weights.diff() < 0).all()
    torch.testing.assert_close(weights[0] / weights[1], torch.tensor(0.5).exp(), rtol=0.1, atol=0)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_student_that_has_not_moved_has_no_loss(weighting):
    """The minimum is at the reference, up to a shift of each row, and its gradient is zero there."""
    student = (logits(1) + torch.arange(6.0)[:, None]).requires_grad_()
    loss = reference_loss(student, logits(1), reference_weights(logits(), LABELS, weighting), 3.0)
    loss.backward()

    torch.testing.assert_close(loss, torch.zeros(()), rtol=0, atol=1e-5)
    torch.testing.assert_close(student.grad, torch.zeros_like(student), rtol=0, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_with_equal_weights_it_is_kd_from_the_reference(temperature):
    """And so it is where a teacher has no logits to weigh by."""
    uniform = reference_weights(logits(), LABELS, "uniform")
    kd = soft_kl(logits(1), logits(2), temperature)

    torch.testing.assert_close(reference_loss(logits(1), logits(2), uniform, temperature), kd)
    torch.testing.assert_close(reference_loss(logits(1), logits(2), None, temperature), kd)


def test_the_loss_is_the_weighted_mean_of_its_rows():
    """Each row alone, times its weight."""
    weights = reference_weights(logits(), LABELS, "inverse")
    rows = torch.stack([soft_kl(logits(1)[[i]], logits(2)[[i]], 2.0) for i in range(6)])

    torch.testing.assert_close(reference_loss(logits(1), logits(2), weights, 2.0), (weights * rows).mean())


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_order_of_the_rows_does_not_matter(weighting):
    """A batch is a set."""
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    weights = reference_weights(logits(), LABELS, weighting)
    moved = reference_weights(logits()[order], LABELS[order], weighting)

    torch.testing.assert_close(moved, weights[order])
    torch.testing.assert_close(
        reference_loss(logits(1)[order], logits(2)[order], moved, 2.0),
        reference_loss(logits(1), logits(2), weights, 2.0),
    )


def test_the_gradient_agrees_with_finite_differences():
    """Central differences of a float32 loss: a loose but raising tolerance."""
    student = logits(1).requires_grad_()
    weights, step = reference_weights(logits(), LABELS, "inverse"), 1e-2
    reference_loss(student, logits(2), weights, 2.0).backward()
    numeric = torch.zeros_like(student)
    for i in range(6):
        for j in range(4):
            move = torch.zeros_like(numeric)
            move[i, j] = step
            up, down = (reference_loss(student.detach() + m, logits(2), weights, 2.0) for m in (move, -move))
            numeric[i, j] = (up - down) / (2 * step)

    torch.testing.assert_close(student.grad, numeric, rtol=2e-2, atol=2e-4)


def test_neither_the_reference_nor_the_weights_get_a_gradient():
    """Both are frozen, even if whoever gives them forgot to."""
    reference, teacher = logits(2).requires_grad_(), logits().requires_grad_()
    given = torch.ones(6, requires_grad=True)
    student = logits(1).requires_grad_()
    reference_loss(student, reference, given, 2.0).backward()

    assert reference.grad is None
    assert given.grad is None
    assert not reference_weights(teacher, LABELS, "inverse").requires_grad


def test_a_loss_in_half_precision_is_computed_in_float32():
    """A sum of small differences of logarithms has no digits left in float16."""
    half = [logits(seed).half() for seed in (1, 2)]
    loss = reference_loss(*half, None, 4.0)

    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, reference_loss(*(part.float() for part in half), None, 4.0))


def test_an_unknown_weighting_is_refused():
    """With the known ones."""
    with pytest.raises(BadConfiguration, match="Known: inverse, tcp, uniform"):
        reference_weights(logits(), LABELS, "entropy")
