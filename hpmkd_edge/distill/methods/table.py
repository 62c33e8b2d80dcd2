"""The tables of losses: on logits, and on features."""

from __future__ import annotations

from typing import Final

from hpmkd_edge.distill.methods.feature import FEATURES
from hpmkd_edge.distill.methods.method import FeatureMethod, Method
from hpmkd_edge.distill.methods.relation import RELATIONS
from hpmkd_edge.distill.methods.response import RESPONSES, SQUARES
from hpmkd_edge.errors import BadConfiguration, unknown

METHODS: Final[dict[str, Method]] = {method.name: method for method in RESPONSES}
FEATURE_METHODS: Final[dict[str, FeatureMethod]] = {method.name: method for method in (*FEATURES, *RELATIONS)}


def find_method(name: str, classes: int) -> Method:
    """Return the loss on logits called *name* for a task with so many *classes*; with fewer than 2, values are learned.

    Raises:
        BadConfiguration: there is no such loss, it is one on features, or it has no gradient for so many classes.
    """
    if is_feature_method(name):
        raise BadConfiguration(
            f"the loss {name!r} compares features, not logits, so it needs taps; use it as a stage: --stages {name},kd."
        )
    if name not in METHODS:
        raise unknown("loss", name, METHODS)
    method = METHODS[name]
    reason = method.refuses(classes)
    if reason is not None and classes < 2:
        raise BadConfiguration(f"the loss {name!r} cannot teach values: {reason}; use {SQUARES!r}.")
    if reason is not None:
        raise BadConfiguration(f"the loss {name!r} cannot teach {classes} classes: {reason}; use 'kd'.")
    return method


def is_feature_method(name: str) -> bool:
    """Tell whether the loss called *name* is one on features, which needs taps."""
    return name in FEATURE_METHODS


def find_feature_method(name: str) -> FeatureMethod:
    """Return the loss on features called *name*.

    Raises:
        BadConfiguration: there is no such loss.
    """
    if name not in FEATURE_METHODS:
        raise unknown("loss on features", name, FEATURE_METHODS)
    return FEATURE_METHODS[name]


def check_shapes(method: FeatureMethod, student_shape: tuple[int, ...], teacher_shape: tuple[int, ...]) -> None:
    """Stop if *method* cannot compare taps of these shapes.

    Raises:
        BadConfiguration: it cannot, or would teach nothing.
    """
    reason = method.refuses(student_shape, teacher_shape)
    if reason is not None:
        raise BadConfiguration(f"the loss {method.name!r} cannot compare the taps: {reason}; choose other taps.")


def feels_temperature(name: str) -> bool:
    """Tell whether the loss on logits called *name* depends on a temperature at all."""
    return name in METHODS and name not in ("logit_mse", "brier", SQUARES)
