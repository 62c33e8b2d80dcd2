"""Distill with the published HPM-KD library as its documentation says, in its own environment, for `against_library`.

    python bench/scripts/library_side.py rows.npz teacher.joblib outcome.json

It imports nothing of ours, and is handed the same rows and the same fitted teacher as our side.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def answers_of(predict: Callable[[NDArray[Any]], Any], rows: NDArray[Any], labels: NDArray[Any]) -> dict[str, Any]:
    """Return how many *rows* are answered, and how many of the answers are right; None where they are not as many."""
    answers = np.asarray(predict(rows))
    valid = answers.shape == labels.shape
    return {
        "rows": len(labels),
        "answers": len(answers),
        "accuracy": float(np.mean(answers == labels)) if valid else None,
    }


def distill(rows: Path, teacher: Path) -> dict[str, Any]:
    """Fit the library with its automatic configuration; return its answers on the test rows and the student's size."""
    import joblib

    with np.load(rows) as archive:
        x, y, x_test, y_test = (archive[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    began = time.perf_counter()
    library = import_module("deepbridge_distillation")
    # Listing 1 of the paper and the class's own example. No setting of the library bounds the student's size.
    distillation = library.HPMKD(
        teacher_model=joblib.load(teacher), train_loader=(x, y), test_loader=(x_test, y_test), auto_config=True
    )
    distillation.distill(epochs=150)
    seconds = time.perf_counter() - began
    file = io.BytesIO()
    joblib.dump(distillation.student, file)
    inside = distillation._distiller
    ensemble = inside.multi_teacher
    members = [one.model for one in ensemble.teachers] if ensemble is not None else []
    return {
        **answers_of(distillation.predict, x_test, y_test),
        "file_bytes": file.tell(),
        "student": type(distillation.student).__name__,
        "distill_s": seconds,
        # What it has trained and does not ship: the student of its chain alone, and the best of its configurations.
        "chain_student": type(inside.progressive_chain.get_best_model()).__name__,
        "chain_accuracy": answers_of(inside.progressive_chain.get_best_model().predict, x_test, y_test)["accuracy"],
        "best_member_accuracy": max(
            (answers_of(model.predict, x_test, y_test)["accuracy"] or 0.0 for model in members), default=None
        ),
        "members": len(members),
    }


def main(arguments: Sequence[str]) -> int:
    """Distill, and write the outcome as JSON."""
    rows, teacher, outcome = map(Path, arguments)
    found = distill(rows, teacher)
    outcome.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
