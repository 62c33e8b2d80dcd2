"""Laws of the losses on logits."""

import pytest
import torch
from torch.nn import functional

from hpmkd_edge.distill.methods.response import dist, dkd, mean_correlation, soft_kl, standardized_kl
from hpmkd_edge.distill.methods.table import METHODS, find_method
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.plan.configure import loss_for


def logits(rows=6, classes=5, seed=0):
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(classes=5):
    return torch.arange(6) % classes


def softening(name):
    """WTTM softens the teacher alone, so its minimum is at the teacher for a temperature of 1 only."""
    return 1.0 if name == "wttm" else 2.0


ACCEPTED = [(name, k) for name in METHODS for k in (1, 2, 3, 9, 10, 100) if METHODS[name].refuses(k) is None]


@pytest.mark.parametrize(("name", "classes"), ACCEPTED)
def test_every_pair_that_the_table_accepts_has_a_gradient(name, classes):
    """A loss without one would silently teach nothing."""
    student = logits(classes=classes, seed=1).requires_grad_()
    METHODS[name].loss(student, logits(classes=classes), labels(classes), 4.0).backward()

    assert student.grad.abs().max() > 1e-6


@pytest.mark.parametrize("name", METHODS)
def test_a_student_that_answers_as_its_teacher_has_no_loss(name):
    """The minimum is at the teacher, up to a shift of each row where classes are compared."""
    teacher = logits()
    shift = torch.arange(6.0)[:, None] * (name != "squares")
    loss = METHODS[name].loss(teacher + shift, teacher, labels(), softening(name))

    torch.testing.assert_close(loss.double(), torch.zeros((), dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_gradients_agree_with_finite_differences(name):
    """Central differences in float64 of a float32 loss: a loose but raising tolerance."""
    student, teacher = logits(seed=1).requires_grad_(), logits()
    METHODS[name].loss(student, teacher, labels(), 2.0).backward()
    step = 1e-2
    numeric = torch.zeros_like(teacher)
    for i in range(teacher.shape[0]):
        for j in range(teacher.shape[1]):
            moved = [student.detach().clone(), student.detach().clone()]
            moved[0][i, j] += step
            moved[1][i, j] -= step
            up, down = (METHODS[name].loss(m, teacher, labels(), 2.0) for m in moved)
            numeric[i, j] = (up - down) / (2 * step)

    torch.testing.assert_close(student.grad, numeric, rtol=2e-2, atol=2e-4)


def test_kl_is_a_batch_mean_of_the_sum_over_classes():
    """Averaged over elements it would be too small by the number of classes."""
    student, teacher, t = logits(seed=1), logits(), 3.0
    p = torch.softmax(teacher / t, 1)
    by_hand = (p * (p.log() - functional.log_softmax(student / t, 1))).sum() / len(p) * t * t

    torch.testing.assert_close(soft_kl(student, teacher, t).double(), by_hand, rtol=1e-5, atol=1e-6)


def test_dist_lies_between_agreement_and_opposition():
    """Each of its two terms is 0 where all correlations are 1, and 2 where all are −1."""
    torch.testing.assert_close(dist(logits(), logits(), 1.0).double(), torch.tensor(0.0).double(), rtol=0, atol=1e-5)
    assert 0 < dist(logits(seed=1), logits(), 1.0) < 4
    two = logits(classes=2)
    torch.testing.assert_close(dist(-two, two, 1.0).double(), torch.tensor(4.0).double(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", METHODS)
def test_a_student_that_answers_nothing_yet_gets_a_gradient_of_reasonable_size(name):
    """A head that starts at zero gives equal logits: no NaN, and nothing that clipping would have to hide."""
    student = torch.zeros(6, 5, requires_grad=True)
    METHODS[name].loss(student, logits().float(), labels(), 4.0).backward()

    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().max() < 1e4


@pytest.mark.parametrize("name", ["dist", "dkd", "lskd"])
def test_what_the_table_refuses_for_two_classes_really_has_no_gradient(name):
    """Of DKD the part on other classes alone: with α = 0 nothing would be left."""
    student, teacher = logits(classes=2, seed=1).requires_grad_(), logits(classes=2)
    METHODS[name].loss(student, teacher, labels(2), 2.0).backward()
    if name == "dkd":
        target_only = functional.one_hot(labels(2), 2).bool()
        difference = (student[target_only] - student[~target_only]) / 2
        wanted = (teacher[target_only] - teacher[~target_only]) / 2
        by_hand = torch.autograd.grad(
            functional.binary_cross_entropy_with_logits(difference, wanted.sigmoid()) * 4, student
        )[0]

        torch.testing.assert_close(student.grad, by_hand, rtol=1e-4, atol=1e-6)
    elif name == "lskd":
        assert student.grad.abs().max() < 1e-4
    else:
        # Between classes nothing; what is left is the correlation within each class.
        inter = 1 - mean_correlation(torch.softmax(student, 1), torch.softmax(teacher, 1), 1)
        assert torch.autograd.grad(inter, student)[0].abs().max() < 1e-4


def test_the_parts_of_dkd_add_up_to_kd():
    """KL = TCKD + (1 − p_t) · NCKD (Zhao et al. 2022, §3.1), for one row; TCKD is a KL of two classes."""
    student, teacher, one = logits(rows=1, seed=1), logits(rows=1), torch.tensor([2])
    with_beta = dkd(student, teacher, one, 1.0)
    rest = 1 - torch.softmax(teacher, 1)[0, 2]
    target_part = functional.binary_cross_entropy(
        torch.softmax(student, 1)[0, 2], torch.softmax(teacher, 1)[0, 2]
    ) - functional.binary_cross_entropy(torch.softmax(teacher, 1)[0, 2], torch.softmax(teacher, 1)[0, 2])
    others_part = (with_beta - target_part) / 4

    torch.testing.assert_close(
        soft_kl(student, teacher, 1.0).double(), target_part + rest * others_part, rtol=1e-4, atol=1e-6
    )


def test_lskd_does_not_see_scale_and_shift_and_kd_does():
    """A student that orders and spaces the classes as its teacher does is done."""
    teacher = logits()

    assert standardized_kl(3 * teacher + 1, teacher, 2.0) < 1e-6
    assert soft_kl(3 * teacher + 1, teacher, 2.0) > 1e-2


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
