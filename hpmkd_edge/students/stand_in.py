"""An untrained student that stands in for a trained one when its file is weighed and timed."""

from __future__ import annotations

import torch
from torch import nn

from hpmkd_edge.students.family import Family, Shape, Size

UNEVENNESS = 0.1


def stand_in(family: Family, size: Size, shape: Shape, seed: int) -> nn.Module:
    """Build *size* untrained, and make uneven what training would: weights, shifts and statistics of norms.

    An exporter keeps equal arrays once: all norms of an untrained network fold into biases of zeros, and the file of a
    depthwise 8×1 is then 8 % smaller than that of the same network trained, of a residual 8×1 2 %.
    """
    module = family.build(size, shape, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point() and value.numel() > 1 and bool((value == value.flatten()[0]).all()):
                value += UNEVENNESS * torch.rand(value.shape, generator=generator)
    return module
