"""Build modules by seed, and sort the rungs of a ladder."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from hpmkd_edge.students.family import Size, count_parameters


def build_seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Call *make* with torch's generator at *seed*, and leave the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def sorted_rungs(
    family: str, rungs: Iterable[tuple[int, int]], make: Callable[[int, int], nn.Module]
) -> tuple[Size, ...]:
    """Return the (width, depth) *rungs* as sizes, fewest parameters first.

    The modules are made on torch's meta device: counted, never allocated.
    """
    sizes = []
    for width, depth in rungs:
        with torch.device("meta"):
            parameters = count_parameters(make(width, depth))
        sizes.append(Size(family=family, width=width, depth=depth, parameters=parameters))
    return tuple(sorted(sizes, key=lambda size: size.parameters))
