"""How a training step is computed: memory format, precision, compilation; and which of it is faster here.

One thread of an AMD EPYC with avx512_bf16, a residual 16×1 student at 32×32, batch 256: a step in float32 takes
0.44 s, in channels_last and bfloat16 0.17 s, compiled beside 0.16 s (and 42 s to compile). Of the 0.17 s the data
path is 1.5 ms, clipping 0.2 ms, AdamW 0.2 ms fused and 0.8 ms as PyTorch does it by default.
"""

# Shape suffixes: N = rows, B = batch, K = classes.

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpmkd_edge.distill.cuda_graph import captured_step
from hpmkd_edge.students.inlet import Inlet

log = logging.getLogger(__name__)

# Numbers in a batch, and for texts rows times parameters: below, a step that is shared between threads gains nothing,
# and a plan is not worth a probe.
SHARED_BATCH: Final = 100_000
SHARED_TEXTS: Final = 200_000_000
LEAST_STEPS: Final = 200  # of a training that a probe of some 20 steps is worth
LEAST_GAIN: Final = 1.10  # below it the simpler plan is kept, so that the choice repeats
ROUNDS: Final = 6
LEAST_ROUNDS: Final = 2
LONGEST_PROBE_S: Final = 20.0
COMPILE_S: Final = 60.0  # on two cores; 8 s where inductor's cache on disk has it
COMPILED_SHARE: Final = 0.2  # of a step's time that compiling may be hoped to save
LONGEST_GRADIENT: Final = 5.0
POOL: Final = 50  # batches within which rows of like length meet


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """How one training step is computed; what it computes is the same up to rounding.

    Attributes:
        channels_last: images and filters lie in memory channel by channel.
        bf16: matrix products and convolutions in bfloat16, by autocast; weights and optimizer stay float32.
        compiled: by torch.compile.
        cuda_graph: recorded once on a GPU, and replayed.
    """

    channels_last: bool = False
    bf16: bool = False
    compiled: bool = False
    cuda_graph: bool = False

    @property
    def label(self) -> str:
        """A short name, e.g. "channels_last bf16"; "plain" where nothing is set."""
        return " ".join(
            name for name in ("channels_last", "bf16", "compiled", "cuda_graph") if getattr(self, name)
        ) or ("plain")


PLAIN: Final = StepPlan()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast a plan trained here: rows a second of its fastest step; *compile_s* of its first."""

    plan: StepPlan
    rows_per_s: float
    compile_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The plan to train by, and the rates of all that were tried; of none where a probe was not worth its time."""

    plan: StepPlan
    rates: tuple[Rate, ...]

    @property
    def sentence(self) -> str:
        """What was chosen and what it was chosen from."""
        if not self.rates:
            return f"Steps are {self.plan.label}: a training this small was not worth a probe."
        tried = ", ".join(f"{rate.plan.label} {rate.rows_per_s:.0f}" for rate in self.rates)
        return f"Steps are {self.plan.label}; rows a second here: {tried}."


def prepared(module: nn.Module, plan: StepPlan) -> nn.Module:
    """Return *module* as a step of *plan* calls it; the weights are the module's own.

    Its filters are put in the plan's memory format in place, so `prepared(module, PLAIN)` also undoes another plan.
    A compiled module has names of its own: save *module*, not what is returned.
    """
    layout = torch.channels_last if plan.channels_last else torch.contiguous_format
    module.to(memory_format=layout)  # type: ignore[call-overload]
    return cast(nn.Module, torch.compile(module, dynamic=False)) if plan.compiled else module


def forward(module: nn.Module, features: Tensor, plan: StepPlan) -> Tensor:
    """Return the logits [B, K] of a *prepared* module, in its own precision; never in bfloat16."""
    if not plan.bf16:
        return cast(Tensor, module(features))
    with torch.autocast(features.device.type, torch.bfloat16):
        logits_BK = module(features)
    return cast(Tensor, logits_BK.float())


def batches(inlet: Inlet, stored: Tensor, order: Tensor, batch: int, plan: StepPlan) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the rows of each full batch, int64 [B], and their features, in the plan's memory format.

    Batch by batch: to open 16 at once took 7 ms a batch in place of 1.2, since they leave the caches and every step
    has to ask the system for fresh pages.

    Args:
        stored: [N, …], as the inlet keeps rows.
        order: int64, the rows of an epoch; those after the last full batch are left out, unless they are all.
    """
    steps = max(1, len(order) // batch)
    for rows_B in torch.split(order[: steps * batch], batch):
        yield rows_B, arranged(inlet.open(stored[rows_B]), plan)


def epoch_order(rows: int, batch: int, lengths: Tensor | None, draw: int) -> Tensor:
    """Draw the order of an epoch: int64, the rows of each batch after those of the one before.

    Where rows have *lengths*, int64 [N], a batch is as dear as its longest row. So the drawn order is cut into pools of
    50 batches, each is sorted by length, and the batches are drawn once more: a row's companions are of its length,
    and any of 50 batches' rows.

    Args:
        lengths: None where all rows are alike.
        draw: seed of the order.
    """
    generator = torch.Generator().manual_seed(draw)
    order = torch.randperm(rows, generator=generator)
    if lengths is None or rows <= batch:
        return order
    order = order[: rows // batch * batch]
    pools = [pool[lengths[pool].argsort(stable=True)] for pool in torch.split(order, POOL * batch)]
    batches = torch.cat(pools).view(-1, batch)
    return batches[torch.randperm(len(batches), generator=generator)].flatten()


def arranged(features: Tensor, plan: StepPlan) -> Tensor:
    """Return *features* in the plan's memory format, which only images have."""
    if plan.channels_last and features.ndim == 4:
        return features.contiguous(memory_format=torch.channels_last)
    return features


def threads_for(plan: StepPlan, batch: int, threads: int) -> int:
    """Return how many of *threads* a CPU may share batches of a plan between: all, or a number that divides *batch*.

    torch 2.13 (oneDNN) writes past its memory when it computes, in channels_last, the weights' gradient of a 1×1
    convolution with a stride, as shortcuts have, if the rows do not divide evenly: 131 rows on 2 threads or 250 on 4
    crash, sooner or later; 131 on 1, 130 on 2 and 256 on 4 do not.
    """
    return max(count for count in range(1, threads + 1) if batch % count == 0) if plan.channels_last else threads


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads, and then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def align_state(optimizer: torch.optim.Optimizer) -> None:
    """Bring the optimizer's moments into the memory format of their parameters, in place.

    To be called after `load_state_dict`: the fused optimizers pair numbers by their place in memory and check
    nothing, so the moments of a training begun in another plan would silently go to other weights.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter).copy_(value).detach()


def is_small(features: tuple[int, ...], batch: int, parameters: int, *, text: bool) -> bool:
    """Tell whether the steps of a student are too small to be shared between threads, or to be worth a probe.

    A rule and not a measurement, since sums in another order round differently, and a run must repeat.

    Args:
        features: of a row; see `Shape.features`.
        parameters: of the student. What it does with a piece follows from them, not from a row's few ids.
    """
    return batch * parameters < SHARED_TEXTS if text else batch * math.prod(features) < SHARED_BATCH


def probe_step(
    make_module: Callable[[], nn.Module],
    features: Tensor,
    classes: int,
    *,
    device: torch.device,
    steps_planned: int,
) -> Probe:
    """Time real steps of a few plans in turn, and choose the fastest that is worth its complication.

    A plan is taken if it is at least 10 % faster than the simpler one before it, and compilation only if the
    *steps_planned* repay it. The fastest step of each counts: beside other work it repeats where the median does
    not. Rounding differs between plans, so a run chooses once, and a resumed training keeps its plan.

    Args:
        make_module: makes one student; it is called once a plan.
        features: one training batch, [B, …], as the inlet opens it.
        steps_planned: steps of all trainings that will use the plan.
    """
    if steps_planned < LEAST_STEPS:
        return Probe(plan=PLAIN, rates=())
    images, texts = features.ndim == 4, not features.is_floating_point()
    plans = [PLAIN, *([StepPlan(channels_last=True)] if images else []), StepPlan(channels_last=images, bf16=True)]
    # Batches of texts are of many lengths: each would be compiled, or recorded, anew.
    if device.type == "cuda" and not texts:
        plans.append(replace(plans[-1], cuda_graph=True))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        labels_B = torch.randint(classes, (len(features),), device=device)

        def steps_of(plan: StepPlan) -> Callable[[], Tensor]:
            return _step(make_module().to(device), arranged(features.to(device), plan), labels_B, plan)

        rates = _race(plans, steps_of, len(features))
        chosen = preferred(rates)
        planned_s = steps_planned * len(features) / chosen.rows_per_s
        if device.type == "cpu" and not texts and _finds_compiler() and planned_s * COMPILED_SHARE > COMPILE_S:
            duel = _compiled_duel(chosen.plan, steps_of, len(features))
            rates += duel[1:]
            if duel[1:]:
                saved_s = steps_planned * len(features) * (1 / duel[0].rows_per_s - 1 / duel[1].rows_per_s)
                chosen = preferred(duel) if saved_s > duel[1].compile_s else chosen
    probe = Probe(plan=chosen.plan, rates=tuple(rates))
    log.info("%s", probe.sentence)
    return probe


def preferred(rates: Sequence[Rate]) -> Rate:
    """Return the fastest of *rates*, simplest first, among those that are worth leaving the simpler one for."""
    chosen = rates[0]
    for rate in rates[1:]:
        if rate.rows_per_s >= LEAST_GAIN * chosen.rows_per_s:
            chosen = rate
    return chosen


def _step(module: nn.Module, features: Tensor, labels_B: Tensor, plan: StepPlan) -> Callable[[], Tensor]:
    """Return one whole training step, to be called again and again."""
    student = prepared(module.train(), plan)
    if plan.cuda_graph:
        optimizer = torch.optim.SGD(
            module.parameters(), lr=torch.tensor(1e-3, device=features.device), momentum=0.9, nesterov=True, fused=True
        )

        def loss_of(features: Tensor, labels_B: Tensor) -> Tensor:
            return functional.cross_entropy(forward(student, features, plan), labels_B)

        captured = captured_step(module, optimizer, loss_of, (features, labels_B), longest_gradient=LONGEST_GRADIENT)
        return lambda: captured(features, labels_B, rate=1e-3)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9, nesterov=True, fused=True)

    def step() -> Tensor:
        loss = functional.cross_entropy(forward(student, features, plan), labels_B)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), LONGEST_GRADIENT)
        optimizer.step()
        return loss.detach()

    return step


def _race(plans: Sequence[StepPlan], steps_of: Callable[[StepPlan], Callable[[], Tensor]], rows: int) -> list[Rate]:
    """Time *plans* in turn, round by round; what they share with other work they share alike."""
    threads = [threads_for(plan, rows, torch.get_num_threads()) for plan in plans]
    steps = [steps_of(plan) for plan in plans]
    firsts = [_seconds(step, count) for step, count in zip(steps, threads, strict=True)]
    best = [float("inf")] * len(steps)
    began = time.monotonic()
    for number in range(ROUNDS):
        if number >= LEAST_ROUNDS and time.monotonic() - began > LONGEST_PROBE_S:
            break
        best = [min(known, _seconds(step, count)) for known, step, count in zip(best, steps, threads, strict=True)]
    return [
        Rate(plan=plan, rows_per_s=rows / fastest, compile_s=first - fastest if plan.compiled else 0.0)
        for plan, fastest, first in zip(plans, best, firsts, strict=True)
    ]


def _compiled_duel(plan: StepPlan, steps_of: Callable[[StepPlan], Callable[[], Tensor]], rows: int) -> list[Rate]:
    """Time *plan* beside its compiled form; nothing where it cannot be compiled, which is logged."""
    try:
        return _race([plan, replace(plan, compiled=True)], steps_of, rows)
    except RuntimeError as fault:  # the root of dynamo's and inductor's own errors
        log.warning(
            "The student is trained uncompiled, since torch.compile gave up: %s",
            next(iter(str(fault).strip().splitlines()), type(fault).__name__),
        )
        return []


def _seconds(step: Callable[[], Tensor], threads: int) -> float:
    with on_threads(threads):
        began = time.perf_counter()
        loss = step()
        if loss.is_cuda:
            torch.cuda.synchronize(loss.device)
        return time.perf_counter() - began


def _finds_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)
