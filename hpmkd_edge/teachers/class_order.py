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


def label_order(name: str, labels: Sequence[str], classes: Sequence[str]) -> tuple[tuple[int, ...], str]:
    """Return the output for each class of the task of a model that names its outputs, and a phrase.

    Names are compared without regard to case. Where the task's classes are 0 … K − 1, they are the numbers of the
    outputs, whatever these are called; LABEL_0 … LABEL_K−1, which is what `transformers` calls them unasked, are taken
    in the order of the task's classes.

    Raises:
        BadTeacher: other classes, or another number of them.
    """
    if len(labels) != len(classes):
        raise BadTeacher(f"{name} gives {len(labels)} classes; the task has {len(classes)}: {', '.join(classes)}.")
    folded, wanted = [label.casefold() for label in labels], [label.casefold() for label in classes]
    if sorted(folded) == sorted(wanted) and len(set(folded)) == len(folded):
        return tuple(folded.index(label) for label in wanted), ""
    unnamed = [f"LABEL_{place}" for place in range(len(labels))]
    if sorted(classes) == sorted(str(place) for place in range(len(labels))):
        about = (
            "" if list(labels) == unnamed else f"; its classes {', '.join(labels)} are read as 0 … {len(labels) - 1}"
        )
        return tuple(int(label) for label in classes), about
    if list(labels) == unnamed:
        return tuple(range(len(labels))), "; its classes, which have no names, are read as positions"
    return class_order(name, labels, classes)
