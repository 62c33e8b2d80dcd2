"""The loss table."""

from __future__ import annotations

from typing import Final

from hpmkd_edge.distill.methods.method import Method
from hpmkd_edge.distill.methods.response import RESPONSES
from hpmkd_edge.errors import BadConfiguration, unknown

METHODS: Final[dict[str, Method]] = {method.name: method for method in RESPONSES}


def find_method(name: str, classes: int) -> Method:
    """Return the loss called *name* for a task with so many *classes*.

    Raises:
        BadConfiguration: there is no such loss, or it has no gradient for so many classes.
    """
    if name not in METHODS:
        raise unknown("loss", name, METHODS)
    method = METHODS[name]
    reason = method.refuses(classes)
    if reason is not None:
        raise BadConfiguration(f"the loss {name!r} cannot teach {classes} classes: {reason}; use 'kd'.")
    return method
