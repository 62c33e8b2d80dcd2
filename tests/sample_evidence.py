"""Evidence of an ablation that nobody has run."""

from __future__ import annotations

from typing import Any

from sample_records import make_host

from hpmkd_edge.evidence import ARMS, FULL, ArmRun, Basis, Evidence, TeacherScore, summarize
from hpmkd_edge.manifest import Version
from hpmkd_edge.record import DataRecord


def make_run(arm: str, seed: int, accuracy: float, **changes: Any) -> ArmRun:
    values: dict[str, Any] = {
        "arm": arm,
        "seed": seed,
        "validation_accuracy": accuracy,
        "test_accuracy": accuracy,
        "won_by": "KD from net",
        "trainings": 3,
        "epochs": 50,
        "seconds": 12.5,
        "student_sha256": "7" * 64,
    }
    return ArmRun(**(values | changes))


def make_runs(arm: str, accuracies: tuple[float, ...], **changes: Any) -> list[ArmRun]:
    return [make_run(arm, seed, accuracy, **changes) for seed, accuracy in enumerate(accuracies)]


def make_evidence(*, name: str = "things", teacher: str = "net", note: str = "A note.", **changes: Any) -> Evidence:
    """Return evidence of all arms with three seeds, each arm a little worse than the one before; one does not apply."""
    full = (0.912, 0.927, 0.904)
    runs = make_runs(FULL, full, won_by=f"KD from {teacher}", seconds=300.0, trainings=14, epochs=178)
    for place, arm in enumerate(list(ARMS)[1:]):
        if arm == "without-attention":
            runs += make_runs(arm, full, moot="one teacher")
            continue
        lower = tuple(accuracy - 0.004 * place + 0.003 * seed * (-1) ** place for seed, accuracy in enumerate(full))
        runs += make_runs(arm, lower, seconds=300.0 / (place + 1))
    values: dict[str, Any] = {
        "tool_version": "0.1",
        "commit": "0123456789ab",
        "versions": (Version(name="python", version="3.11"), Version(name="torch", version="2.13")),
        "host": make_host(),
        "command": "hpmkd-edge ablate",
        "started_at": "2026-01-02T03:04:05+00:00",
        "seeds": (0, 1, 2),
        "basis": Basis(
            data=DataRecord(
                name=name,
                source="things.csv",
                kind="table",
                sha256="4" * 64,
                split_rule="drawn by seed 0",
                train_rows=3000,
                validation_rows=500,
                test_rows=1000,
            ),
            student="mlp 16×2",
            parameters=1234,
            epochs=20,
            searched=True,
            stages="fitnet,kd",
            device="cpu",
        ),
        "teachers": tuple(
            TeacherScore(
                seed=seed,
                name=teacher,
                sha256="9" * 64,
                trained_here=False,
                validation_accuracy=0.95,
                test_accuracy=0.94,
            )
            for seed in range(3)
        ),
        "runs": tuple(runs),
        "summary": summarize(runs),
        "notes": (note,),
    }
    return Evidence(**(values | changes))
