"""What a size does for one row, counted without measuring: what its time grows with, unlike its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hpmkd_edge.students.family import Family, Shape, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """The work of one row.

    Attributes:
        macs: multiply-adds; to look up an embedding is none.
        layers: calls of modules that hold weights and no other module.
    """

    macs: int
    layers: int


def effort_of(family: Family, size: Size, shape: Shape) -> Effort:
    """Count the work of *size* on one row of *shape*.

    The module is run once, on torch's meta device where it can be: nothing is computed there.

    Raises:
        BadStudent: the family cannot be built for this shape.
    """
    module = family.build(size, shape, 0).eval()
    try:
        return _counted(module.to("meta"), shape.example(1).to("meta"))
    except (RuntimeError, NotImplementedError):  # a user's forward may read values, which the meta device has not
        return _counted(family.build(size, shape, 0).eval(), shape.example(1))


def _counted(module: nn.Module, row: torch.Tensor) -> Effort:
    from torch.utils.flop_counter import FlopCounterMode

    layers = 0

    def count(_part: nn.Module, _inputs: Any, _answer: Any) -> None:
        nonlocal layers
        layers += 1

    leaves = [part for part in module.modules() if not list(part.children()) and list(part.parameters())]
    hooks = [part.register_forward_hook(count) for part in leaves]
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            module(row)
    finally:
        for hook in hooks:
            hook.remove()
    return Effort(macs=counter.get_total_flops() // 2, layers=layers)
