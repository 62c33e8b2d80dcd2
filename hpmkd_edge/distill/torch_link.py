"""Train one module in torch: on labels, and on a teacher's logits where the lesson has them."""

# Shape suffixes: N = rows, B = batch, K = classes.

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from hpmkd_edge import __version__
from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.methods.table import find_method
from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.plan.settings import Settings

log = logging.getLogger(__name__)

WARM_UP: Final = 0.05  # share of the steps
SAVE_EVERY_S: Final = 30.0
VALIDATION_BATCH: Final = 1024
SHARED_BATCH: Final = 100_000  # numbers in a batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A finished training: the weights of the epoch that was best on validation rows.

    Attributes:
        module: on the CPU, in eval mode.
        logits: float32 [N, K] on the validation rows.
        accuracy: share of the validation rows.
        loss: mean cross-entropy on them, in nats.
        best_epoch: counted from 1.
        seconds: of training, over all sittings.
    """

    module: nn.Module
    logits: NDArray[np.float32]
    accuracy: float
    loss: float
    best_epoch: int
    epochs: int
    seconds: float


@contextmanager
def _repeatable(lesson: Lesson, settings: Settings) -> Iterator[None]:
    """Keep torch's own state as it was, and train on one thread where a batch is too small to share.

    Two threads were up to 5 times slower there beside other work. A rule and not a probe, since sums in another
    order round differently, and a run must repeat.
    """
    before, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    if settings.batch * math.prod(lesson.inlet.features) < SHARED_BATCH:
        torch.set_num_threads(1)
    torch.backends.cudnn.deterministic = True
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.deterministic = deterministic


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate of a *step* (from 0): linear to *peak*, then a cosine to zero."""
    rising = max(1, round(WARM_UP * steps))
    if step < rising:
        return peak * (step + 1) / rising
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def predict(module: nn.Module, lesson: Lesson, stored: Tensor) -> Tensor:
    """Return the logits [N, K] of *module*, in eval mode, for stored rows."""
    module.eval()
    with torch.inference_mode():
        batches = [module(lesson.inlet.open(batch)).float() for batch in torch.split(stored, VALIDATION_BATCH)]
    return torch.cat(batches)


def _optimizer(module: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    # Norms and biases are not decayed: they scale what the next layer sees, they do not overfit.
    matrices = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _write(state: dict[str, Any], path: Path) -> None:
    beside = path.with_suffix(".new")
    torch.save(state, beside)
    beside.replace(path)


def train_link(
    module: nn.Module,
    lesson: Lesson,
    settings: Settings,
    *,
    seed: int,
    saved: Path,
    stop: Callable[[], bool],
    label: str,
) -> Trained:
    """Train *module* on *lesson*; a training that *saved* holds is taken up where it was left.

    The loss is `ce_weight · CE(labels) + kd_weight · method(teacher)`. Every epoch reads one view; its
    order follows from *seed* and the epoch, so a resumed training ends as an unbroken one does.

    Args:
        module: its weights are changed.
        saved: a file for the state, written about twice a minute and at the end.
        stop: asked after each epoch.
        label: for the progress bar.

    Raises:
        TrainingFailed: the loss is no longer finite.
        Interrupted: *stop* said so; the state is saved.
    """
    device = lesson.labels.device
    module = module.to(device)
    method = find_method(settings.method, lesson.teacher[0].shape[1]) if lesson.teacher else None
    optimizer = _optimizer(module, settings)
    best: dict[str, Any] = {"accuracy": -1.0, "loss": math.inf, "epoch": 0, "weights": {}}
    epoch, seconds = 0, 0.0
    if saved.exists():
        state = torch.load(saved, map_location=device, weights_only=True)
        module.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        epoch, seconds, best = state["epoch"], state["seconds"], state["best"]

    rows = len(lesson.labels)
    steps_each = max(1, rows // settings.batch)
    steps = settings.epochs * steps_each
    began = last_saved = time.monotonic()

    def keep() -> None:
        weights = {key: value.clone() for key, value in module.state_dict().items()}
        state = {"weights": weights, "optimizer": optimizer.state_dict(), "epoch": epoch, "best": best}
        _write({**state, "seconds": seconds + time.monotonic() - began}, saved)

    bar = tqdm(total=settings.epochs, initial=epoch, desc=label, unit="epoch", disable=None, leave=False)
    with bar, _repeatable(lesson, settings):
        while epoch < settings.epochs:
            order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed * 100_003 + epoch)).to(device)
            view = epoch % len(lesson.views)
            module.train()
            # Dropout and whatever else draws follows from the seed and the epoch, and nothing outside is moved.
            torch.manual_seed(seed * 100_003 + epoch)
            total = torch.zeros((), device=device)
            for number in range(steps_each):
                rows_B = order[number * settings.batch : (number + 1) * settings.batch]
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(epoch * steps_each + number, steps, settings.learning_rate)
                student_BK = module(lesson.inlet.open(lesson.views[view][rows_B]))
                labels_B = lesson.labels[rows_B]
                loss = settings.ce_weight * functional.cross_entropy(
                    student_BK, labels_B, label_smoothing=settings.label_smoothing
                )
                if method is not None:
                    teacher_BK = lesson.teacher[view][rows_B]
                    loss = loss + settings.kd_weight * method.loss(
                        student_BK, teacher_BK, labels_B, settings.temperature
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(module.parameters(), 5.0)
                optimizer.step()
                total += loss.detach()
            mean = float(total) / steps_each
            epoch += 1
            if not math.isfinite(mean):
                raise TrainingFailed(
                    f"{label}: the loss is {mean} after epoch {epoch} at a learning rate of"
                    f" {settings.learning_rate:g}; check the inputs' scale and the teacher's logits."
                )
            logits = predict(module, lesson, lesson.validation)
            accuracy = float((logits.argmax(1) == lesson.validation_labels).double().mean())
            validation_loss = float(functional.cross_entropy(logits, lesson.validation_labels))
            if (accuracy, -validation_loss) > (best["accuracy"], -best["loss"]):
                weights = {key: value.clone() for key, value in module.state_dict().items()}
                best = {"accuracy": accuracy, "loss": validation_loss, "epoch": epoch, "weights": weights}
            bar.update()
            bar.set_postfix(loss=f"{mean:.3f}", accuracy=f"{accuracy:.4f}", refresh=False)
            if stop():
                keep()
                raise Interrupted(f"{label}: stopped after epoch {epoch} of {settings.epochs}; the state is saved.")
            if time.monotonic() - last_saved > SAVE_EVERY_S:
                last_saved = time.monotonic()
                keep()
    keep()
    log.info("%s: %.4f of the validation rows after epoch %d", label, best["accuracy"], best["epoch"])
    module.load_state_dict(best["weights"])
    logits = predict(module, lesson, lesson.validation)
    return Trained(
        module=module.cpu().eval(),
        logits=logits.cpu().numpy(),
        accuracy=best["accuracy"],
        loss=best["loss"],
        best_epoch=best["epoch"],
        epochs=settings.epochs,
        seconds=seconds + time.monotonic() - began,
    )


def key_of(lesson: Lesson, settings: Settings, *, seed: int, student: str) -> str:
    """Return the text that everything a training's outcome depends on goes into, for naming its saved state."""
    code = f"hpmkd-edge {__version__} torch {torch.__version__} {lesson.labels.device.type}"
    return f"{lesson.sources} {sorted(asdict(settings).items())} {seed} {student} {code}"
