"""Time distillation epochs: as this project trains, and as PyTorch's defaults do, with a teacher in the loop or cached.

    python bench/scripts/throughput.py
    python bench/scripts/throughput.py --data cifar10.npz --rounds 9
    python bench/scripts/throughput.py --teacher resnet_cifar.py:resnet56 --width 16 --depth 2 --threads 1

Five arms take turns, round by round, over the same images, so that other work slows them alike:

    fast CE, fast KD     train_link on labels alone, and with a teacher's cached logits; the plan is probed first
    default CE, KD       float32, contiguous, AdamW as it is, each batch cut and normalized in Python
    teacher in the loop  the same KD, with the teacher run on each batch

The figures are medians over rounds of images a second and of ratios within a round, with the quartiles of these.
They go to bench/results/throughput.json, with the machine, the versions, the commit and this command. Images are
random without --data, and so are the weights of the teacher: neither changes the arithmetic.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.bench.scripts.retention import commit_of
from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.step import LEAST_STEPS, Probe, probe_step
from hpmkd_edge.distill.torch_link import train_link
from hpmkd_edge.errors import BadData, BadTeacher, EdgeError
from hpmkd_edge.json_file import write_json
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.python_file import load_python_file
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.family import Shape, Size, count_parameters
from hpmkd_edge.students.inlet import ImageInlet

RESULTS: Final = Path(__file__).parents[1] / "results"
TEMPERATURE: Final = 4.0
CLASSES: Final = 10
MEAN: Final = (0.49, 0.48, 0.45)
DEVIATION: Final = (0.25, 0.24, 0.26)
# Epochs of one arm over those of another, and the most or the least that this ratio of seconds is to be.
GOALS: Final = (
    ("fast KD over fast CE", "fast KD", "fast CE", "at most", 1.10),
    ("default KD over fast KD", "default KD", "fast KD", "at least", 2.5),
    ("teacher in the loop over fast KD", "teacher in the loop", "fast KD", "at least", 7.0),
)


class Block(nn.Module):
    """Two 3×3 convolutions with a shortcut that pads channels with zeros (He et al. 2016, option A)."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(entering, leaving, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(leaving)
        self.second = nn.Conv2d(leaving, leaving, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(leaving)
        self.stride, self.padding = stride, (leaving - entering) // 2

    def forward(self, x: Tensor) -> Tensor:
        inner = self.second_norm(self.second(functional.relu(self.first_norm(self.first(x)))))
        if self.padding:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return functional.relu(inner + x)


class ResNet56(nn.Module):
    """ResNet-56 for 32×32 images: 0.85 M parameters (He et al. 2016, arXiv 1512.03385, §4.2)."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [Block(16, 16, 1) for _ in range(9)]
        blocks += [Block(16, 32, 2), *(Block(32, 32, 1) for _ in range(8))]
        blocks += [Block(32, 64, 2), *(Block(64, 64, 1) for _ in range(8))]
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


def read_images(path: Path | None, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return uint8 [rows, 32, 32, 3] and int64 labels [rows]: the first of *path*, or random ones.

    Raises:
        BadData: the archive lacks such arrays, or has too few rows.
    """
    if path is None:
        generator = np.random.default_rng(0)
        return generator.integers(0, 256, (rows, 32, 32, 3), np.uint8), generator.integers(0, CLASSES, rows)
    try:
        with np.load(path, allow_pickle=False) as archive:
            images, labels = archive["x_train"][:rows], archive["y_train"][:rows].astype(np.int64)
    except (OSError, KeyError, ValueError) as fault:
        raise BadData(f"{path} cannot be read: {fault}; an .npz with x_train and y_train is needed.") from fault
    if images.shape != (rows, 32, 32, 3) or images.dtype != np.uint8:
        raise BadData(f"x_train begins with {images.dtype} {images.shape}; uint8 {(rows, 32, 32, 3)} is needed.")
    return images, labels


def open_teacher(spec: str | None) -> nn.Module:
    """Return the module that `file.py:function` makes, or a ResNet-56, in eval mode.

    Raises:
        BadTeacher: there is no such function, or it makes no module.
    """
    if spec is None:
        return ResNet56().eval()
    file = load_python_file(spec, BadTeacher)
    module = file.get(file.function)()
    if not isinstance(module, nn.Module):
        raise BadTeacher(f"{spec} gave a {type(module).__name__}; a torch module is needed.")
    return module.eval()


def default_epoch(
    student: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    batch: int,
    teach: Callable[[Tensor, NDArray[np.int64]], Tensor] | None,
) -> None:
    """Train an epoch in PyTorch's defaults; *teach* gives logits for a batch's features and rows."""
    mean, deviation = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, DEVIATION))
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    order = np.random.default_rng(0).permutation(len(images))
    student.train()
    total = 0.0
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        pixels = torch.from_numpy(images[rows]).permute(0, 3, 1, 2).contiguous().float() / 255
        features = (pixels - mean) / deviation
        logits = student(features)
        loss = functional.cross_entropy(logits, torch.from_numpy(labels[rows]), label_smoothing=0.02)
        if teach is not None:
            soft = functional.log_softmax(logits / TEMPERATURE, 1)
            wanted = functional.softmax(teach(features, rows) / TEMPERATURE, 1)
            loss = loss + functional.kl_div(soft, wanted, reduction="batchmean") * TEMPERATURE**2
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item()


def make_arms(
    asked: argparse.Namespace, teacher: nn.Module, folder: Path
) -> tuple[dict[str, Callable[[], None]], Probe, Size]:
    """Return a function for each arm that trains a fresh student for one epoch, the plan, and the student's size."""
    rows = asked.steps * asked.batch
    images, labels = read_images(asked.data, rows)
    cached = torch.randn(rows, CLASSES, generator=torch.Generator().manual_seed(0))
    inlet = ImageInlet(mean=MEAN, deviation=DEVIATION, sides=(32, 32))
    stored = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    family, shape = FAMILIES["residual"], Shape(features=inlet.features, classes=CLASSES)
    rungs = [size for size in family.ladder(shape) if (size.width, size.depth) == (asked.width, asked.depth)]
    if not rungs:
        known = ", ".join(f"{size.width}×{size.depth}" for size in family.ladder(shape))
        raise BadData(f"there is no residual student of {asked.width}×{asked.depth}; known: {known}.")

    def student() -> nn.Module:
        return family.build(rungs[0], shape, 0)

    features = inlet.open(stored[: asked.batch])
    # Of so few steps that compiling is not tried: it would be paid for by a whole training, and not by an epoch.
    probe = probe_step(student, features, CLASSES, device=torch.device("cpu"), steps_planned=LEAST_STEPS)
    settings = Settings(
        epochs=1,
        batch=asked.batch,
        learning_rate=1e-3,
        weight_decay=0.01,
        label_smoothing=0.02,
        ce_weight=1.0,
        kd_weight=1.0,
        method="kd",
        temperature=TEMPERATURE,
        views=1,
        flip=False,
    )

    def fast(guides: tuple[tuple[Tensor, ...], ...]) -> Callable[[], None]:
        lesson = Lesson(
            inlet=inlet,
            views=(stored,),
            mixes=(None,),
            labels=torch.from_numpy(labels),
            guides=guides,
            reference=None,
            maps=(),
            # One row: the other arms do not validate.
            validation=stored[:1],
            validation_labels=torch.from_numpy(labels[:1]),
            sources="throughput",
        )

        def epoch() -> None:
            saved = folder / "state.pt"
            train_link(student(), lesson, settings, seed=0, saved=saved, stop=lambda: False, label="", plan=probe.plan)
            saved.unlink()

        return epoch

    @torch.no_grad()
    def asked_now(features: Tensor, _: NDArray[np.int64]) -> Tensor:
        logits: Tensor = teacher(features)
        return logits

    def default(teach: Callable[[Tensor, NDArray[np.int64]], Tensor] | None) -> Callable[[], None]:
        return lambda: default_epoch(student(), images, labels, asked.batch, teach)

    arms = {
        "fast CE": fast(()),
        "fast KD": fast(((cached,),)),
        "default CE": default(None),
        "default KD": default(lambda _, rows: cached[torch.from_numpy(rows)]),
        "teacher in the loop": default(asked_now),
    }
    return arms, probe, rungs[0]


def take_turns(arms: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each arm's epochs; a round to warm up is not kept, and the first of a round changes."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    with tqdm(total=(rounds + 1) * len(arms), desc="epochs", disable=None, leave=False) as bar:
        for number in range(-1, rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                began = time.perf_counter()
                arms[name]()
                if number >= 0:
                    seconds[name].append(time.perf_counter() - began)
                bar.update()
    return seconds


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the quartiles of *values*."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high}


def summarize(asked: argparse.Namespace, command: Sequence[str]) -> dict[str, Any]:
    """Run all arms, and return what they say."""
    commit = commit_of(Path(__file__).parent)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    before, teacher = describe_host(), open_teacher(asked.teacher)
    with tempfile.TemporaryDirectory() as folder:
        arms, probe, size = make_arms(asked, teacher, Path(folder))
        seconds = take_turns(arms, asked.rounds)
    rows = asked.steps * asked.batch
    ratios, goals = {}, {}
    for name, one, other, sense, limit in GOALS:
        ratios[name] = spread([above / below for above, below in zip(seconds[one], seconds[other], strict=True)])
        found = ratios[name]["median"]
        goals[name] = {"goal": f"{sense} {limit}", "met": found <= limit if sense == "at most" else found >= limit}
    return {
        "command": shlex.join(["python", "bench/scripts/throughput.py", *command]),
        "commit": commit,
        "machine": {
            "cpu": before.model,
            "cores": before.cores,
            "threads": torch.get_num_threads(),
            "memory_mb": round(before.memory_mb),
            "system": before.system,
            "load_average": {"before": before.load_average, "after": os.getloadavg()[0]},
        },
        "versions": {"python": before.python, "torch": torch.__version__, "numpy": np.__version__},
        "student": size.label,
        "teacher": {"name": asked.teacher or "ResNet-56", "parameters": count_parameters(teacher)},
        "batch": asked.batch,
        "steps": asked.steps,
        "rounds": asked.rounds,
        "plan": asdict(probe.plan),
        "probe_images_per_s": {rate.plan.label: rate.rows_per_s for rate in probe.rates},
        "images_per_s": {name: spread([rows / one for one in times]) for name, times in seconds.items()},
        "ratios": ratios,
        "goals": goals,
        "seconds": seconds,
    }


def table_of(result: dict[str, Any]) -> str:
    """Return the figures as lines for a terminal."""
    machine = result["machine"]
    lines = [f"{machine['cpu']}, {machine['threads']} threads, load {machine['load_average']['before']:.1f}"]
    lines += [f"{'arm':36}{'images/s':>10}{'quartiles':>18}"]
    for name, one in result["images_per_s"].items():
        lines.append(f"{name:36}{one['median']:10.0f}{one['low']:9.0f}–{one['high']:<8.0f}")
    lines += [f"{'seconds of':36}{'ratio':>10}{'quartiles':>18}  goal"]
    for name, one in result["ratios"].items():
        goal = result["goals"][name]
        met = "met" if goal["met"] else "missed"
        lines.append(f"{name:36}{one['median']:10.2f}{one['low']:9.2f}–{one['high']:<8.2f}  {goal['goal']}: {met}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the arms, write the result, and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="an .npz with x_train, uint8 [N, 32, 32, 3], and y_train")
    parser.add_argument("--teacher", help="file.py:function that makes a module; a ResNet-56 otherwise")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=8, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=7, help="at least 2")
    parser.add_argument("--threads", type=int, help="of torch; what it chooses otherwise")
    parser.add_argument("--output", type=Path, default=RESULTS / "throughput.json")
    asked = parser.parse_args(given)
    if asked.rounds < 2 or min(asked.batch, asked.steps) < 1:
        parser.error("at least 2 rounds of 1 step and 1 row are needed.")
    try:
        result = summarize(asked, given)
        asked.output.parent.mkdir(parents=True, exist_ok=True)
        write_json(result, asked.output)
    except EdgeError as error:
        print(f"throughput: {error}", file=sys.stderr)
        return error.exit_code
    print(table_of(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
