"""How fine a ladder is."""

from itertools import pairwise

import pytest

from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.family import Shape


@pytest.mark.parametrize("shape", [Shape(features=(3, 32, 32), classes=10), Shape(features=(1, 8, 8), classes=10)])
def test_a_residual_ladder_has_no_gap_above_a_factor_of_1_62(shape):
    """A budget between two rungs wastes what lies between; from 3×1 to 4×1 it is 1.73, and no width lies between."""
    sizes = FAMILIES["residual"].ladder(shape)
    ratios = [larger.parameters / smaller.parameters for smaller, larger in pairwise(sizes)]

    assert max(ratios[1:]) < 1.62
    assert (11, 2) in [(size.width, size.depth) for size in sizes]
