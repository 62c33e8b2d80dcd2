"""Build modules by seed, and sort the rungs of a ladder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import torch
from torch import nn

from hpmkd_edge.errors import BadStudent
from hpmkd_edge.students.family import Size, count_parameters

Module = TypeVar("Module", bound=nn.Module)


def build_seeded(make: Callable[[], Module], seed: int) -> Module:
    """Call *make* with torch's generator at *seed*, and leave the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def _made_to_count(make: Callable[[], nn.Module]) -> nn.Module:
    try:
        with torch.device("meta"):
            return make()
    except BadStudent:  # a user's function may read its weights, which have no values on the meta device
        return build_seeded(make, 0)


def sorted_rungs(
    family: str, rungs: Iterable[tuple[int, int]], make: Callable[[int, int], nn.Module]
) -> tuple[Size, ...]:
    """Return the (width, depth) *rungs* as sizes, fewest parameters first.

    The modules are made on torch's meta device: counted, never allocated. Those that cannot be made there are
    made on the CPU.

    Raises:
        BadStudent: a parameter has no shape before the module has seen a row.
    """
    sizes = []
    for width, depth in rungs:
        module = _made_to_count(partial(make, width, depth))
        try:
            parameters = count_parameters(module)
        except ValueError as fault:  # a lazy module
            raise BadStudent(
                f"{family} has parameters without a shape, as lazy modules have; fixed shapes are needed."
            ) from fault
        sizes.append(Size(family=family, width=width, depth=depth, parameters=parameters))
    return tuple(sorted(sizes, key=lambda size: size.parameters))
