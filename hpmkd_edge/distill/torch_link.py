"""Train one module to its end: on labels, and on what its guides answer where the lesson has some."""

# Shape suffixes: N = rows, B = batch, K = classes.

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from hpmkd_edge.distill.epochs import epochs_of
from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.step import PLAIN, StepPlan, is_small, on_threads, threads_for
from hpmkd_edge.distill.tabular_link import TabularTraining, may_compile
from hpmkd_edge.distill.training import Training
from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.progress import hidden
from hpmkd_edge.students.family import count_parameters
from hpmkd_edge.students.mlp import linear_layers
from hpmkd_edge.students.text_inlet import TextInlet
from hpmkd_edge.tracking.journal import Epoch, Tell, nobody

log = logging.getLogger(__name__)

SAVE_EVERY_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A finished training: the weights of the epoch that was best on validation rows.

    Attributes:
        module: on the CPU, in eval mode.
        logits: float32 [N, K] on the validation rows.
        accuracy: share of the validation rows; of values R².
        loss: mean cross-entropy on them, in nats; of values the mean squared error over train's variance.
        best_epoch: counted from 1.
        seconds: of training, over all sittings.
        temperatures: of each epoch; empty where nobody teaches.
        losses, accuracies: of each epoch: the mean loss that was trained on, and the score on validation rows.
        schedule: what moved them: for "auto" what that has chosen.
    """

    module: nn.Module
    logits: NDArray[np.float32]
    accuracy: float
    loss: float
    best_epoch: int
    epochs: int
    seconds: float
    temperatures: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()
    schedule: str = "constant"


def trains_alone(lesson: Lesson, settings: Settings, parameters: int) -> bool:
    """Tell whether a batch is too small to be shared between threads: two were up to 5 times slower beside other work.

    Args:
        parameters: of the student.
    """
    inlet = lesson.inlet
    return is_small(inlet.features, settings.batch, parameters, text=isinstance(inlet, TextInlet))


@contextmanager
def _repeatable(threads: int) -> Iterator[None]:
    """Train on so many *threads*, and keep torch's own state as it was."""
    deterministic = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        with on_threads(threads), torch.random.fork_rng():
            yield
    finally:
        torch.backends.cudnn.deterministic = deterministic


def _plain(module: nn.Module) -> nn.Module:
    """Bring *module* to the CPU, into eval mode and the usual memory format: the exporter writes what it is given."""
    module.cpu().eval()
    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()
    return module


def train_link(
    module: nn.Module,
    lesson: Lesson,
    settings: Settings,
    *,
    seed: int,
    saved: Path,
    stop: Callable[[], bool],
    label: str,
    plan: StepPlan = PLAIN,
    threads: int | None = None,
    tell: Tell = nobody,
) -> Trained:
    """Train *module* on *lesson*; a training that *saved* holds is taken up where it was left.

    The loss is `ce_weight · CE(labels) + kd_weight · method(guides)`. Every epoch reads one view; its
    order follows from *seed* and the epoch, so a resumed training ends as an unbroken one does.

    Args:
        module: its weights are changed.
        saved: a file for the state, written about twice a minute and at the end.
        stop: asked after each epoch.
        label: for the progress bar.
        plan: how a step is computed.
        threads: of this training; None for what torch has. A batch too small to be shared gets one.
        tell: called with each epoch when it is over; of a training that is taken up, also with those before.

    Raises:
        TrainingFailed: the loss is no longer finite.
        Interrupted: *stop* said so; the state is saved.
    """
    compiled = may_compile(lesson, settings) and bool(linear_layers(module))
    training = (
        TabularTraining(module, lesson, settings, seed) if compiled else Training(module, lesson, settings, seed, plan)
    )
    if saved.exists():
        training.restore(saved)
    progress = training.progress

    def epochs(since: int) -> Iterator[Epoch]:
        curves = (progress.losses, progress.accuracies, progress.temperatures)
        return epochs_of(*curves, settings=settings, rows=len(lesson.labels), since=since)

    for earlier in epochs(0):
        tell(earlier)
    began = last_saved = time.monotonic()
    before = progress.seconds

    def keep() -> None:
        progress.seconds = before + time.monotonic() - began
        training.save(saved)

    own = 1 if trains_alone(lesson, settings, count_parameters(module)) else threads or torch.get_num_threads()
    own = threads_for(plan, min(settings.batch, len(lesson.labels)), own)
    # Compiled trainings go side by side in threads of this process, and must leave what all of them share alone.
    apart = nullcontext() if compiled else _repeatable(own)
    bar = tqdm(total=settings.epochs, initial=progress.epoch, desc=label, unit="epoch", disable=hidden(), leave=False)
    with bar, apart:
        while progress.epoch < settings.epochs:
            mean = training.run_epoch()
            if not math.isfinite(mean):
                raise TrainingFailed(
                    f"{label}: the loss is {mean} after epoch {progress.epoch} at a learning rate of"
                    f" {settings.learning_rate:g}; check the inputs' scale and the teacher's logits."
                )
            accuracy = training.validate()
            if math.isnan(accuracy):
                raise TrainingFailed(
                    f"{label}: the student's answers are not finite after epoch {progress.epoch} at a learning rate of"
                    f" {settings.learning_rate:g}; check the inputs' scale and the teacher's logits."
                )
            progress.note(mean, accuracy)
            for latest in epochs(progress.epoch - 1):
                tell(latest)
            bar.update()
            bar.set_postfix(loss=f"{mean:.3f}", accuracy=f"{accuracy:.4f}", refresh=False)
            if stop():
                keep()
                raise Interrupted(
                    f"{label}: stopped after epoch {progress.epoch} of {settings.epochs}; the state is saved."
                )
            if time.monotonic() - last_saved > SAVE_EVERY_S:
                last_saved = time.monotonic()
                keep()
        keep()
        best = progress.best
        log.info("%s: %.4f on the validation rows after epoch %d", label, best["accuracy"], best["epoch"])
        logits = training.finish()
    return Trained(
        module=_plain(module),
        logits=logits.cpu().numpy(),
        accuracy=best["accuracy"],
        loss=best["loss"],
        best_epoch=best["epoch"],
        epochs=settings.epochs,
        seconds=progress.seconds,
        temperatures=tuple(progress.temperatures),
        losses=tuple(progress.losses),
        accuracies=tuple(progress.accuracies),
        schedule=progress.temperature.strategy or settings.schedule,
    )
