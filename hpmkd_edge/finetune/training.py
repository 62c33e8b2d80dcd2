"""One fine-tuning, step by step; what is saved of it goes on to the bit."""

# Shape suffixes: N = rows, B = batch, T = pieces, K = classes.

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpmkd_edge.distill.training import write_state
from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.finetune.pieces import Pieces, batches_of_epoch
from hpmkd_edge.finetune.request import FineTuning
from hpmkd_edge.finetuned import EpochRecord
from hpmkd_edge.progress import hidden

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hpmkd_edge.teachers.pooled import PooledClassifier

    Classifier = PreTrainedModel | PooledClassifier

LONGEST_GRADIENT: Final = 1.0
SAVE_EVERY_S: Final = 60.0
SAVING_SHARE: Final = 0.05  # of the time, where a state takes long to write
GRADED_ROWS: Final = 128  # a batch that is answered without gradients


@dataclass(slots=True)
class Progress:
    """What evolves while a training runs, beside weights and the optimizer's moments."""

    step: int = 0
    loss: float = 0.0  # the sum over the steps of this epoch
    seconds: float = 0.0  # of this epoch
    epochs: list[EpochRecord] = field(default_factory=list)


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Return the rate of a *step* (from 0): in a line up to *peak*, then in a line down to 0 after the last one."""
    rising = round(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * (steps - step) / (steps - rising)


def standard_error(accuracy: float, rows: int) -> float:
    """Return the standard error of an *accuracy* on so many rows, by the binomial distribution."""
    return math.sqrt(accuracy * (1 - accuracy) / rows)


def grade(model: Classifier, pieces: Pieces) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy of *model*, in eval mode and float32."""
    model.eval()
    order_N = np.argsort(pieces.lengths, kind="stable")
    right, loss = 0, 0.0
    with torch.inference_mode():
        for rows_B in np.split(order_N, range(GRADED_ROWS, len(order_N), GRADED_ROWS)):
            logits_BK, labels_B = _answers(model, pieces, rows_B)
            right += int((logits_BK.argmax(1) == labels_B).sum())
            loss += float(torch.nn.functional.cross_entropy(logits_BK, labels_B, reduction="sum"))
    return right / len(pieces), loss / len(pieces)


class Training:
    """A model on its way, and how far it is.

    Two of one request, data, precision and number of threads end with the same weights on one machine, however often
    one of them was saved, stopped and restored: what is drawn in a step follows from its number alone. Where an
    accelerator adds up in the order in which its threads arrive, they differ by rounding.
    """

    def __init__(
        self, model: Classifier, train: Pieces, validation: Pieces, request: FineTuning, *, bf16: bool
    ) -> None:
        self.model, self.train, self.validation, self.request, self.bf16 = model, train, validation, request, bf16
        # Norms and biases are not decayed: they scale what the next layer sees, they do not overfit.
        matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": request.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=request.learning_rate, fused=True)
        self.progress = Progress()
        self.best: dict[str, Any] = {"accuracy": -math.inf, "loss": math.inf, "weights": {}}

    @property
    def steps_an_epoch(self) -> int:
        """How many steps see each row once."""
        return -(-len(self.train) // self.request.batch)

    @property
    def steps(self) -> int:
        """How many there are to the end."""
        return self.request.epochs * self.steps_an_epoch

    def save(self, path: Path, beside: dict[str, Any]) -> None:
        """Write all that decides how the training goes on, and what is known *beside* it; whole or not at all."""
        state = {
            **beside,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "best": self.best,
        }
        write_state(state, path)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where a *state* that `save` has written was left."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        found = dict(state["progress"])
        self.progress = Progress(**found | {"epochs": [EpochRecord(**one) for one in found["epochs"]]})
        self.best = state["best"]

    def run(self, save: Callable[[], None], stop: Callable[[], bool]) -> None:
        """Train to the end; *save* is called every minute, and once more where *stop* says to.

        Raises:
            Interrupted: *stop* said so.
            TrainingFailed: the loss is not finite.
        """
        from tqdm import tqdm

        progress, steps = self.progress, self.steps
        order: list[NDArray[np.int64]] = []
        saved, cost = time.monotonic(), 0.0
        with tqdm(total=steps, initial=progress.step, unit="step", disable=hidden(), leave=False) as bar:
            while progress.step < steps:
                began = time.monotonic()
                epoch, place = divmod(progress.step, self.steps_an_epoch)
                if not order or place == 0:
                    order = batches_of_epoch(self.train.lengths, self.request.batch, self.request.seed, epoch)
                progress.loss += self._step(order[place])
                progress.step += 1
                if place + 1 == len(order):
                    self._end_epoch(time.monotonic() - began)
                else:
                    progress.seconds += time.monotonic() - began
                bar.update()
                stopped, waited = stop(), time.monotonic() - saved
                if stopped or waited > max(SAVE_EVERY_S, cost / SAVING_SHARE):
                    began = time.monotonic()
                    save()
                    saved = time.monotonic()
                    cost = saved - began
                if stopped:
                    raise Interrupted(f"stopped as asked, after {progress.step:,} of {steps:,} steps.")

    def finish(self) -> int:
        """Give the model the weights that are kept; return the number of their epoch, from 1."""
        if self.request.keep == "last":
            return self.request.epochs
        self.model.load_state_dict(self.best["weights"])
        return int(self.best["epoch"])

    def _step(self, rows_B: NDArray[np.int64]) -> float:
        """Take one step on *rows_B*; return its loss."""
        step, request = self.progress.step, self.request
        # Dropout follows from the step: a training that goes on draws what an unbroken one does.
        torch.manual_seed(request.seed * 1_000_003 + step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.steps, request.learning_rate, request.warmup)
        self.model.train()
        with self._precision():
            logits_BK, labels_B = _answers(self.model, self.train, rows_B)
        loss = torch.nn.functional.cross_entropy(logits_BK, labels_B)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), LONGEST_GRADIENT)
        found = float(loss.detach())
        if not math.isfinite(found):
            raise TrainingFailed(
                f"the loss is {found} after {step:,} steps; a --learning-rate below {request.learning_rate:g} is"
                " needed."
            )
        self.optimizer.step()
        return found

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.model.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def _end_epoch(self, seconds: float) -> None:
        began, progress = time.monotonic(), self.progress
        accuracy, loss = grade(self.model, self.validation)
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"the validation loss is {loss} after epoch {len(progress.epochs) + 1}; a --learning-rate below"
                f" {self.request.learning_rate:g} is needed."
            )
        progress.epochs.append(
            EpochRecord(
                loss=progress.loss / self.steps_an_epoch,
                validation_loss=loss,
                validation_accuracy=accuracy,
                seconds=progress.seconds + seconds + time.monotonic() - began,
            )
        )
        progress.loss = progress.seconds = 0.0
        if self.request.keep == "best" and (accuracy, -loss) > (self.best["accuracy"], -self.best["loss"]):
            weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            self.best = {"accuracy": accuracy, "loss": loss, "epoch": len(progress.epochs), "weights": weights}


def _answers(model: Classifier, pieces: Pieces, rows_B: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return the logits [B, K] of *model* in float32, and the labels [B], on its device."""
    ids_BT, real_BT, labels_B = (tensor.to(model.device) for tensor in pieces.batch(rows_B))
    return model(input_ids=ids_BT, attention_mask=real_BT).logits.float(), labels_B
