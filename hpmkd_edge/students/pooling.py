"""Rows of pieces of different lengths as vectors of one, which padding does not change."""

# Shape suffixes: N = rows, T = pieces of the longest row, W = width.

from __future__ import annotations

from typing import Final

from torch import Tensor

LOWEST: Final = -1e4  # below any value here, and within float16


def real(ids_NT: Tensor, like: Tensor) -> Tensor:
    """Return 1 for pieces and 0 for padding, in the precision of *like*: [N, T]."""
    return (ids_NT != 0).to(like.dtype)


def mean_over(x_NTW: Tensor, real_NT: Tensor) -> Tensor:
    """Return the mean over the pieces of each row, [N, W]; zeros for a row of none."""
    return (x_NTW * real_NT[:, :, None]).sum(1) / real_NT.sum(1, keepdim=True).clamp(min=1)


def root_mean_over(x_NTW: Tensor, real_NT: Tensor) -> Tensor:
    """Return the sum over the pieces of each row, over the root of their number: [N, W].

    Of independent pieces it is as large for a long row as for a short one, as a bag of words of length 1 is.
    """
    return (x_NTW * real_NT[:, :, None]).sum(1) / real_NT.sum(1, keepdim=True).clamp(min=1).sqrt()


def max_over(x_NTW: Tensor, real_NT: Tensor) -> Tensor:
    """Return the largest over the pieces of each row, [N, W]; zeros for a row of none."""
    largest = x_NTW.masked_fill(real_NT[:, :, None] == 0, LOWEST).amax(1)
    return largest * real_NT.amax(1, keepdim=True)
