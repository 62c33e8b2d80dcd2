"""Laws of the losses on features of single rows, and of those that all losses on features share."""

import numpy as np
import pytest
import torch
from torch import nn

from hpmkd_edge.distill.methods.feature import attention_transfer, hint
from hpmkd_edge.distill.methods.table import FEATURE_METHODS

SHAPES = [((5,), (8,)), ((5, 4, 4), (8, 4, 4)), ((5, 6, 4), (8, 3, 2)), ((5, 2, 2), (8, 5, 3)), ((5, 4, 4), (8,))]
ACCEPTED = [(n, s, t) for n in FEATURE_METHODS for s, t in SHAPES if FEATURE_METHODS[n].refuses(s, t) is None]


def features(*shape, rows=6, seed=0):
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(seed))


def whole_loss(name, student, teacher):
    method = FEATURE_METHODS[name]
    return method.loss(method.adaptor(student.shape[1:], teacher.shape[1:], 0)(student), teacher)


def pooled(image, height, width):
    """Adaptive mean by loops: place i of n covers floor(i·H/n) to ceil((i + 1)·H/n)."""
    channels, high, wide = image.shape
    out = np.zeros((channels, height, width))
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                top, bottom = i * high // height, -(-(i + 1) * high // height)
                left, right = j * wide // width, -(-(j + 1) * wide // width)
                out[c, i, j] = image[c, top:bottom, left:right].mean()
    return out


def naive_pairs(student, teacher):
    """Yield each row's two maps over the same places, in float64."""
    for ours, theirs in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        ours, theirs = (x if x.ndim == 3 else x[:, None, None] for x in (ours, theirs))
        sides = np.minimum(ours.shape[1:], theirs.shape[1:])
        yield pooled(ours, *sides), pooled(theirs, *sides)


@pytest.mark.parametrize(("name", "student_shape", "teacher_shape"), ACCEPTED)
def test_every_pair_of_shapes_that_a_loss_accepts_has_a_gradient(name, student_shape, teacher_shape):
    """A finite float32 scalar, and nothing for the teacher."""
    student = features(*student_shape, seed=1).requires_grad_()
    teacher = features(*teacher_shape).requires_grad_()
    loss = whole_loss(name, student, teacher.half())
    loss.backward()

    assert (loss.dtype, loss.shape) == (torch.float32, ())
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() > 1e-6
    assert teacher.grad is None


@pytest.mark.parametrize(("name", "student_shape", "teacher_shape"), ACCEPTED)
def test_gradients_agree_with_finite_differences(name, student_shape, teacher_shape):
    """Central differences along random directions of a float32 loss: a loose but raising tolerance."""
    student, teacher = features(*student_shape, seed=1).requires_grad_(), features(*teacher_shape)
    gradient = torch.autograd.grad(whole_loss(name, student, teacher), student)[0]
    step = 1e-2
    for seed in range(2, 6):
        way = gradient / gradient.norm() + features(*student_shape, seed=seed) / student.numel() ** 0.5
        up, down = (whole_loss(name, student.detach() + sign * step * way, teacher) for sign in (1, -1))

        torch.testing.assert_close((up - down) / (2 * step), (gradient * way).sum(), rtol=2e-2, atol=2e-5)


@pytest.mark.parametrize("name", FEATURE_METHODS)
@pytest.mark.parametrize("shape", [(5,), (5, 4, 4)])
def test_a_student_with_its_teachers_features_has_no_loss(name, shape):
    """Equal channels need no adaptor."""
    teacher = features(*shape)
    if FEATURE_METHODS[name].refuses(shape, shape) is None:
        loss = whole_loss(name, teacher.clone(), teacher)

        torch.testing.assert_close(loss, torch.zeros(()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", FEATURE_METHODS)
def test_the_order_of_the_rows_does_not_matter(name):
    """As long as student and teacher see the same one."""
    student, teacher, order = features(5, 4, 4, seed=1), features(8, 4, 4), torch.tensor([3, 1, 5, 0, 2, 4])

    torch.testing.assert_close(whole_loss(name, student[order], teacher[order]), whole_loss(name, student, teacher))


@pytest.mark.parametrize("name", FEATURE_METHODS)
def test_a_student_without_activity_gets_a_gradient_of_reasonable_size(name):
    """Every unit behind a ReLU may be off at first: no NaN, also at almost nothing and with equal rows."""
    for start in (torch.zeros(6, 5, 4, 4), torch.full((6, 5, 4, 4), 1e-5), 1e-5 * features(5, 4, 4, seed=1)):
        student = start.requires_grad_()
        whole_loss(name, student, features(8, 4, 4)).backward()

        assert student.grad.isfinite().all()
        assert student.grad.abs().max() < 1e4


@pytest.mark.parametrize("name", FEATURE_METHODS)
def test_autocast_does_not_change_the_loss(name):
    """It would multiply matrices in half precision."""
    method, student, teacher = FEATURE_METHODS[name], features(5, 4, 4, seed=1), features(5, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        loss = method.loss(student, teacher)

    torch.testing.assert_close(loss, method.loss(student, teacher), rtol=0, atol=0)


@pytest.mark.parametrize(("student_shape", "teacher_shape"), SHAPES)
def test_hints_agree_with_their_slow_twin(student_shape, teacher_shape):
    """Channels after the adaptor are the teacher's; places are averaged by loops."""
    student, teacher = features(8, *student_shape[1:], seed=1), features(*teacher_shape)
    by_hand = np.mean([(ours - theirs) ** 2 for ours, theirs in naive_pairs(student, teacher)])

    torch.testing.assert_close(hint(student, teacher).double(), torch.tensor(by_hand), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("student_shape", "teacher_shape"), [pair for pair in SHAPES if len(pair[1]) == 3])
def test_attention_transfer_agrees_with_its_slow_twin(student_shape, teacher_shape):
    """Summed over places, a mean over rows."""
    student, teacher = features(*student_shape, seed=1), features(*teacher_shape)
    rows = []
    for pair in naive_pairs(student, teacher):
        ours, theirs = ((image**2).mean(0) for image in pair)
        ours, theirs = ours / np.sqrt((ours**2).sum()), theirs / np.sqrt((theirs**2).sum())
        rows.append(((ours - theirs) ** 2).sum())

    torch.testing.assert_close(
        attention_transfer(student, teacher).double(), torch.tensor(np.mean(rows)), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("scale", [0.1, 30.0])
def test_attention_does_not_see_scale_sign_and_channels(scale):
    """Row by row: only where a map is active counts."""
    student, teacher = features(5, 4, 4, seed=1), features(8, 4, 4)
    scales = torch.linspace(scale, 2 * scale, 6)[:, None, None, None]
    other = -scales * student.flip(1)

    torch.testing.assert_close(attention_transfer(other, teacher), attention_transfer(student, teacher))
    torch.testing.assert_close(attention_transfer(other, student), torch.zeros(()), rtol=0, atol=1e-6)


def test_an_adaptor_maps_to_the_teachers_channels_by_its_seed():
    """Drawn anew it is the same; torch's own generator stays where it was."""
    method, state = FEATURE_METHODS["fitnet"], torch.get_rng_state()
    first, again, other = (method.adaptor((5, 4, 4), (8, 2, 2), seed) for seed in (3, 3, 4))

    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    assert first(features(5, 4, 4)).shape == (6, 8, 4, 4)
    assert isinstance(method.adaptor((5,), (8, 2, 2), 0), nn.Linear)
    assert isinstance(method.adaptor((8, 4, 4), (8, 2, 2), 0), nn.Identity)


def test_an_adaptor_learns_with_the_student():
    """A teacher that is a linear map of the student's features is matched by the adaptor alone."""
    student, method = features(5, 4, 4, rows=32), FEATURE_METHODS["fitnet"]
    teacher = torch.einsum("nchw,cd->ndhw", student, features(8, rows=5, seed=1))
    adaptor = method.adaptor((5, 4, 4), (8, 4, 4), 0)
    optimizer = torch.optim.LBFGS(adaptor.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = method.loss(adaptor(student), teacher)
        loss.backward()
        return loss

    assert closure() > 1
    optimizer.step(closure)
    assert closure() < 1e-6


def test_shapes_that_cannot_be_compared_are_refused_with_the_reason():
    """Sequences have no channels first; a vector has no places; one place in common has no gradient."""
    fitnet, at, rkd, sp = (FEATURE_METHODS[name] for name in ("fitnet", "at", "rkd", "sp"))

    assert fitnet.refuses((5, 4, 4), (197, 768)) == (
        "the teacher's features [197, 768] are neither vectors [C] nor maps [C, H, W]"
    )
    assert "student's features [7, 5] are neither" in rkd.refuses((7, 5), (5, 4, 4))
    assert "student's features [5] are no maps" in at.refuses((5,), (8, 4, 4))
    assert "one place in common" in at.refuses((5, 1, 4), (8, 4, 1))
    assert at.refuses((5, 1, 4), (8, 4, 4)) is None
    assert sp.refuses((7, 5), (5, 4, 4)) is None


def test_attention_over_one_place_really_has_no_gradient():
    """What is refused would have taught nothing."""
    student = features(5, 1, 1, seed=1).requires_grad_()
    attention_transfer(student, features(8, 4, 4)).backward()

    assert student.grad.abs().max() < 1e-5
