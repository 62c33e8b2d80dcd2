"""Compare int8 files of students that had a last link in int8 with files of the same students that had none.

    python bench/scripts/quantization_aware.py depthwise-4x1 residual-3x1 mlp-8x1
    python bench/scripts/quantization_aware.py depthwise-4x1 --data data/cifar10k.npz --label y --flip --epochs 10
        --teacher data/resnet_cifar.py:resnet20 --weights data/resnet20_cifar10_jpeg.pt
        --output bench/results/quantization_aware-cifar10k.json

Each student is trained in fp32, on the teacher's logits too where there is one, by every seed. It is then exported and
quantized for each form, calibrated by min-max on 256 training rows, as it is and after the link; all files answer to
the test rows in ONNX Runtime on one thread. A gain is the int8 file's accuracy after the link less that without it, in
points; its mean over seeds comes with a 95 % interval by Student's t. Agreement is the share of validation rows to
which the file gives the class that the link said it would. The result goes to
bench/results/quantization_aware.json after each seed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from hpmkd_edge.bench.scripts.provenance import RESULTS, open_result
from hpmkd_edge.bench.scripts.retention import interval
from hpmkd_edge.distill.fake_quantization import Form
from hpmkd_edge.distill.lesson import Lesson, direct_lesson, taught, training_views
from hpmkd_edge.distill.quantization_link import train_quantized
from hpmkd_edge.distill.torch_link import train_link
from hpmkd_edge.errors import BadConfiguration, EdgeError, unknown
from hpmkd_edge.export.conversion import save_student
from hpmkd_edge.export.passes.fold import fold
from hpmkd_edge.export.passes.quantize import quantize
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.family import Family, Shape, Size
from hpmkd_edge.students.inlet import Inlet, fit_inlet, shape_of
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Rows, Task
from hpmkd_edge.teachers.open import open_teacher

FORMS: Final[tuple[Form, ...]] = ("x86", "tensorrt")
CALIBRATION_ROWS: Final = 256
VIEWS: Final = 4
LIBRARIES: Final = ("torch", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all students of a command share."""

    task: Task
    inlet: Inlet
    lesson: Lesson
    settings: Settings
    calibration: Rows

    @property
    def shape(self) -> Shape:
        """What a student takes and gives."""
        return shape_of(self.inlet, self.task)


def size_of(name: str, setting: Setting) -> tuple[Family, Size]:
    """Return the family and the size that *name*, as in mlp-8x1, stands for.

    Raises:
        BadConfiguration: there is none.
    """
    family, _, rung = name.partition("-")
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    sizes = {f"{size.width}x{size.depth}": size for size in FAMILIES[family].ladder(setting.shape)}
    if rung not in sizes:
        raise BadConfiguration(f"{family} has no size {rung!r}; one of {', '.join(sizes)} is needed.")
    return FAMILIES[family], sizes[rung]


def answers_of(path: Path, rows: Rows) -> NDArray[np.float32]:
    """Return what the file at *path* answers to *rows*, [N, K]."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    parts = [rows.take(part) for part in np.array_split(np.arange(len(rows)), max(1, len(rows) // 256))]
    return np.concatenate([session.run(None, part.inputs.feeds())[0] for part in parts])


def save_files(module: nn.Module, setting: Setting, forms: Sequence[Form], folder: Path) -> dict[str, Path]:
    """Write the fp32 file of *module*, and its int8 file of each form; return their paths by precision."""
    source = folder / "fp32.onnx"
    save_student(module, setting.inlet, source, facts={})
    fold(source, source)
    paths = {"fp32": source}
    for form in forms:
        paths[form] = folder / f"{form}.onnx"
        feeds = setting.calibration.inputs.feeds()
        quantize(source, paths[form], feeds=feeds, form=form, calibration="minmax")
    return paths


def accuracy_of(path: Path, rows: Rows) -> float:
    """Return the share of *rows* whose class the file at *path* names."""
    return float((answers_of(path, rows).argmax(1) == rows.labels).mean())


def compare(name: str, seed: int, setting: Setting) -> dict[str, Any]:
    """Train one student with and without its link in each form; return accuracies on test rows."""
    family, size = size_of(name, setting)
    test, validation = setting.task.test, setting.task.validation

    def stop() -> bool:
        return False

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        trained = train_link(
            family.build(size, setting.shape, seed),
            setting.lesson,
            setting.settings,
            seed=seed,
            saved=folder / "student.pt",
            stop=stop,
            label=f"{name}, seed {seed}",
        )
        files = save_files(trained.module, setting, FORMS, folder)
        without = {precision: accuracy_of(path, test) for precision, path in files.items()}
        forms = {}
        for form in FORMS:
            linked = train_quantized(
                trained.module,
                setting.lesson,
                setting.settings,
                form=form,
                seed=seed,
                saved=folder / f"{form}.pt",
                stop=stop,
                label=f"{name} for {form}, seed {seed}",
                calibration_rows=setting.calibration,
            )
            files = save_files(linked.module, setting, [form], folder)
            told = answers_of(files[form], validation).argmax(1)
            forms[form] = {
                "without": without[form],
                "with": accuracy_of(files[form], test),
                "fp32_of_linked": accuracy_of(files["fp32"], test),
                "agreement": float((told == linked.logits.argmax(1)).mean()),
                "best_epoch": linked.best_epoch,
                "epochs": linked.epochs,
                "link_seconds": linked.seconds,
            }
    return {"student": name, "seed": seed, "fp32": without["fp32"], "training_seconds": trained.seconds, "forms": forms}


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return for each student and form the points that int8 costs, and that the link gains, with intervals."""
    students: dict[str, Any] = {}
    for name in dict.fromkeys(row["student"] for row in rows):
        own = [row for row in rows if row["student"] == name]
        students[name] = {"fp32": sum(row["fp32"] for row in own) / len(own)}
        for form in FORMS:
            cost = [100 * (row["fp32"] - row["forms"][form]["without"]) for row in own]
            gain = [100 * (row["forms"][form]["with"] - row["forms"][form]["without"]) for row in own]
            students[name][form] = {
                "int8_costs_points": sum(cost) / len(cost),
                "link_gains_points": sum(gain) / len(gain),
                "gain_interval": interval(gain),
                "least_agreement": min(row["forms"][form]["agreement"] for row in own),
                "kept": sum(row["forms"][form]["best_epoch"] > 0 for row in own),
                "verdict": verdict_of(interval(gain)),
            }
    return {"students": students}


def verdict_of(bounds: dict[str, float] | None) -> str:
    """Return "gain" where all of the interval lies above 0, "loss" where below, else "no gain"; None is of one seed."""
    if bounds is None:
        return "inconclusive"
    return "gain" if bounds["low"] > 0 else "loss" if bounds["high"] < 0 else "no gain"


def table_of(summary: dict[str, Any]) -> str:
    """Return the figures as lines for a terminal."""
    lines = [f"{'':18}{'form':>10}{'fp32':>9}{'int8 costs':>12}{'link gains':>12}{'interval':>18}{'agreement':>11}"]
    for name, one in summary["students"].items():
        for form in FORMS:
            bounds = one[form]["gain_interval"]
            span = "one seed" if bounds is None else f"{bounds['low']:.2f} to {bounds['high']:.2f}"
            figures = f"{one[form]['int8_costs_points']:12.2f}{one[form]['link_gains_points']:12.2f}{span:>18}"
            figures += f"{one[form]['least_agreement']:11.1%}"
            lines.append(f"{name:18}{form:>10}{one['fp32']:9.2%}{figures}  {one[form]['verdict']}")
    return "\n".join(lines)


def open_setting(asked: argparse.Namespace) -> Setting:
    """Return what the command asks for.

    Raises:
        EdgeError: data or teacher cannot be used.
    """
    task = open_task(asked.data, label=asked.label)
    inlet = fit_inlet(task)
    views = training_views(task.train, count=VIEWS, flip=asked.flip)
    lesson = direct_lesson(task, inlet, views, device=torch.device("cpu"), sources="views")
    if asked.teacher is not None:
        teacher = open_teacher(asked.teacher, task=task, weights=asked.weights, normalize=None, trust=False)
        lesson = taught(lesson, views, teacher.logits, sources=teacher.digest)
    settings = Settings(
        epochs=asked.epochs,
        batch=asked.batch,
        learning_rate=5e-3,
        weight_decay=1e-3,
        label_smoothing=0.02,
        ce_weight=1.0,
        kd_weight=1.0,
        method="kd",
        temperature=4.0,
        views=VIEWS,
        flip=asked.flip,
    )
    rows = task.train.take(np.arange(min(CALIBRATION_ROWS, len(task.train))))
    return Setting(task=task, inlet=inlet, lesson=lesson, settings=settings, calibration=rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all students and seeds that the result has not, write it, and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("students", nargs="+", help="as in depthwise-4x1")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--label")
    parser.add_argument("--teacher", help="as hpmkd-edge compress takes it")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--flip", action="store_true", help="views may mirror images")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--output", type=Path, default=RESULTS / "quantization_aware.json")
    asked = parser.parse_args(given)
    torch.set_num_threads(1)
    try:
        setting = open_setting(asked)
        for name in asked.students:
            size_of(name, setting)
        result = open_result(asked.output, Path(__file__), given, libraries=LIBRARIES)
        turns = [(name, seed) for seed in range(asked.seeds) for name in asked.students]
        for name, seed in tqdm(turns[len(result.rows) :], desc="students", disable=None):
            result.add(compare(name, seed, setting))
        summary = summarize(result.rows)
        result.finish(summary)
    except EdgeError as error:
        print(f"quantization_aware: {error}", file=sys.stderr)
        return error.exit_code
    print(table_of(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
