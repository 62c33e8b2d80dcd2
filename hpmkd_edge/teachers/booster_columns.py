"""Whether boosted trees see in a column of the task what they were fitted on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Integral
from typing import Any

import numpy as np

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.tasks.task import Column


def check_kind(column: Column, name: str, *, categories: Mapping[str, tuple[Any, ...]], words: Collection[str]) -> None:
    """Make sure that a booster sees in *column* what it was fitted on.

    Args:
        name: of the teacher.
        categories: of each column that was a category of pandas, its values.
        words: the columns that it takes as words.

    Raises:
        BadTeacher: it takes another kind, or knows its categories as values of another type.
    """
    takes_category = column.name in categories or column.name in words
    if takes_category and column.kind == "number":
        raise BadTeacher(
            f"{name} takes {column.name!r} as a category; the task reads it as numbers, and --schema with "
            f"`{column.name}: category` is needed."
        )
    known = categories.get(column.name)
    if known is not None:
        kinds: tuple[tuple[Any, str], ...] = (
            ((bool, np.bool_), "booleans"),
            (str, "text"),
            (Integral, "whole numbers"),
        )
        learned = next((word for kind, word in kinds if all(isinstance(one, kind) for one in known)), "others")
        given = "text" if column.holds_text else "whole numbers"
        if learned != given:
            # Not one value of the task would be among those that it knows, and all of them missing to it.
            need = {"text": f"--schema with `{column.name}: text`", "whole numbers": "whole numbers in the file"}
            raise BadTeacher(
                f"{name} knows the categories of {column.name!r} as {learned}, and the task reads {given};"
                f" {need.get(learned, 'a model fitted on numbers, text or whole numbers')} is needed."
            )
    if not takes_category and column.kind == "category":
        raise BadTeacher(
            f"{name} takes {column.name!r} as numbers, and does not say which; the task's column is a category. A "
            "model fitted on categories of pandas, or the column as numbers, is needed."
        )
