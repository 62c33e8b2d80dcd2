"""Make half and int8 files of students that were shipped, and compare them with their own fp32 files on all test rows.

    python bench/scripts/precisions.py --run runs/cifar10-0 --data data/cifar10.npz
    python bench/scripts/precisions.py --run runs/a --data data/adult.csv.gz:income:split --run runs/b --data digits

A run is a folder with a student.onnx; its data is what the student was made from, FILE[:LABEL[:SPLIT]], and must have
the digest that the file's metadata has. For each run: the file is folded, halved, and quantized in both forms,
calibrated on 512 training rows; calibration, and the layers that are kept if accuracy falls by more than --most-drop,
are chosen on validation rows. Then every file answers all test rows, and all are timed run by run in turn, in one
process. Times on a CPU say nothing of a GPU: of the tensorrt form only accuracy and bytes matter here.

Rows go to bench/results/precisions.json, one a run, with the machine, the versions and this command.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from hpmkd_edge.bench.isolation import graded
from hpmkd_edge.bench.measurement import compare
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench.scripts.provenance import RESULTS, Result, open_result
from hpmkd_edge.errors import BadConfiguration, EdgeError
from hpmkd_edge.export.artifact import STUDENT
from hpmkd_edge.export.passes.fold import fold
from hpmkd_edge.export.passes.half import halve
from hpmkd_edge.export.passes.quantize import Form
from hpmkd_edge.export.precision import best_int8
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Rows, Task

CALIBRATION_ROWS: Final = 512
FORMS: Final[tuple[Form, ...]] = ("x86", "tensorrt")
LIBRARIES: Final = ("onnx", "onnxruntime", "numpy")
GOALS: Final = {"drop_points": 0.5, "file_ratio": 0.3}  # of int8 in the form of this machine


def task_of(data: str, student: Path, split_seed: int) -> Task:
    """Open the rows that a *student* was made from.

    Args:
        data: FILE[:LABEL[:SPLIT]].
        student: an ONNX file of ours.
        split_seed: that of the run.

    Raises:
        BadConfiguration: its metadata has another digest.
    """
    import onnx

    path, label, split, *_ = [*data.split(":"), None, None]
    assert path is not None
    task = open_task(path, label=label, split=split, split_seed=split_seed)
    facts = {fact.key: fact.value for fact in onnx.load(student).metadata_props}
    if facts.get("hpmkd_edge.data_sha256") != task.digest:
        raise BadConfiguration(f"{student} was made from other rows than those of {data}; give its own data.")
    return task


def some_rows(rows: Rows, count: int) -> Rows:
    """Return *count* rows, always the same, or all."""
    return rows.take(np.sort(np.random.default_rng(0).permutation(len(rows))[:count]))


def compared(run: Path, data: str, *, split_seed: int, most_drop: float, protocol: str) -> dict[str, Any]:
    """Make all precisions of a run's student, and return what each is beside its fp32 file."""
    student = run / STUDENT
    task = task_of(data, student, split_seed)
    validation = partial(graded, feeds=task.validation.inputs.feeds(), labels=task.validation.labels)
    test, calibration = task.test, some_rows(task.train, CALIBRATION_ROWS)
    files, made = {"fp32": student}, {}
    with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as name:
        folder = Path(name)
        folded, files["fp16"] = folder / "folded.onnx", folder / "fp16.onnx"
        fold(student, folded)
        halve(folded, files["fp16"])
        for form in FORMS:
            began = time.perf_counter()
            files[f"int8 {form}"] = folder / f"int8-{form}.onnx"
            chosen = best_int8(
                folded,
                files[f"int8 {form}"],
                feeds=calibration.inputs.feeds(),
                form=form,
                loss_of=validation,
                most_drop=most_drop,
            )
            told = {key: value for key, value in asdict(chosen).items() if key not in ("path", "form")}
            made[f"int8 {form}"] = {**told, "fits": chosen.fits, "seconds": round(time.perf_counter() - began, 1)}
        one = some_rows(test, 1).inputs.feeds()
        profiles = compare(
            list(files.values()),
            feeds=[one] * len(files),
            runtime="onnxruntime",
            sampling=SAMPLINGS[protocol],
            precisions=[name.split()[0] for name in files],
        )
        scores = [graded(path, test.inputs.feeds(), test.labels) for path in files.values()]
        sizes = [path.stat().st_size for path in files.values()]
    return {
        "run": str(run),
        "data": data,
        "test_rows": len(test),
        "files": {
            name: {
                "bytes": size,
                "file_ratio": size / sizes[0],
                "test_accuracy": accuracy,
                "test_loss": loss,
                "drop_points": 100 * (scores[0][0] - accuracy),
                "p50_ms": profile.p50_ms,
                "p50_ratio": _ratio(profile.p50_ms, profiles[0].p50_ms),
                **({"on_validation": made[name]} if name in made else {}),
            }
            for name, size, (accuracy, loss), profile in zip(files, sizes, scores, profiles, strict=True)
        },
    }


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Say of each run whether int8 in the form of x86 keeps to the goals, and whether it is faster here."""
    return {
        "claims": {
            f"{row['run']}: int8 at most {GOALS['drop_points']} points below fp32, {GOALS['file_ratio']} × its size": {
                key: row["files"]["int8 x86"][key] for key in (*GOALS, "p50_ratio")
            }
            | {"holds": all(row["files"]["int8 x86"][key] <= goal for key, goal in GOALS.items())}
            for row in rows
        }
    }


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as text."""
    lines = [f"{'run':<24} {'file':<14} {'size':>6} {'accuracy':>9} {'drop, points':>13} {'p50':>6}  chosen"]
    for row in rows:
        for name, found in row["files"].items():
            told = found.get("on_validation")
            how = f"{told['calibration']}, {len(told['kept'])} of {told['layers']} layers kept" if told else ""
            lines.append(
                f"{Path(row['run']).name:<24} {name:<14} {found['file_ratio']:>6.3f} {found['test_accuracy']:>9.4f}"
                f" {found['drop_points']:>13.2f} {found['p50_ratio'] or float('nan'):>6.2f}  {how}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the precisions of all runs, and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, action="append", required=True, metavar="FOLDER")
    parser.add_argument("--data", action="append", required=True, metavar="FILE[:LABEL[:SPLIT]]")
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--most-drop", type=float, default=0.005, help="of accuracy on validation rows")
    parser.add_argument("--protocol", choices=sorted(SAMPLINGS), default="quick")
    parser.add_argument("--output", type=Path, default=RESULTS / "precisions.json")
    asked = parser.parse_args(given)
    if len(asked.run) != len(asked.data):
        parser.error(f"{len(asked.run)} --run and {len(asked.data)} --data were given; one of each is needed.")
    try:
        result: Result = open_result(asked.output, Path(__file__), given, libraries=LIBRARIES)
        done = {row["run"] for row in result.rows}
        for run, data in zip(asked.run, asked.data, strict=True):
            if str(run) not in done:
                row = compared(
                    run, data, split_seed=asked.split_seed, most_drop=asked.most_drop, protocol=asked.protocol
                )
                result.add(row)
        result.finish(summarize(result.rows))
    except EdgeError as error:
        print(f"precisions: {error}", file=sys.stderr)
        return error.exit_code
    print(table_of(result.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
