"""Whether a teacher may answer training rows in bfloat16: only where that is faster and says the same."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.distill.first_teacher import TrainedHere
from hpmkd_edge.store.objects import Store
from hpmkd_edge.tasks.task import Rows
from hpmkd_edge.teachers.sequence_classifier import SequenceTeacher
from hpmkd_edge.teachers.teacher import Teacher
from hpmkd_edge.teachers.torch_file import TorchTeacher

ASKED: Final = 256
WORTH_ROWS: Final = 4096  # fewer are answered before a probe is over
LEAST_GAIN: Final = 1.3
# Of a probability at the temperature that teaches, where a KL would begin to see it.
LARGEST_SHIFT: Final = 0.02
TEMPERATURE: Final = 4.0


def may_hasten(teacher: Teacher, rows: Rows, store: Store) -> bool:
    """Tell whether *teacher* answers *rows* in bfloat16 at least 1.3 times faster, and in effect the same.

    Asked once for a teacher and a machine, and then read back, so that a repeated run finds the same answers. For rows
    that students learn from; those that accuracy is measured on are always answered in the teacher's own precision.
    """
    if not isinstance(teacher, SequenceTeacher | TorchTeacher | TrainedHere) or len(rows) < WORTH_ROWS:
        return False
    key = f"{teacher.digest} {describe_host().model} {torch.__version__} {torch.get_num_threads()}"
    kept = store.read_text(key, kind="teacher precision")
    if kept is not None:
        return bool(json.loads(kept))
    some = rows.take(np.linspace(0, len(rows) - 1, ASKED).round().astype(np.int64))
    own, quick = _timed(teacher, some, hasten=False), _timed(teacher, some, hasten=True)
    shift = float(np.abs(_soft(own[1]) - _soft(quick[1])).max())
    decided = own[0] > LEAST_GAIN * quick[0] and shift <= LARGEST_SHIFT

    def write(path: Path) -> None:
        path.write_text(json.dumps(decided), encoding="utf-8")

    store.put(key, write, kind="teacher precision", suffix=".json")
    return decided


def hastened(teacher: Teacher, rows: Rows) -> NDArray[np.float32]:
    """Return the teacher's logits [N, K], its products and convolutions in bfloat16."""
    device = teacher.device if isinstance(teacher, SequenceTeacher | TorchTeacher) else "cpu"
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        return teacher.logits(rows)


def _timed(teacher: Teacher, rows: Rows, *, hasten: bool) -> tuple[float, NDArray[np.float32]]:
    """Return the seconds of the second of two answers, and the answer."""
    answer = np.empty(0, np.float32)
    for _ in range(2):
        began = time.perf_counter()
        answer = hastened(teacher, rows) if hasten else teacher.logits(rows)
    return time.perf_counter() - began, answer


def _soft(logits_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(torch.softmax(torch.from_numpy(logits_NK).double() / TEMPERATURE, 1).numpy())
