"""The six components of HPM-KD (arXiv 2512.09886), each with its switch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hpmkd_edge.errors import unknown

COMPONENTS: Final = {
    "configuration": "choose the settings by short races over a portfolio, and by what the memory knows",
    "chain": "teach through intermediate sizes, where that helps the final student",
    "attention": "weigh several teachers row by row",
    "temperature": "move the temperature while training",
    "parallel": "train independent rivals side by side",
    "memory": "keep answers, trainings and outcomes between runs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Which components a run uses: all that are not in *off*."""

    off: frozenset[str] = frozenset()

    def uses(self, name: str) -> bool:
        """Tell whether the component is on."""
        assert name in COMPONENTS
        return name not in self.off


def without(names: Iterable[str]) -> Components:
    """Return all components but those of *names*.

    Raises:
        BadConfiguration: a name is no component's.
    """
    for name in names:
        if name not in COMPONENTS:
            raise unknown("component", name, COMPONENTS)
    return Components(off=frozenset(names))
