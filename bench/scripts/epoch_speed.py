"""Time a perceptron's compiled training beside PyTorch's, its loss beside NumPy's, its answer beside ONNX Runtime's.

    python bench/scripts/epoch_speed.py
    python bench/scripts/epoch_speed.py --rows 20000 --rounds 5

All on one thread, round by round in turns, so that other work slows both alike. A student of 64-32 on 30 features and 5
classes learns by KD from cached logits, at a temperature, with AdamW, clipped gradients and a new order each epoch:

    epoch       ours: `soft_targets` and `train_epoch`. PyTorch: eager, tensors ready and indexed batch by batch, the
                teacher softened once an epoch, gradients set to None, AdamW(fused=True)
    loss        value and gradient of CE + KD on 10 classes, the teacher's logits as they are; PyTorch by autograd
    one row     the student's answer to one raw row, called from Python; ONNX Runtime: session.run of the same student
    side by side  two students on two threads, against one after the other; and two loops of plain arithmetic likewise,
                which tells what two cores are worth while other work runs on them

The figures are medians over rounds of seconds, and of ratios within a round, with their quartiles; they go to
bench/results/epoch_speed.json after each round.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from hpmkd_edge.bench.scripts.provenance import RESULTS, Result, open_result
from hpmkd_edge.errors import EdgeError
from hpmkd_edge.kernels.losses import loss_gradient, soft_targets
from hpmkd_edge.kernels.perceptron import Perceptron, compile_now, logits, side_by_side, train_epoch, untrained

WIDTHS: Final = (30, 64, 32, 5)
LOSS_CLASSES: Final = 10
TEMPERATURE: Final = 4.0
LONGEST: Final = 5.0
RATE: Final = 1e-3
DECAY: Final = 0.01
LOOP: Final = 50_000_000  # terms, about 0.1 s
CALLS: Final = 1000  # of a single row in a round
LIBRARIES: Final = ("torch", "numpy", "numba", "onnxruntime")
# What takes how many times as long as what, at least.
GOALS: Final[tuple[tuple[str, str, str, float | None], ...]] = (
    ("epoch at batch 256, PyTorch over ours", "epoch 256, PyTorch", "epoch 256, ours", 9.0),
    ("epoch at batch 64, PyTorch over ours", "epoch 64, PyTorch", "epoch 64, ours", 16.0),
    ("loss with gradient, PyTorch over ours", "loss, PyTorch", "loss, ours", 6.0),
    ("loss with gradient, NumPy over ours", "loss, NumPy", "loss, ours", 4.0),
    ("one row, ONNX Runtime over ours", "row, ONNX Runtime", "row, ours", 1.0),
    ("two students, in turn over side by side", "two in turn", "two side by side", 1.8),
    # Without a goal: where this is below 2 the cores are not free, and the line above is about them.
    ("two plain loops, in turn over side by side", "loops in turn", "loops side by side", None),
)

Floats = NDArray[np.float32]


def torch_student(network: Perceptron) -> nn.Sequential:
    """Return the same network as torch holds it."""
    layers: list[nn.Module] = []
    for entering, leaving in itertools.pairwise(WIDTHS):
        layers += [nn.Linear(entering, leaving), nn.ReLU()]
    module = nn.Sequential(*layers[:-1])
    nn.utils.vector_to_parameters(torch.from_numpy(network.weights.copy()), module.parameters())
    return module


class TorchEpoch:
    """A student in PyTorch, one epoch a call."""

    def __init__(self, features: Floats, labels: NDArray[np.int64], teacher: Floats, batch: int) -> None:
        self.features, self.labels, self.teacher = (torch.from_numpy(one) for one in (features, labels, teacher))
        self.module, self.batch, self.epoch = torch_student(untrained(WIDTHS, seed=0)), batch, 0
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=RATE, weight_decay=DECAY, fused=True)

    def __call__(self) -> None:
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(self.epoch))
        self.epoch += 1
        wanted = functional.softmax(self.teacher / TEMPERATURE, 1)
        losses = []
        for step in range(len(order) // self.batch):
            rows = order[step * self.batch : (step + 1) * self.batch]
            answers = self.module(self.features[rows])
            soft = functional.log_softmax(answers / TEMPERATURE, 1)
            guidance = functional.kl_div(soft, wanted[rows], reduction="batchmean") * TEMPERATURE**2
            loss = functional.cross_entropy(answers, self.labels[rows]) + guidance
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.module.parameters(), LONGEST)
            self.optimizer.step()
            losses.append(loss.detach())
        torch.stack(losses).mean().item()


class OurEpoch:
    """The same student compiled, one epoch a call."""

    def __init__(
        self, features: Floats, labels: NDArray[np.int64], teacher: Floats, batch: int, *, seed: int = 0
    ) -> None:
        self.features, self.labels, self.teacher, self.batch = features, labels, teacher, batch
        self.network, self.epoch = untrained(WIDTHS, seed=seed), 0

    def __call__(self) -> None:
        rows = len(self.labels)
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(self.epoch)).numpy()
        self.epoch += 1
        guidance = soft_targets([self.teacher], [np.ones(rows, np.float32)], method="kd", temperature=TEMPERATURE)
        train_epoch(
            self.network,
            self.features,
            self.labels,
            guidance,
            order,
            np.full(max(1, rows // self.batch), RATE, np.float32),
            batch=self.batch,
            weight_decay=DECAY,
            longest_gradient=LONGEST,
        )


def torch_loss(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor) -> None:
    """Take value and gradient by autograd."""
    student.grad = None
    soft = functional.log_softmax(student / TEMPERATURE, 1)
    wanted = functional.softmax(teacher / TEMPERATURE, 1)
    guidance = functional.kl_div(soft, wanted, reduction="batchmean") * TEMPERATURE**2
    (functional.cross_entropy(student, labels) + guidance).backward()  # type: ignore[no-untyped-call]


def numpy_loss(student: Floats, teacher: Floats, labels: NDArray[np.int64]) -> tuple[float, Floats]:
    """Take value and gradient by formulas over whole arrays."""

    def softened(logits: Floats, heat: float) -> tuple[Floats, Floats]:
        shifted = (logits - logits.max(1, keepdims=True)) / np.float32(heat)
        powers = np.exp(shifted)
        totals = powers.sum(1, keepdims=True)
        return powers / totals, shifted - np.log(totals)

    rows = np.arange(len(labels))
    plain, plain_log = softened(student, 1.0)
    soft, soft_log = softened(student, TEMPERATURE)
    wanted, wanted_log = softened(teacher, TEMPERATURE)
    loss = -plain_log[rows, labels].mean()
    loss += TEMPERATURE**2 * (wanted * (wanted_log - soft_log)).sum(1).mean()
    plain[rows, labels] -= 1
    return float(loss), (plain + np.float32(TEMPERATURE) * (soft - wanted)) / np.float32(len(labels))


def our_loss(student: Floats, teacher: Floats, labels: NDArray[np.int64], ones: Floats) -> None:
    """Take value and gradient, teacher included."""
    loss_gradient(student, labels, soft_targets([teacher], [ones], method="kd", temperature=TEMPERATURE))


def onnx_session(network: Perceptron) -> Any:
    """Return the student alone in ONNX Runtime, on one thread."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, initializers, entering, p = [], [], "x", 0
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(WIDTHS)):
        weights = network.weights[p : p + inputs * outputs].reshape(outputs, inputs)
        biases = network.weights[p + inputs * outputs : p + (inputs + 1) * outputs]
        p += (inputs + 1) * outputs
        initializers += [numpy_helper.from_array(weights, f"w{layer}"), numpy_helper.from_array(biases, f"b{layer}")]
        nodes.append(helper.make_node("Gemm", [entering, f"w{layer}", f"b{layer}"], [f"z{layer}"], transB=1))
        entering = f"z{layer}"
        if layer < len(WIDTHS) - 2:
            nodes.append(helper.make_node("Relu", [entering], [f"h{layer}"]))
            entering = f"h{layer}"
    graph = helper.make_graph(
        nodes,
        "student",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", WIDTHS[0]])],
        [helper.make_tensor_value_info(entering, TensorProto.FLOAT, ["rows", WIDTHS[-1]])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _plain_loop(terms: int) -> float:
    total = 0.0
    for term in range(terms):
        total += 1.0 / (term + 1.0)
    return total


def repeat(call: Callable[[], object]) -> None:
    """Call it as often as a single row is asked in a round."""
    for _ in range(CALLS):
        call()


def make_arms(rows: int) -> dict[str, Callable[[], object]]:
    """Return a function for each arm."""
    generator = np.random.default_rng(0)
    features = generator.standard_normal((rows, WIDTHS[0]), np.float32)
    teacher = 2 * generator.standard_normal((rows, WIDTHS[-1]), np.float32)
    labels = generator.integers(0, WIDTHS[-1], rows)
    wide, wide_teacher = (generator.standard_normal((rows, LOSS_CLASSES), np.float32) for _ in range(2))
    wide_labels, ones = generator.integers(0, LOSS_CLASSES, rows), np.ones(rows, np.float32)
    wide_tensors = torch.tensor(wide, requires_grad=True), torch.from_numpy(wide_teacher), torch.from_numpy(wide_labels)
    network, row = untrained(WIDTHS, seed=0), features[:1]
    session, asked = onnx_session(network), {"x": row}
    np.testing.assert_allclose(logits(network.weights, network.widths, row), session.run(None, asked)[0], atol=1e-5)
    pair = [OurEpoch(features, labels, teacher, 256, seed=seed) for seed in (1, 2)]
    arms: dict[str, Callable[[], object]] = {}
    for batch in (256, 64):
        arms[f"epoch {batch}, ours"] = OurEpoch(features, labels, teacher, batch)
        arms[f"epoch {batch}, PyTorch"] = TorchEpoch(features, labels, teacher, batch)
    return arms | {
        "loss, ours": partial(our_loss, wide, wide_teacher, wide_labels, ones),
        "loss, PyTorch": partial(torch_loss, *wide_tensors),
        "loss, NumPy": partial(numpy_loss, wide, wide_teacher, wide_labels),
        "row, ours": partial(repeat, partial(logits, network.weights, network.widths, row)),
        "row, ONNX Runtime": partial(repeat, partial(session.run, None, asked)),
        # Four epochs each: a thread's start and a neighbor's moment of work weigh less.
        "two in turn": partial(side_by_side, pair * 4, 1),
        "two side by side": partial(side_by_side, [partial(_several, one) for one in pair], 2),
        "loops in turn": partial(side_by_side, [partial(_plain_loop, LOOP)] * 2, 1),
        "loops side by side": partial(side_by_side, [partial(_plain_loop, LOOP)] * 2, 2),
    }


def _several(epoch: OurEpoch) -> None:
    for _ in range(4):
        epoch()


def run_rounds(arms: dict[str, Callable[[], object]], rounds: int, result: Result) -> None:
    """Add the rounds that *result* has not: seconds of each arm; a round begins with another arm each time."""
    if len(result.rows) == rounds:
        return
    names = list(arms)
    for call in arms.values():
        call()  # not kept: what compiles, allocates and reads for the first time
    for number in tqdm(range(len(result.rows), rounds), desc="rounds", disable=None):
        seconds = {}
        shift = number % len(names)
        for name in (*names[shift:], *names[:shift]):
            began = time.perf_counter()
            arms[name]()
            seconds[name] = time.perf_counter() - began
        result.add({"round": number, "seconds": {name: seconds[name] for name in names}})


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the quartiles of *values*."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high}


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return medians of seconds and ratios, and which goals are met."""
    seconds = {name: [row["seconds"][name] for row in rows] for name in rows[0]["seconds"]}
    ratios = {
        name: spread([above / below for above, below in zip(seconds[one], seconds[other], strict=True)])
        for name, one, other, _ in GOALS
    }
    return {
        "threads": 1,
        "widths": WIDTHS,
        "calls_of_a_row": CALLS,
        "seconds": {name: spread(times) for name, times in seconds.items()},
        "ratios": ratios,
        "goals": {
            name: {"goal": f"at least {least}", "met": ratios[name]["median"] >= least}
            for name, _, _, least in GOALS
            if least is not None
        },
    }


def table_of(summary: dict[str, Any]) -> str:
    """Return the figures as lines for a terminal."""
    lines = [f"{'':42}{'ms':>10}{'quartiles':>20}"]
    for name, one in summary["seconds"].items():
        # A round asks a row CALLS times.
        times = 1e3 / (CALLS if name.startswith("row") else 1)
        lines.append(f"{name:42}{times * one['median']:10.4g}{times * one['low']:10.4g}–{times * one['high']:<9.4g}")
    lines += [f"{'':42}{'ratio':>10}{'quartiles':>20}  goal"]
    for name, one in summary["ratios"].items():
        goal = summary["goals"].get(name)
        said = "none" if goal is None else f"{goal['goal']}: {'met' if goal['met'] else 'missed'}"
        lines.append(f"{name:42}{one['median']:10.2f}{one['low']:10.2f}–{one['high']:<9.2f}  {said}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds, write the result, and return the exit code: 1 where a goal is missed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9, help="at least 2")
    parser.add_argument("--output", type=Path, default=RESULTS / "epoch_speed.json")
    asked = parser.parse_args(given)
    if asked.rounds < 2 or asked.rows < 256:
        parser.error("--rounds takes 2 or more, --rows 256 or more")
    torch.set_num_threads(1)
    try:
        result = open_result(asked.output, Path(__file__), given, libraries=LIBRARIES)
        compile_now()
        run_rounds(make_arms(asked.rows), asked.rounds, result)
        summary = summarize(result.rows)
        result.finish(summary)
    except EdgeError as error:
        print(f"epoch_speed: {error}", file=sys.stderr)
        return error.exit_code
    print(table_of(summary))
    return 0 if all(goal["met"] for goal in summary["goals"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
