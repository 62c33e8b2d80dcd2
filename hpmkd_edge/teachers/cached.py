"""Teachers' answers on disk, under the hash of what they depend on."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadOutput, BadTeacher
from hpmkd_edge.tasks.task import Rows
from hpmkd_edge.teachers.digest import digest_of, digest_of_file, digest_of_rows
from hpmkd_edge.teachers.teacher import Teacher

log = logging.getLogger(__name__)


def _read(entry: Path, count: int) -> NDArray[np.float32] | None:
    """Return a sound entry, mapped into memory; None if there is none, or if it is damaged."""
    seal = entry.with_suffix(".sha256")
    if not (entry.is_file() and seal.is_file()):
        return None
    if digest_of_file(entry) != seal.read_text(encoding="ascii", errors="replace").strip():
        log.warning("%s is damaged; its answers are computed again.", entry)
        return None
    answers_NK: NDArray[np.float32] = np.load(entry, mmap_mode="r", allow_pickle=False)
    assert answers_NK.shape[0] == count
    return answers_NK


def _check_finite(answers_NK: NDArray[np.float32], teacher: Teacher, rows: Rows) -> None:
    """Stop at the first row whose answer cannot be learned from; opening a teacher looks at a few rows only."""
    bad = np.flatnonzero(~np.isfinite(answers_NK).all(1))
    if len(bad):
        place = int(bad[0])
        value = answers_NK[place][~np.isfinite(answers_NK[place])][0]
        raise BadTeacher(
            f"{teacher.name} answers row {rows.positions[place]} of the data with {value}; finite logits are needed."
        )


def cached_logits(teacher: Teacher, rows: Rows, folder: Path) -> NDArray[np.float32]:
    """Return the teacher's answers to *rows*, from *folder* if they are there.

    An entry is a `.npy` with its sha256 beside it, written atomically and mapped into memory on
    reading. A damaged one is computed again, with a line in the log. Labels are no part of the key.
    Answers that are not finite are never kept.

    Returns:
        float32 [N, K], read-only.

    Raises:
        BadOutput: the folder cannot be written.
        BadTeacher: the teacher fails, or answers a row with NaN or infinity.
    """
    entry = folder / f"{digest_of((teacher.digest, digest_of_rows(rows)))}.npy"
    found = _read(entry, len(rows))
    if found is not None:
        return found
    answers_NK = teacher.logits(rows)
    _check_finite(answers_NK, teacher, rows)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Its own folder on the same disk: two processes that compute one entry don't share a file.
        with tempfile.TemporaryDirectory(dir=folder) as own:
            array, seal = Path(own, "answers.npy"), Path(own, "answers.sha256")
            np.save(array, answers_NK)
            seal.write_text(digest_of_file(array), encoding="ascii")
            # The seal last: an entry without one does not count.
            array.replace(entry)
            seal.replace(entry.with_suffix(".sha256"))
    except OSError as fault:
        raise BadOutput(
            f"answers cannot be kept in {folder.absolute()}: {fault.strerror}; a writable folder is needed."
        ) from fault
    return np.load(entry, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
