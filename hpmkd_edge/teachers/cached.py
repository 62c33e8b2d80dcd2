"""Teachers' answers in the store, under the hash of what they depend on."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.store.arrays import find_array, put_array
from hpmkd_edge.store.objects import Store
from hpmkd_edge.tasks.task import Rows
from hpmkd_edge.teachers.digest import digest_of, digest_of_rows
from hpmkd_edge.teachers.teacher import Teacher

HALF_MOST: Final = float(np.finfo(np.float16).max)  # 65,504


def cached_logits(
    teacher: Teacher,
    rows: Rows,
    store: Store,
    *,
    half: bool = False,
    ask: Callable[[Teacher, Rows], NDArray[np.float32]] | None = None,
) -> NDArray[Any]:
    """Return the teacher's answers to *rows*, from *store* if they are there.

    Labels are no part of the key. Answers that are not finite are never kept.

    Args:
        half: keep and return float16, clipped at ±65,504: half the disk and memory. For rows that students are trained
            on: 11 bits of a logit are more than a KL at T ≥ 2 sees. Not for rows whose argmax counts, since close
            logits become ties there.
        ask: computes the answers in another way than `teacher.logits`; they are kept under its name.

    Returns:
        [N, K], float32 or float16 as asked, read-only and mapped into memory.

    Raises:
        BadOutput: the store cannot be written.
        BadTeacher: the teacher fails, or answers a row with NaN or infinity.
    """
    how = () if ask is None else (ask.__name__,)
    key = digest_of((teacher.digest, digest_of_rows(rows), "float16" if half else "float32", *how))
    found = find_array(store, key, kind="logits")
    if found is not None:
        return found
    answers_NK = teacher.logits(rows) if ask is None else ask(teacher, rows)
    _check_finite(answers_NK, f"{teacher.name} answers", rows)
    return put_array(store, key, _halved(answers_NK) if half else answers_NK, kind="logits")


def cached_features(
    teacher_digest: str, tap: str, rows: Rows, store: Store, compute: Callable[[Rows], NDArray[np.float32]]
) -> NDArray[np.float16]:
    """Return a teacher's feature maps of *rows* at *tap*, from *store* if they are there.

    Args:
        tap: name of the place in the teacher; what *compute* returns follows from it, the teacher and the rows.
        compute: returns the maps [N, …]; asked once.

    Returns:
        float16 [N, …], clipped at ±65,504, read-only and mapped into memory.

    Raises:
        BadOutput: the store cannot be written.
        BadTeacher: a map holds NaN or infinity.
    """
    key = digest_of((teacher_digest, tap, digest_of_rows(rows), "float16"))
    found = find_array(store, key, kind="features")
    if found is not None:
        return found
    maps = compute(rows)
    _check_finite(maps, f"the teacher at {tap} answers", rows)
    return put_array(store, key, _halved(maps), kind="features")


def _halved(array: NDArray[np.float32]) -> NDArray[np.float16]:
    return np.clip(array, -HALF_MOST, HALF_MOST).astype(np.float16)


def _check_finite(answers: NDArray[np.float32], who: str, rows: Rows) -> None:
    """Stop at the first row whose answer cannot be learned from; opening a teacher looks at a few rows only."""
    flat = answers.reshape(len(answers), -1)
    bad = np.flatnonzero(~np.isfinite(flat).all(1))
    if len(bad):
        place = int(bad[0])
        value = flat[place][~np.isfinite(flat[place])][0]
        raise BadTeacher(f"{who} row {rows.positions[place]} of the data with {value}; finite numbers are needed.")
