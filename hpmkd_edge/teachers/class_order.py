"""Which output of a foreign model is which class of the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpmkd_edge.errors import BadTeacher


def class_order(name: str, own: Sequence[Any], classes: Sequence[str]) -> tuple[tuple[int, ...], str]:
    """Return the place among the estimator's *own* classes of each class of the task, and a phrase.

    Classes are the same if they read the same ("3" and 3, "1" and 1.0). Where none does and the
    estimator's are exactly 0 … K − 1, they are taken for positions in the task's classes.

    Raises:
        BadTeacher: the two sets differ.
    """
    spelled = [
        str(int(value)) if isinstance(value, (float, np.floating)) and float(value).is_integer() else str(value)
        for value in own
    ]
    if sorted(spelled) == sorted(classes):
        return tuple(spelled.index(label) for label in classes), ""
    if not set(spelled) & set(classes) and spelled == [str(place) for place in range(len(classes))]:
        return tuple(range(len(classes))), f"; its classes 0 … {len(classes) - 1} are read as positions"
    raise BadTeacher(f"{name} knows the classes {', '.join(spelled)}; the task has {', '.join(classes)}.")
