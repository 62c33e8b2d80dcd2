"""Arrays in the store, mapped into memory on reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.store.objects import Store


def put_array(store: Store, key: str, array: NDArray[Any], *, kind: str) -> NDArray[Any]:
    """Keep *array* under *key*, and return it as `find_array` will.

    Raises:
        BadOutput: the store cannot be written.
        ValueError: the array holds objects.
    """
    return _map(store.put(key, lambda path: np.save(path, array, allow_pickle=False), kind=kind, suffix=".npy"))


def find_array(store: Store, key: str, *, kind: str) -> NDArray[Any] | None:
    """Return the array under *key*, read-only and mapped into memory, or None if there is none.

    Raises:
        BadOutput: the database cannot be used.
    """
    path = store.find(key, kind=kind)
    try:
        return None if path is None else _map(path)
    except FileNotFoundError:  # evicted by another process just now
        return None


def _map(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
