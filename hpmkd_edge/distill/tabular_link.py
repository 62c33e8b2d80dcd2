"""Train a perceptron on a table by the compiled loops of `kernels`: no Python and no call a batch."""

# Shape suffixes: N = rows, S = steps, K = classes, G = guides, P = parameters.

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.objective import judged, objective_of
from hpmkd_edge.distill.step import LONGEST_GRADIENT
from hpmkd_edge.distill.temperature import first_state, temperature
from hpmkd_edge.distill.training import BLOCKS, Progress, learning_rate, write_state
from hpmkd_edge.kernels.losses import METHODS, Guidance, soft_targets
from hpmkd_edge.kernels.perceptron import Perceptron, logits, train_epoch
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.students.inlet import TableInlet
from hpmkd_edge.students.mlp import linear_layers

MOST_KEPT: Final = 16  # views and temperatures for which one guide's targets are kept from epoch to epoch


def may_compile(lesson: Lesson, settings: Settings) -> bool:
    """Tell whether the compiled loops can teach *lesson* by *settings*: a table on the CPU, by AdamW and by logits."""
    # An earlier student is held on to by KD, so that it is one more guide of KD, and of nothing else.
    joined = lesson.reference is None or (settings.method == "kd" and bool(lesson.guides))
    return (
        isinstance(lesson.inlet, TableInlet)
        and lesson.labels.device.type == "cpu"
        and settings.optimizer == "adamw"
        and not lesson.maps
        and not any(lesson.mixes)
        and (settings.method in METHODS or not lesson.guides)
        and joined
    )


class TabularTraining:
    """One training of a perceptron, with the face of `training.Training`; both end alike, up to rounding."""

    def __init__(self, module: nn.Module, lesson: Lesson, settings: Settings, seed: int) -> None:
        self.module, self.lesson, self.settings, self.seed = module.cpu(), lesson, settings, seed
        self.objective = objective_of(lesson, settings)
        layers = linear_layers(module)
        widths = np.array([layers[0].in_features, *(layer.out_features for layer in layers)], np.int64)
        self.network = Perceptron(widths=widths, weights=_flat(module))
        self.labels_N = lesson.labels.numpy()
        self.guidance: dict[tuple[int, float], Guidance] = {}
        self.teacher_losses: dict[int, float] = {}
        self.progress = Progress(temperature=first_state(settings.schedule, settings.temperature, settings.epochs))

    def restore(self, path: Path) -> None:
        """Go on where the state at *path* was left."""
        state = torch.load(path, weights_only=True)
        vectors = {name: state[name].numpy() for name in ("weights", "first", "second")}
        self.network = Perceptron(widths=self.network.widths, taken=state["taken"], **vectors)
        self.progress = Progress.of_state(state)

    def save(self, path: Path) -> None:
        """Write all that decides how the training goes on."""
        own = {name: torch.from_numpy(getattr(self.network, name)) for name in ("weights", "first", "second")}
        write_state(own | {"taken": self.network.taken} | self.progress.as_state(), path)

    def run_epoch(self) -> float:
        """Go once over one view; return the mean loss. Order and draws follow from seed and epoch alone."""
        lesson, settings, progress = self.lesson, self.settings, self.progress
        epoch, rows = progress.epoch, len(self.labels_N)
        draw, view, heat = self.seed * 100_003 + epoch, lesson.view_of(epoch), temperature(progress.temperature)
        steps = max(1, rows // settings.batch)
        order_N = torch.randperm(rows, generator=torch.Generator().manual_seed(draw)).numpy()
        rates = [
            learning_rate(epoch * steps + n, steps * settings.epochs, settings.learning_rate) for n in range(steps)
        ]
        loss = train_epoch(
            self.network,
            lesson.views[view].numpy(),
            self.labels_N,
            self._guidance(view, heat, order_N, self.objective.kept_guides(steps, draw + 1)),
            order_N,
            np.array(rates, np.float32),
            batch=settings.batch,
            ce_weight=self.objective.ce_weight(view),
            label_smoothing=settings.label_smoothing,
            weight_decay=settings.weight_decay,
            longest_gradient=LONGEST_GRADIENT,
        )
        progress.end_epoch(
            heat if lesson.guides else None,
            loss.blocks(BLOCKS),
            lambda: float(loss.on_labels.mean()) - self._teacher_loss(view),
            labels_hold=lesson.labels_hold(view),
        )
        return loss.mean

    def _guidance(self, view: int, heat: float, order_N: NDArray[np.int64], kept: list[list[int]]) -> Guidance | None:
        """Return all guides of a *view*, and the earlier student, as one; a guide left out of a step weighs nothing."""
        if not self.lesson.guides:
            return None
        if len(self.lesson.guides) > 1:
            return self._folded(view, heat, self._heard(order_N, kept))
        if (view, heat) not in self.guidance:
            if len(self.guidance) == MOST_KEPT:  # a temperature that moves comes to no epoch twice
                self.guidance.clear()
            always_1N = np.full((1, len(self.labels_N)), self.settings.kd_weight, np.float32)
            self.guidance[view, heat] = self._folded(view, heat, always_1N)
        return self.guidance[view, heat]

    def _heard(self, order_N: NDArray[np.int64], kept: list[list[int]]) -> NDArray[np.float32]:
        """Return what each guide's rows weigh, [G, N], where a step hears only those that are *kept* for it."""
        rows, batch = len(self.labels_N), min(self.settings.batch, len(self.labels_N))
        weights_GN = np.zeros((len(self.lesson.guides), rows), np.float32)
        for step, heard in enumerate(kept):
            rows_B = order_N[step * batch : (step + 1) * batch]
            for guide in heard:
                weights_GN[guide, rows_B] = self.settings.kd_weight / len(heard)
        return weights_GN

    def _folded(self, view: int, heat: float, weights_GN: NDArray[np.float32]) -> Guidance:
        """Return the guides with their rows' weights, and the earlier student if there is one, as one guide."""
        lesson = self.lesson
        answers, weights = [guide[view].numpy() for guide in lesson.guides], list(weights_GN)
        if lesson.reference is not None:
            answers.append(lesson.reference.logits[view].numpy())
            weights.append(lesson.reference.weights[view].numpy() * np.float32(lesson.reference.strength))
        return soft_targets(answers, weights, method=self.settings.method, temperature=heat)

    def _teacher_loss(self, view: int) -> float:
        """Return the nearest guide's loss on the labels of a view: one number, however often it is asked."""
        if view not in self.teacher_losses:
            every = torch.arange(len(self.labels_N))
            self.teacher_losses[view] = float(self.objective.labels(self.lesson.guides[0][view], every, view))
        return self.teacher_losses[view]

    def answers(self, stored: Tensor) -> Tensor:
        """Return the logits [N, K] for stored rows."""
        return torch.from_numpy(logits(self.network.weights, self.network.widths, stored.numpy()))

    def validate(self) -> float:
        """Keep the weights if they are the best on validation rows so far; return the score, NaN without answers."""
        answers_NK, labels_N = self.answers(self.lesson.validation), self.lesson.validation_labels
        if not bool(answers_NK.isfinite().all()):
            return math.nan
        accuracy, loss = judged(answers_NK, labels_N)
        self.progress.offer(accuracy, loss, self._weights)
        return accuracy

    def _weights(self) -> dict[str, Tensor]:
        vector_to_parameters(torch.from_numpy(self.network.weights.copy()), self.module.parameters())
        return {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def finish(self) -> Tensor:
        """Give the module the best epoch's weights; return its logits [N, K] on the validation rows."""
        self.module.load_state_dict(self.progress.best["weights"])
        self.network.weights[:] = _flat(self.module)
        return self.answers(self.lesson.validation)


def _flat(module: nn.Module) -> NDArray[np.float32]:
    """Return a copy of all weights: float32 [P]."""
    return np.array(parameters_to_vector(module.parameters()).detach().numpy(), np.float32)
