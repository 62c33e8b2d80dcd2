"""Several small students of one shape trained together: one product of stacked matrices in place of many small ones.

Each member keeps its own order, learning rate, weight decay, temperature, weights and smoothing, and ends as
`train_link` alone would have ended it, up to rounding. Below the size where arithmetic counts, a step's time is
what PyTorch spends on calls, and the members share them.
"""

# Shape suffixes: M = members, N = rows, B = batch, K = classes, P = parameters of one member.

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional
from tqdm import tqdm

from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.methods.method import Method
from hpmkd_edge.distill.methods.table import METHODS, find_method
from hpmkd_edge.distill.step import LONGEST_GRADIENT, on_threads
from hpmkd_edge.distill.torch_link import SAVE_EVERY_S, Trained
from hpmkd_edge.distill.training import VALIDATION_BATCH, learning_rate, predict, write_state
from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.progress import hidden

log = logging.getLogger(__name__)

BETAS: Final = (0.9, 0.999)  # AdamW's, as torch.optim has them
EPSILON: Final = 1e-8
STACKED_LAYERS: Final = (nn.Linear, nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Flatten, nn.Identity)
# DKD masks by values, which vmap cannot follow; kl_div has no batching rule, so vmap would loop over members itself.
ONE_BY_ONE: Final = frozenset({"dkd", "kd", "lskd", "wttm"})


def stackable(module: nn.Module, lesson: Lesson, settings: Sequence[Settings]) -> bool:
    """Tell whether copies of *module* can be trained on *lesson* together, each by its own *settings*.

    They must be perceptrons without dropout (convolutions in a stack are slower than one after another, and vmap
    refuses buffers that training writes), trained by AdamW at one constant temperature each, for the same epochs,
    batch and loss, on labels and at most one guide.
    """
    leaves = [part for part in module.modules() if next(part.children(), None) is None]
    plain = all(isinstance(leaf, STACKED_LAYERS) for leaf in leaves) and next(module.buffers(), None) is None
    guided = len(lesson.guides) <= 1 and lesson.reference is None and not lesson.maps and not any(lesson.mixes)
    alike = len({(one.epochs, one.batch, one.method) for one in settings}) == 1
    simple = all(one.optimizer == "adamw" and one.schedule == "constant" for one in settings)
    return plain and guided and alike and simple and settings[0].method in METHODS


@dataclass(slots=True)
class _Best:
    """A member's best epoch on validation rows."""

    accuracy: float = -1.0
    loss: float = math.inf
    epoch: int = 0
    weights: Tensor = field(default_factory=lambda: torch.empty(0))


class _Stack:
    """The members' weights as rows of one matrix, and AdamW on it with a rate and a decay of each row's own."""

    def __init__(self, modules: Sequence[nn.Module], settings: Sequence[Settings], device: torch.device) -> None:
        self.shapes = {name: value.shape for name, value in modules[0].named_parameters()}
        self.frame = copy.deepcopy(modules[0]).to("meta")
        rows = [torch.cat([value.detach().reshape(-1) for value in module.parameters()]) for module in modules]
        self.weights_MP = torch.stack(rows).to(device)
        self.first_MP, self.second_MP = torch.zeros_like(self.weights_MP), torch.zeros_like(self.weights_MP)
        self.taken = 0
        # Matrices alone are decayed, as in `train_link`.
        decayed_P = torch.cat([torch.full((shape.numel(),), len(shape) > 1) for shape in self.shapes.values()])
        decay_M = torch.tensor([one.weight_decay for one in settings], dtype=torch.float64)
        self.decay_MP = (decay_M[:, None] * decayed_P).to(self.weights_MP)
        self.leaves = {name: part.detach().requires_grad_() for name, part in self.split(self.weights_MP).items()}

    def split(self, rows_MP: Tensor) -> dict[str, Tensor]:
        """Return views of the rows by parameter: [M, *shape]."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = torch.split(rows_MP, sizes, dim=1)
        return {
            name: part.view(len(rows_MP), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def logits(self, features: Tensor, *, shared: bool) -> Tensor:
        """Return the members' logits [M, B, K] for features [M, B, …], or [B, …] if *shared*."""

        def one(weights: dict[str, Tensor], features: Tensor) -> Tensor:
            return cast(Tensor, functional_call(self.frame, weights, (features,)))

        return vmap(one, in_dims=(0, None if shared else 0))(self.leaves, features)

    @torch.no_grad()
    def descend(self, loss: Tensor, rates_M: Tensor) -> None:
        """Take one step of AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), each member's gradient clipped.

        Args:
            loss: the members' sum: no member's gradient depends on another's weights.
            rates_M: learning rates.
        """
        gradients = torch.autograd.grad(loss, list(self.leaves.values()))
        gradient_MP = torch.cat([one.reshape(len(rates_M), -1) for one in gradients], 1)
        norm_M1 = torch.linalg.vector_norm(gradient_MP, dim=1, keepdim=True)
        gradient_MP *= (LONGEST_GRADIENT / (norm_M1 + 1e-6)).clamp(max=1.0)
        self.taken += 1
        rates_M1 = rates_M[:, None]
        self.weights_MP.mul_(1 - rates_M1 * self.decay_MP)
        self.first_MP.lerp_(gradient_MP, 1 - BETAS[0])
        self.second_MP.mul_(BETAS[1]).addcmul_(gradient_MP, gradient_MP, value=1 - BETAS[1])
        root_MP = (self.second_MP.sqrt() / math.sqrt(1 - BETAS[1] ** self.taken)).add_(EPSILON)
        self.weights_MP.addcdiv_(self.first_MP * (-rates_M1 / (1 - BETAS[0] ** self.taken)), root_MP)


def train_stacked(
    modules: Sequence[nn.Module],
    lesson: Lesson,
    settings: Sequence[Settings],
    seeds: Sequence[int],
    *,
    saved: Path,
    stop: Callable[[], bool],
    label: str,
) -> tuple[Trained, ...]:
    """Train *modules* together on *lesson*, each by its own settings and seed, as `train_link` would one by one.

    Args:
        modules: of one shape; their weights are changed.
        saved: a file for the state of them all, written about twice a minute and at the end.
        stop: asked after each epoch.
        label: for the progress bar.

    Returns:
        One training a member; each bears its share of the seconds.

    Raises:
        ValueError: the members cannot be stacked; ask `stackable` first.
        TrainingFailed: a member's loss is no longer finite.
        Interrupted: *stop* said so; the state is saved.
    """
    if not stackable(modules[0], lesson, settings) or not len(modules) == len(settings) == len(seeds):
        raise ValueError("these trainings differ in more than numbers; one shape, loss, batch and epochs are needed.")
    device, epochs, batch = lesson.labels.device, settings[0].epochs, settings[0].batch
    stack, best, epoch, seconds = _Stack(modules, settings, device), [_Best() for _ in modules], 0, 0.0
    loss_of = _loss(lesson, settings, stack.weights_MP)
    if saved.exists():
        state = torch.load(saved, map_location=device, weights_only=True)
        for name in ("weights_MP", "first_MP", "second_MP"):
            getattr(stack, name).copy_(state[name])
        stack.taken, epoch, seconds = state["taken"], state["epoch"], state["seconds"]
        best = [_Best(*values) for values in state["best"]]
    steps = max(1, len(lesson.labels) // batch)
    peaks_M = torch.tensor([one.learning_rate for one in settings], dtype=torch.float64)
    shape = [learning_rate(step, steps * epochs, 1.0) for step in range(steps * epochs)]
    rates = (torch.tensor(shape, dtype=torch.float64)[:, None] * peaks_M).to(stack.weights_MP)
    began = last_saved = time.monotonic()

    def keep() -> None:
        state: dict[str, Any] = {
            name: getattr(stack, name) for name in ("weights_MP", "first_MP", "second_MP", "taken")
        }
        state |= {"epoch": epoch, "seconds": seconds + time.monotonic() - began}
        state["best"] = [(one.accuracy, one.loss, one.epoch, one.weights) for one in best]
        write_state(state, saved)

    bar = tqdm(total=epochs, initial=epoch, desc=label, unit="epoch", disable=hidden(), leave=False)
    with bar, on_threads(1):  # stacks are small: two threads would wait for each other
        while epoch < epochs:
            mean_M = _run_epoch(stack, lesson, loss_of, seeds, batch, rates[epoch * steps : (epoch + 1) * steps], epoch)
            epoch += 1
            for one, mean in zip(settings, mean_M.tolist(), strict=True):
                if not math.isfinite(mean):
                    raise TrainingFailed(
                        f"{label}: the loss is {mean} after epoch {epoch} at a learning rate of"
                        f" {one.learning_rate:g}; check the inputs' scale and the teacher's logits."
                    )
            if not _validate(stack, lesson, best, epoch):
                raise TrainingFailed(
                    f"{label}: a student's answers are not finite after epoch {epoch}; check the inputs' scale and the"
                    " teacher's logits."
                )
            bar.update()
            if stop():
                keep()
                raise Interrupted(f"{label}: stopped after epoch {epoch} of {epochs}; the state is saved.")
            if time.monotonic() - last_saved > SAVE_EVERY_S:
                last_saved = time.monotonic()
                keep()
        keep()
        log.info("%s: %s of the validation rows", label, ", ".join(f"{one.accuracy:.4f}" for one in best))
        spent = (seconds + time.monotonic() - began) / len(modules)
        return tuple(
            _finished(module, one, stack, lesson, own, spent)
            for module, one, own in zip(modules, best, settings, strict=True)
        )


def _run_epoch(
    stack: _Stack,
    lesson: Lesson,
    loss_of: Callable[[Tensor, Tensor, int], Tensor],
    seeds: Sequence[int],
    batch: int,
    rates: Tensor,
    epoch: int,
) -> Tensor:
    """Go once over a view, each member in its own order; return the members' mean losses."""
    rows, view = len(lesson.labels), epoch % len(lesson.views)
    drawn = [torch.randperm(rows, generator=torch.Generator().manual_seed(seed * 100_003 + epoch)) for seed in seeds]
    order_MN = torch.stack(drawn).to(lesson.labels.device)
    losses = torch.zeros(len(rates), len(seeds), dtype=rates.dtype, device=rates.device)
    for number, rates_M in enumerate(rates):
        rows_MB = order_MN[:, number * batch : (number + 1) * batch]
        features = lesson.inlet.open(lesson.views[view][rows_MB.reshape(-1)])
        loss_M = loss_of(stack.logits(features.view(*rows_MB.shape, *features.shape[1:]), shared=False), rows_MB, view)
        stack.descend(loss_M.sum(), rates_M)
        losses[number] = loss_M.detach()
    return losses.mean(0)


def _loss(lesson: Lesson, settings: Sequence[Settings], like: Tensor) -> Callable[[Tensor, Tensor, int], Tensor]:
    """Return the members' losses [M] as a function of logits [M, B, K], rows [M, B] and the view."""
    names = ("ce_weight", "kd_weight", "label_smoothing", "temperature")
    ce_M, kd_M, smoothing_M, heat_M = (
        torch.tensor([getattr(one, name) for one in settings]).to(like) for name in names
    )
    method = find_method(settings[0].method, lesson.guides[0][0].shape[1]) if lesson.guides else None

    def taught_by(method: Method) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        if method.name not in ONE_BY_ONE:
            return cast(Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], vmap(method.loss))
        temperatures = [one.temperature for one in settings]
        return lambda student, teacher, labels, _: torch.stack(
            [method.loss(*member) for member in zip(student, teacher, labels, temperatures, strict=True)]
        )

    compare = taught_by(method) if method is not None else None

    def loss(student_MBK: Tensor, rows_MB: Tensor, view: int) -> Tensor:
        labels_MB = lesson.labels[rows_MB]
        logarithms_MBK = functional.log_softmax(student_MBK, 2)
        true_M = -logarithms_MBK.gather(2, labels_MB[:, :, None]).mean((1, 2))
        total_M = ce_M * ((1 - smoothing_M) * true_M - smoothing_M * logarithms_MBK.mean((1, 2)))
        if compare is not None:
            total_M = total_M + kd_M * compare(student_MBK, lesson.guides[0][view][rows_MB], labels_MB, heat_M)
        return total_M

    return loss


@torch.no_grad()
def _validate(stack: _Stack, lesson: Lesson, best: list[_Best], epoch: int) -> bool:
    """Keep each member's weights if they are its best on validation rows so far; tell whether answers are finite."""
    batches = torch.split(lesson.validation, VALIDATION_BATCH)
    logits_MNK = torch.cat([stack.logits(lesson.inlet.open(one), shared=True) for one in batches], 1).float()
    if not bool(logits_MNK.isfinite().all()):
        return False
    for member, logits_NK in enumerate(logits_MNK):
        accuracy = float((logits_NK.argmax(1) == lesson.validation_labels).double().mean())
        loss = float(functional.cross_entropy(logits_NK, lesson.validation_labels))
        if (accuracy, -loss) > (best[member].accuracy, -best[member].loss):
            best[member] = _Best(accuracy, loss, epoch, stack.weights_MP[member].clone())
    return True


def _finished(
    module: nn.Module, best: _Best, stack: _Stack, lesson: Lesson, settings: Settings, seconds: float
) -> Trained:
    weights = {name: part[0].clone() for name, part in stack.split(best.weights[None]).items()}
    module.load_state_dict(weights)
    logits_NK = predict(module.to(lesson.labels.device), lesson, lesson.validation)
    return Trained(
        module=module.cpu().eval(),
        logits=logits_NK.cpu().numpy(),
        accuracy=best.accuracy,
        loss=best.loss,
        best_epoch=best.epoch,
        epochs=settings.epochs,
        seconds=seconds,
        temperatures=(settings.temperature,) * settings.epochs if lesson.guides else (),
    )
