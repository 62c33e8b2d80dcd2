"""What stands in for a trained student weighs as much."""

import pytest
import torch

from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.family import Shape
from hpmkd_edge.students.stand_in import stand_in

SHAPE = Shape(features=(1, 8, 8), classes=10)


@pytest.mark.parametrize("family", ["mlp", "residual", "depthwise"])
def test_no_array_of_a_stand_in_is_constant_and_no_two_are_equal(family):
    """An exporter would keep equal ones once, as it could not of a trained student."""
    size = FAMILIES[family].ladder(SHAPE)[1]
    arrays = [value for value in stand_in(FAMILIES[family], size, SHAPE, 0).state_dict().values() if value.ndim]

    for place, value in enumerate(arrays):
        assert value.unique().numel() > 1
        assert not any(value.shape == other.shape and torch.equal(value, other) for other in arrays[:place])


def test_a_stand_in_answers_with_finite_numbers_and_is_the_same_each_time():
    """Variances stay positive; all is drawn by the seed."""
    size = FAMILIES["residual"].ladder(SHAPE)[0]
    rows = torch.randn(4, *SHAPE.features, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    with torch.inference_mode():
        one, same, other = (stand_in(FAMILIES["residual"], size, SHAPE, seed).eval()(rows) for seed in (0, 0, 1))

    assert bool(one.isfinite().all())
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)
