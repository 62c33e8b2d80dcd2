"""Laws of the losses on logits."""

import pytest
import torch
from torch.nn import functional

from hpmkd_edge.distill.methods.response import dist, soft_kl
from hpmkd_edge.distill.methods.table import METHODS, find_method
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.plan.configure import loss_for


def logits(rows=6, classes=5, seed=0):
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


ACCEPTED = [(name, k) for name in METHODS for k in (2, 3, 9, 10, 100) if METHODS[name].refuses(k) is None]


@pytest.mark.parametrize(("name", "classes"), ACCEPTED)
def test_every_pair_that_the_table_accepts_has_a_gradient(name, classes):
    """A loss without one would silently teach nothing."""
    student = logits(classes=classes, seed=1).requires_grad_()
    METHODS[name].loss(student, logits(classes=classes), 4.0).backward()

    assert student.grad.abs().max() > 1e-6


@pytest.mark.parametrize("name", METHODS)
def test_a_student_that_answers_as_its_teacher_has_no_loss(name):
    """The minimum is at the teacher, up to a shift of each row."""
    teacher = logits()
    loss = METHODS[name].loss(teacher + torch.arange(6.0)[:, None], teacher, 2.0)

    torch.testing.assert_close(loss.double(), torch.zeros((), dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_gradients_agree_with_finite_differences(name):
    """Central differences in float64 of a float32 loss: a loose but raising tolerance."""
    student, teacher = logits(seed=1).requires_grad_(), logits()
    METHODS[name].loss(student, teacher, 2.0).backward()
    step = 1e-2
    numeric = torch.zeros_like(teacher)
    for i in range(teacher.shape[0]):
        for j in range(teacher.shape[1]):
            moved = [student.detach().clone(), student.detach().clone()]
            moved[0][i, j] += step
            moved[1][i, j] -= step
            up, down = (METHODS[name].loss(m, teacher, 2.0) for m in moved)
            numeric[i, j] = (up - down) / (2 * step)

    torch.testing.assert_close(student.grad, numeric, rtol=2e-2, atol=2e-4)


def test_kl_is_a_batch_mean_of_the_sum_over_classes():
    """Averaged over elements it would be too small by the number of classes."""
    student, teacher, t = logits(seed=1), logits(), 3.0
    p = torch.softmax(teacher / t, 1)
    by_hand = (p * (p.log() - functional.log_softmax(student / t, 1))).sum() / len(p) * t * t

    torch.testing.assert_close(soft_kl(student, teacher, t).double(), by_hand, rtol=1e-5, atol=1e-6)


def test_dist_is_zero_for_any_rescaled_relation_and_positive_else():
    """It compares relations, not values; its two terms are at most 2 each."""
    assert 0 < dist(logits(seed=1), logits(), 1.0) < 4


def test_the_table_refuses_a_loss_without_gradient_and_says_what_to_use():
    """Two probabilities that sum to one always correlate perfectly."""
    with pytest.raises(BadConfiguration, match="gradient is zero; use 'kd'"):
        find_method("dist", 2)
    with pytest.raises(BadConfiguration, match="Did you mean 'dist'"):
        find_method("dits", 10)


@pytest.mark.parametrize("kind", ["images", "table"])
@pytest.mark.parametrize("classes", [2, 3, 9, 10, 1000])
def test_auto_never_picks_a_loss_that_the_table_refuses(kind, classes):
    """For every number of classes."""
    name, temperature = loss_for(kind, classes)

    assert find_method(name, classes).name == name
    assert temperature >= 1
