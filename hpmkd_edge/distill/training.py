"""One training: its module, what it learns from, the epochs it has done, and its state on disk."""

# Shape suffixes: N = rows, B = batch, K = classes.

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from hpmkd_edge.distill.cuda_graph import CapturedStep, captured_step
from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.methods.table import check_shapes
from hpmkd_edge.distill.objective import Objective, judged, label_loss, objective_of
from hpmkd_edge.distill.step import LONGEST_GRADIENT, StepPlan, align_state, batches, epoch_order, forward, prepared
from hpmkd_edge.distill.taps import tap_of, tapped
from hpmkd_edge.distill.temperature import TemperatureState, advance, first_state, skip, temperature
from hpmkd_edge.plan.settings import Settings

WARM_UP: Final = 0.05  # share of the steps
VALIDATION_BATCH: Final = 1024
BLOCKS: Final = 8  # of an epoch, for the temperature's scheduler
_PLAIN: Final = ("epoch", "seconds", "temperatures", "losses", "accuracies", "best")  # of a progress, in its file


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate of a *step* (from 0): linear to *peak*, then a cosine to zero."""
    rising = max(1, round(WARM_UP * steps))
    if step < rising:
        return peak * (step + 1) / rising
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def predict(module: nn.Module, lesson: Lesson, stored: Tensor) -> Tensor:
    """Return the logits [N, K] of *module*, in eval mode and float32, for stored rows."""
    lengths = lesson.inlet.lengths(stored)
    # Rows of like length together: a batch is as dear as its longest row.
    order = None if lengths is None else lengths.argsort(stable=True)
    module.eval()
    with torch.inference_mode():
        rows = stored if order is None else stored[order]
        answers = [module(lesson.inlet.open(batch)).float() for batch in torch.split(rows, VALIDATION_BATCH)]
        logits = torch.cat(answers)
        return logits if order is None else logits[order.argsort()]


def _optimizer(modules: nn.Module, settings: Settings, plan: StepPlan) -> torch.optim.Optimizer:
    # Norms and biases are not decayed: they scale what the next layer sees, they do not overfit.
    matrices = [parameter for parameter in modules.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in modules.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    rate: float | Tensor = settings.learning_rate
    if plan.cuda_graph:  # a recording reads its rate from the device
        rate = torch.tensor(rate, device=matrices[0].device)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)
    assert settings.optimizer == "adamw"
    return torch.optim.AdamW(groups, lr=rate, fused=True, capturable=plan.cuda_graph)


def write_state(state: dict[str, Any], path: Path) -> None:
    """Put *state* in the place of what *path* holds, whole or not at all."""
    beside = path.with_suffix(".new")
    torch.save(state, beside)
    beside.replace(path)


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


@dataclass(slots=True)
class Progress:
    """What evolves while a training runs, and is saved."""

    temperature: TemperatureState
    epoch: int = 0
    seconds: float = 0.0
    temperatures: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    best: dict[str, Any] = field(
        default_factory=lambda: {"accuracy": -math.inf, "loss": math.inf, "epoch": 0, "weights": {}}
    )

    def as_state(self) -> dict[str, Any]:
        """Return it as plain values and tensors, for a file."""
        return {"temperature": self.temperature.as_dict(), **{name: getattr(self, name) for name in _PLAIN}}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Progress:
        """Return what `as_state` has written."""
        plain = {name: state[name] for name in _PLAIN}
        return cls(temperature=TemperatureState.from_dict(state["temperature"]), **plain)

    def end_epoch(
        self, heat: float | None, blocks: Sequence[float], gap: Callable[[], float], *, labels_hold: bool
    ) -> None:
        """Count an epoch; where somebody taught at *heat*, move the temperature by the losses on labels alone.

        The whole loss moves with the temperature, which would follow its own steps. Where labels do not hold, the loss
        on them says nothing of the training.

        Args:
            blocks: mean losses of an epoch's blocks.
            gap: the student's mean loss less its teacher's.
        """
        self.epoch += 1
        if heat is not None:
            self.temperatures.append(heat)
            if not labels_hold:
                self.temperature = skip(self.temperature)
            elif math.isfinite(sum(blocks)):
                self.temperature = advance(self.temperature, blocks, gap())

    def note(self, loss: float, accuracy: float) -> None:
        """Keep what an epoch gave: the mean loss that was trained on, and the score on validation rows."""
        self.losses.append(loss)
        self.accuracies.append(accuracy)

    def offer(self, accuracy: float, loss: float, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Keep the *weights* of the epoch if they are the best on validation rows so far."""
        if (accuracy, -loss) > (self.best["accuracy"], -self.best["loss"]):
            self.best = {"accuracy": accuracy, "loss": loss, "epoch": self.epoch, "weights": weights()}


class Training:
    """One training: its module, what it learns from, and how far it is."""

    def __init__(self, module: nn.Module, lesson: Lesson, settings: Settings, seed: int, plan: StepPlan) -> None:
        self.objective: Objective = objective_of(lesson, settings)
        if self.objective.features is not None:
            plan = replace(plan, compiled=False)  # taps are hooks, which a compiled module passes over
        self.lesson, self.settings, self.seed, self.plan = lesson, settings, seed, plan
        device = lesson.labels.device
        self.module = module.to(device)
        # The same weights, as a step computes them: a compiled module has names of its own for what is saved.
        self.student = prepared(self.module, plan)
        self.tap, self.adaptor = "", nn.Identity()
        if self.objective.features is not None:
            example = lesson.inlet.open(lesson.validation[:2])
            self.tap, own = tap_of(self.module, example, settings.student_tap, "student")
            shapes = own, tuple(lesson.maps[0].shape[1:])
            check_shapes(self.objective.features, *shapes)
            self.adaptor = self.objective.features.adaptor(*shapes, seed).to(device)  # type: ignore[assignment]
        # One container, so that an adaptor learns with the student and is saved with it.
        self.parts = nn.ModuleDict({"student": self.module, "adaptor": self.adaptor})
        self.optimizer = _optimizer(self.parts, settings, plan)
        self.on_labels = torch.zeros((), device=device)
        self.recorded: tuple[float, CapturedStep] | None = None
        self.teacher_losses: dict[int, float] = {}
        self.progress = Progress(temperature=first_state(settings.schedule, settings.temperature, settings.epochs))

    def restore(self, path: Path) -> None:
        """Go on where the state at *path* was left."""
        state = torch.load(path, map_location=self.lesson.labels.device, weights_only=True)
        self.parts.load_state_dict(state["parts"])
        self.optimizer.load_state_dict(state["optimizer"])
        align_state(self.optimizer)
        self.progress = Progress.of_state(state)

    def save(self, path: Path) -> None:
        """Write all that decides how the training goes on."""
        own = {"parts": _copied(self.parts), "optimizer": self.optimizer.state_dict()}
        write_state(own | self.progress.as_state(), path)

    def run_epoch(self) -> float:
        """Go once over one view; return the mean loss. Order and draws follow from seed and epoch alone."""
        lesson, settings, objective, progress = self.lesson, self.settings, self.objective, self.progress
        epoch, device, rows = progress.epoch, lesson.labels.device, len(lesson.labels)
        draw, view = self.seed * 100_003 + epoch, lesson.view_of(epoch)
        steps = max(1, rows // settings.batch)
        lengths = lesson.inlet.lengths(lesson.views[view])
        order = epoch_order(rows, settings.batch, None if lengths is None else lengths.cpu(), draw).to(device)
        heat = temperature(progress.temperature)
        kept = objective.kept_guides(steps, draw + 1)
        losses, on_labels = torch.zeros(2, steps, device=device)
        self.parts.train()
        torch.manual_seed(draw)
        rates = [
            learning_rate(epoch * steps + n, steps * settings.epochs, settings.learning_rate) for n in range(steps)
        ]
        for number, (rows_B, features) in enumerate(
            batches(lesson.inlet, lesson.views[view], order, settings.batch, self.plan)
        ):
            if self.can_record(view):
                losses[number], on_labels[number] = self.replay(features, rows_B, view, heat, rates[number])
                continue
            for group in self.optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rates[number])
                else:
                    group["lr"] = rates[number]
            loss, labels = self.loss(features, rows_B, view, kept[number], heat)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.parts.parameters(), LONGEST_GRADIENT)
            self.optimizer.step()
            losses[number], on_labels[number] = loss.detach(), labels.detach()
        blocks = [float(block.mean()) for block in torch.tensor_split(on_labels, min(BLOCKS, steps))]
        progress.end_epoch(
            heat if lesson.guides else None,
            blocks,
            lambda: float(on_labels.mean()) - self.teacher_loss(view),
            labels_hold=lesson.labels_hold(view),
        )
        return float(losses.mean())

    def can_record(self, view: int) -> bool:
        """Tell whether all steps over a *view* are the same kernels, so that one recording serves them."""
        lesson = self.lesson
        plain = lesson.reference is None and not lesson.maps and lesson.mixes[view] is None and lesson.labels_hold(view)
        method = self.objective.method
        return self.plan.cuda_graph and plain and len(lesson.guides) < 2 and (method is None or method.recordable)

    def replay(self, features: Tensor, rows_B: Tensor, view: int, heat: float, rate: float) -> tuple[Tensor, Tensor]:
        """Do one recorded step; the recording is made anew when the temperature, a number in it, has changed."""
        lesson, settings, objective = self.lesson, self.settings, self.objective
        guides = tuple(guide[view][rows_B] for guide in lesson.guides)
        inputs = (features, lesson.labels[rows_B], *guides)
        if self.recorded is None or self.recorded[0] != heat:

            def loss_of(features: Tensor, labels_B: Tensor, *guides: Tensor) -> Tensor:
                student_BK = forward(self.student, features, self.plan)
                labels = label_loss(student_BK, labels_B, settings.label_smoothing)
                self.on_labels.copy_(labels.detach())
                loss = settings.ce_weight * labels
                if objective.method is not None:
                    loss = loss + settings.kd_weight * objective.method.loss(student_BK, guides[0], labels_B, heat)
                return loss

            step = captured_step(self.parts, self.optimizer, loss_of, inputs, longest_gradient=LONGEST_GRADIENT)
            self.recorded = (heat, step)
        return self.recorded[1](*inputs, rate=rate), self.on_labels

    def loss(self, features: Tensor, rows_B: Tensor, view: int, kept: list[int], heat: float) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch, and its part on labels alone."""
        objective, settings = self.objective, self.settings
        if objective.features is None:
            student_BK = forward(self.student, features, self.plan)
        else:
            with tapped(self.module, (self.tap,)) as read:
                student_BK = forward(self.student, features, self.plan)
                student_maps = read()[self.tap]
        labels = objective.labels(student_BK, rows_B, view)
        loss = objective.ce_weight(view) * labels
        if objective.features is not None:
            maps = self.lesson.maps[view][rows_B].float()
            compared = objective.features.loss(self.adaptor(student_maps.float()), maps)
            loss = loss + settings.kd_weight * objective.features.weight * compared
        elif objective.method is not None:
            loss = loss + settings.kd_weight * objective.guidance(student_BK, rows_B, view, kept, heat)
        if self.lesson.reference is not None:
            loss = loss + objective.earlier(student_BK, rows_B, view, heat)
        return loss, labels

    def teacher_loss(self, view: int) -> float:
        """Return the nearest guide's loss on the labels of a view: one number, however often it is asked."""
        if view not in self.teacher_losses:
            every = torch.arange(len(self.lesson.labels), device=self.lesson.labels.device)
            self.teacher_losses[view] = float(self.objective.labels(self.lesson.guides[0][view], every, view))
        return self.teacher_losses[view]

    def validate(self) -> float:
        """Keep the weights if they are the best on validation rows so far; return the score, NaN without answers."""
        lesson = self.lesson
        logits = predict(self.module, lesson, lesson.validation)
        if not bool(logits.isfinite().all()):
            # The last step of an epoch can do this while the epoch's mean loss is still finite.
            return math.nan
        accuracy, loss = judged(logits, lesson.validation_labels)
        self.progress.offer(accuracy, loss, lambda: _copied(self.module))
        return accuracy

    def finish(self) -> Tensor:
        """Give the module the best epoch's weights; return its logits [N, K] on the validation rows."""
        self.module.load_state_dict(self.progress.best["weights"])
        return predict(self.module, self.lesson, self.lesson.validation)
