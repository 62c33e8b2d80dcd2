"""A chain's last link: the student as int8 will compute it learns from its own fp32 self, and from the teachers."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from hpmkd_edge.distill.fake_quantization import Form, copy_weights, fake_quantized, folded, spans_of, traced
from hpmkd_edge.distill.lesson import Lesson, guided
from hpmkd_edge.distill.methods.table import is_feature_method
from hpmkd_edge.distill.objective import judged
from hpmkd_edge.distill.torch_link import Trained, train_link
from hpmkd_edge.distill.training import VALIDATION_BATCH, predict
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.tasks.task import Rows
from hpmkd_edge.tracking.journal import Tell, nobody

EPOCHS_SHARE: Final = 0.1
RATE_SHARE: Final = 0.1


def settings_of_link(settings: Settings) -> Settings:
    """Return how a student that was trained by *settings* is trained for int8: a tenth of its epochs and of its rate.

    By logits always, at a temperature that stays.
    """
    return replace(
        settings,
        epochs=max(1, round(EPOCHS_SHARE * settings.epochs)),
        learning_rate=RATE_SHARE * settings.learning_rate,
        method="kd" if is_feature_method(settings.method) else settings.method,
        schedule="constant",
    )


def train_quantized(
    module: nn.Module,
    lesson: Lesson,
    settings: Settings,
    *,
    form: Form,
    seed: int,
    saved: Path,
    stop: Callable[[], bool],
    label: str,
    calibration_rows: Rows,
    threads: int | None = None,
    tell: Tell = nobody,
) -> Trained:
    """Train a finished student so that its int8 file answers as it does; see `torch_link.train_link`.

    Where no epoch beats it on the validation rows as int8 computes it, the student stays as it came, but for its norms,
    and *best_epoch* is 0: a link never costs accuracy there.

    Args:
        module: trained in fp32; it is not changed.
        lesson: what it was taught; its own logits join the guides as the nearest.
        settings: of its training; `settings_of_link` says what becomes of them.
        form: of the int8 file.
        saved: a file for the state, written about twice a minute and at the end.
        stop: asked after each epoch.
        label: for the progress bar.
        calibration_rows: training rows that give the ranges of what flows between layers.
        threads: of this training; None for what torch has.
        tell: called with each epoch when it is over.

    Returns:
        A plain fp32 module without the batch norms that could be folded, its weights on the grids of int8. Accuracy,
        loss and logits are those of its int8 file: of grids by ranges measured once more, as the file's will be.

    Raises:
        BadStudent: torch.fx cannot trace the module.
        TrainingFailed: the loss is no longer finite.
        Interrupted: *stop* said so; the state is saved.
    """
    device = lesson.labels.device
    batches = torch.split(lesson.inlet.store(calibration_rows.inputs).to(device), VALIDATION_BATCH)

    def as_int8(student: nn.Module) -> nn.Module:
        spans = spans_of(traced(student), map(lesson.inlet.open, batches))
        return fake_quantized(student, spans, form).to(device)

    plain = folded(module).to(device)
    fake = as_int8(plain)
    before = predict(fake, lesson, lesson.validation)
    trained = train_link(
        fake,
        with_own_logits(lesson, plain),
        settings_of_link(settings),
        seed=seed,
        saved=saved,
        stop=stop,
        label=label,
        threads=threads,
        tell=tell,
    )
    learned = copy_weights(trained.module, deepcopy(plain))
    after = predict(as_int8(learned), lesson, lesson.validation)
    (accuracy, loss), (untrained, untrained_loss) = (judged(each, lesson.validation_labels) for each in (after, before))
    if (accuracy, -loss) <= (untrained, -untrained_loss):
        learned, after, accuracy, loss = plain, before, untrained, untrained_loss
        trained = replace(trained, best_epoch=0)
    return replace(trained, module=learned.cpu().eval(), logits=after.cpu().numpy(), accuracy=accuracy, loss=loss)


def with_own_logits(lesson: Lesson, module: nn.Module) -> Lesson:
    """Return *lesson* with *module* as one more guide, the nearest, and with nothing but guides and labels to teach."""
    answers: list[Tensor] = [predict(module, lesson, view) for view in lesson.views]
    plain = replace(lesson, reference=None, maps=())
    return guided(plain, [answer.cpu().numpy() for answer in answers], sources="its own logits")
