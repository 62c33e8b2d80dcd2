"""Content hashes: two things of one digest give the same answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.tasks.task import Images, Inputs, Rows, Texts


def digest_of(parts: Iterable[str | bytes]) -> str:
    """Return the sha256 of *parts* in hex; ("ab", "c") and ("a", "bc") differ."""
    state = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        state.update(len(content).to_bytes(8, "little"))
        state.update(content)
    return state.hexdigest()


def digest_of_array(array: NDArray[Any]) -> str:
    """Return the sha256 of an array's type, shape and values in hex; strings by their characters."""
    if array.dtype == object:
        return digest_of(("object", str(array.shape), *(str(value) for value in array.reshape(-1))))
    # An array is hashed where it lies: a copy of all training images would double the memory.
    values = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return digest_of((array.dtype.str, str(array.shape), hashlib.sha256(values.data).digest()))


def digest_of_rows(rows: Rows) -> str:
    """Return the sha256 of what a teacher sees of *rows* in hex: inputs and positions, not labels."""
    return digest_of((*parts_of_inputs(rows.inputs), digest_of_array(rows.positions)))


def parts_of_inputs(inputs: Inputs) -> tuple[str, ...]:
    """Return what tells *inputs* from any others: their kind and the digest of each array, named in a table."""
    if isinstance(inputs, Images):
        return ("images", digest_of_array(inputs.pixels))
    if isinstance(inputs, Texts):
        return ("text", *(digest_of_array(block) for block in inputs.blocks()))
    columns = ((column.name, column.kind, digest_of_array(column.values)) for column in inputs.columns)
    return ("table", *(part for column in columns for part in column))
