"""Weights cut from a larger model: slices of the same scale, or none at all."""

from functools import cache

import pytest
import torch
from torch import nn

from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.family import Shape
from hpmkd_edge.students.inherit import begin, inherited

IMAGES = Shape(features=(1, 8, 8), classes=10)


@cache
def ladder(family):
    return FAMILIES[family].ladder(IMAGES)


def built(family, width, depth, seed=0):
    """Return an untrained module; statistics of norms are moved, so that they tell."""
    size = next(s for s in ladder(family) if (s.width, s.depth) == (width, depth))
    module = FAMILIES[family].build(size, IMAGES, seed)
    module.train()(torch.randn(32, *IMAGES.features, generator=torch.Generator().manual_seed(seed)))
    return module.eval()


@pytest.mark.parametrize(("family", "width", "depth"), [("mlp", 32, 2), ("residual", 6, 1), ("depthwise", 8, 1)])
def test_a_cut_to_the_same_size_is_the_model_itself(family, width, depth):
    """Every tensor, at a scale of 1."""
    larger = built(family, width, depth)
    student = begin(built(family, width, depth, seed=1), inherited(built(family, width, depth, seed=1), larger, "x"))

    for name, value in larger.state_dict().items():
        torch.testing.assert_close(student.state_dict()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(("family", "small", "large"), [("mlp", (16, 2), (64, 2)), ("residual", (4, 1), (16, 1))])
def test_weights_are_leading_slices_times_the_root_of_the_ratio_of_inputs(family, small, large):
    """Vectors, and the statistics of norms, as they are."""
    student, larger = built(family, *small, seed=1), built(family, *large)
    start = inherited(student, larger, "large")

    assert start.source == "large"
    assert start.weights.keys() == student.state_dict().keys()
    for name, value in start.weights.items():
        whole = larger.state_dict()[name]
        cut = whole[tuple(slice(0, side) for side in value.shape)]
        ratio = whole[0].numel() / value[0].numel() if value.ndim > 1 else 1.0
        torch.testing.assert_close(value, cut * ratio**0.5 if value.ndim > 1 else cut)
    norms = [name for name in start.weights if name.endswith(("running_mean", "running_var"))]
    assert bool(norms) == (family == "residual")


def test_a_cut_keeps_the_size_of_sums():
    """Of independent weights: their standard deviation times the root of the inputs stays."""
    student, larger = nn.Linear(25, 4, bias=False), nn.Linear(400, 4, bias=False)
    weight = inherited(student, larger, "x").weights["weight"]

    assert float(weight.std()) * 5 == pytest.approx(float(larger.weight.detach().std()) * 20, rel=0.3)


def test_the_larger_model_is_left_as_it_was():
    """What is cut is a copy."""
    larger = built("mlp", 64, 2)
    before = {name: value.clone() for name, value in larger.state_dict().items()}
    student = begin(built("mlp", 16, 2), inherited(built("mlp", 16, 2), larger, "x"))
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()

    for name, value in larger.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("student", "larger"),
    [
        pytest.param(("mlp", 16, 2), ("residual", 16, 1), id="another family"),
        pytest.param(("mlp", 64, 2), ("mlp", 16, 2), id="a smaller model"),
    ],
)
def test_where_too_little_fits_nothing_is_inherited(student, larger):
    """A few tensors would be a start in name only."""
    assert inherited(built(*student), built(*larger), "x") is None


def test_what_a_start_lacks_keeps_its_random_values():
    """Here the head, which has another name in the larger model."""

    class Named(nn.Module):
        def __init__(self, width, head):
            super().__init__()
            self.body = nn.Linear(64, width)
            self.add_module(head, nn.Linear(width, 10))

    torch.manual_seed(0)
    student, larger = Named(8, "head"), Named(32, "other")
    own = student.head.weight.clone()
    begin(student, inherited(student, larger, "x"))

    torch.testing.assert_close(student.head.weight, own, rtol=0, atol=0)
    torch.testing.assert_close(student.body.weight, larger.body.weight[:8])


def test_without_a_start_a_student_keeps_its_weights():
    """Random ones, by its seed."""
    student = built("mlp", 16, 2, seed=3)
    before = {name: value.clone() for name, value in student.state_dict().items()}

    assert begin(student, None) is student
    for name, value in student.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("family", ["mlp", "residual"])
def test_an_inherited_student_answers_with_finite_numbers(family):
    """Of the same order as its larger model's."""
    small, large = ((16, 2), (64, 2)) if family == "mlp" else ((4, 1), (16, 1))
    student, larger = built(family, *small, seed=1), built(family, *large)
    begin(student, inherited(student, larger, "x"))
    rows = torch.randn(64, *IMAGES.features, generator=torch.Generator().manual_seed(9))
    with torch.inference_mode():
        answers = [module(rows) for module in (student, larger)]

    assert all(bool(logits.isfinite().all()) for logits in answers)
    assert 0.1 < float(answers[0].std() / answers[1].std()) < 10
