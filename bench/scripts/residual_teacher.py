"""Teachers that `train_teacher.py` made, as `hpmkd-edge compress --teacher` takes them: a function for each size.

--teacher bench/scripts/residual_teacher.py:tiny100_24x2 --weights data/tiny100_24x2.pt
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hpmkd_edge.students.convolution import RESIDUAL
from hpmkd_edge.students.family import Shape, Size

TINY100 = Shape(features=(3, 32, 32), classes=100)
# Of the training rows of tiny100.npz, as train_teacher.py prints them.
MEAN, DEVIATION = (0.48382, 0.45219, 0.39977), (0.25992, 0.25109, 0.26523)


def to_input(pixels: NDArray[np.uint8]) -> Tensor:
    """Return uint8 [N, H, W, C] as the networks were trained on them: float32 [N, C, H, W]."""
    pixels_NCHW = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255
    mean, deviation = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, DEVIATION))
    return (pixels_NCHW - mean) / deviation


def _tiny100(width: int, depth: int) -> nn.Module:
    return RESIDUAL.build(Size(family="residual", width=width, depth=depth, parameters=0), TINY100, seed=0)


def tiny100_16x2() -> nn.Module:
    """0.18 M parameters."""
    return _tiny100(16, 2)


def tiny100_16x3() -> nn.Module:
    """0.28 M parameters."""
    return _tiny100(16, 3)


def tiny100_24x2() -> nn.Module:
    """0.40 M parameters."""
    return _tiny100(24, 2)


def tiny100_24x3() -> nn.Module:
    """0.62 M parameters."""
    return _tiny100(24, 3)
