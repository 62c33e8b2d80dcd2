"""Pooled rows, however much padding they have."""

import pytest
import torch

from hpmkd_edge.students.pooling import max_over, mean_over, real, root_mean_over

GENERATOR = torch.Generator().manual_seed(0)
VALUES = torch.randn(2, 5, 3, generator=GENERATOR)
IDS = torch.tensor([[4, 0, 7, 0, 0], [0, 0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("pool", "twin"),
    [
        (mean_over, lambda rows: rows.mean(0)),
        (root_mean_over, lambda rows: rows.sum(0) / 2**0.5),
        (max_over, lambda rows: rows.amax(0)),
    ],
)
def test_pooling_is_over_pieces_alone(pool, twin):
    """A row of none gives zeros."""
    pooled = pool(VALUES, real(IDS, VALUES))

    torch.testing.assert_close(pooled[0], twin(VALUES[0, [0, 2]]))
    assert not pooled[1].any()


def test_what_is_real_has_the_precision_of_the_values():
    """Half stays half."""
    assert real(IDS, VALUES.half()).dtype == torch.float16
