"""Copies of a table whose cells are partly resampled: new rows for a teacher to label."""

# Shape suffixes: N = rows, M = columns of numbers, Q = columns of words.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.kernels.metafeatures import describe_columns
from hpmkd_edge.kernels.table_views import spunge
from hpmkd_edge.tasks.task import Table


def spunged(table: Table, seeds: Sequence[int]) -> Iterator[Table]:
    """Yield a copy of *table* a seed; see `kernels.table_views.spunge`."""
    if not seeds:
        return
    rows = len(table)
    numbers = [column.values for column in table.columns if column.kind == "number"]
    words = [_coded(column.values) for column in table.columns if column.kind == "category"]
    numbers_NM = np.stack(numbers, 1) if numbers else np.empty((rows, 0), np.float32)
    codes_NQ = np.stack([codes for codes, _ in words], 1) if words else np.empty((rows, 0), np.int32)
    facts = describe_columns(numbers_NM)
    for seed in seeds:
        new_NM, new_NQ = spunge(numbers_NM, codes_NQ, facts, seed=seed)
        values = {
            # Laid out as a column is, so that a row's bytes are its own again.
            "number": iter(np.ascontiguousarray(new_NM.T)),
            "category": (vocabulary[codes] for (_, vocabulary), codes in zip(words, new_NQ.T, strict=True)),
        }
        yield Table(
            columns=tuple(replace(column, values=np.asarray(next(values[column.kind]))) for column in table.columns)
        )


def _coded(words_N: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Return a number a row, and the word of each number."""
    import pandas as pd

    codes_N, vocabulary = pd.factorize(words_N, use_na_sentinel=False)
    return codes_N.astype(np.int32), vocabulary
