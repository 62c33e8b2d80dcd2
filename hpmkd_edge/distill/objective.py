"""The loss of a training: labels, guides, features and an earlier stage, as its settings weigh them."""

# Shape suffixes: B = batch, K = classes, G = guides.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.methods.method import FeatureMethod, Method
from hpmkd_edge.distill.methods.table import find_feature_method, find_method, is_feature_method
from hpmkd_edge.distill.reference import reference_loss
from hpmkd_edge.plan.settings import Settings


def label_loss(student_BK: Tensor, labels_B: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy with classes; with values, which are floats, the mean squared distance."""
    if labels_B.is_floating_point():
        return functional.mse_loss(student_BK[:, 0], labels_B)
    return functional.cross_entropy(student_BK, labels_B, label_smoothing=smoothing)


def judged(answers_NK: Tensor, labels_N: Tensor) -> tuple[float, float]:
    """Return the accuracy, or the R² of values, and the loss on labels."""
    loss = float(label_loss(answers_NK, labels_N))
    if labels_N.is_floating_point():
        return 1 - loss / float(labels_N.double().var(correction=0)), loss
    return float((answers_NK.argmax(1) == labels_N).double().mean()), loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """`ce_weight · CE + kd_weight · method + λ_r · reference` over batches of one lesson.

    Where values are learned, CE is the squared distance from them.

    Where a view's labels do not hold, its CE is a gauge of the student and of its teacher alike, and has no weight.

    Attributes:
        method: on logits, or None where nobody teaches by logits.
        features: on features, or None.
    """

    lesson: Lesson
    settings: Settings
    method: Method | None
    features: FeatureMethod | None

    def ce_weight(self, view: int) -> float:
        """Return the weight of the cross-entropy: none where the rows of a *view* may not have their labels."""
        return self.settings.ce_weight if self.lesson.labels_hold(view) else 0.0

    def labels(self, student_BK: Tensor, rows_B: Tensor, view: int) -> Tensor:
        """Return the loss on labels, each mixed row's shared between its two."""
        smoothing, mix = self.settings.label_smoothing, self.lesson.mixes[view]
        labels_B = self.lesson.labels[rows_B]
        if mix is None:
            return label_loss(student_BK, labels_B, smoothing)
        own, other = (
            functional.cross_entropy(student_BK, labels, label_smoothing=smoothing, reduction="none")
            for labels in (labels_B, mix.labels[rows_B])
        )
        share = mix.share[rows_B]
        return (share * own + (1 - share) * other).mean()

    def guidance(self, student_BK: Tensor, rows_B: Tensor, view: int, kept: list[int], temperature: float) -> Tensor:
        """Return the mean loss over the *kept* guides (dense guidance; HPM-KD, arXiv 2512.09886)."""
        assert self.method is not None
        losses = []
        for guide in kept:
            teacher_BK = self.lesson.guides[guide][view][rows_B]
            # A loss that sets a row's class apart needs one that is true of the row.
            labels_B = self.lesson.labels[rows_B] if self.lesson.labels_hold(view) else teacher_BK.argmax(1)
            losses.append(self.method.loss(student_BK, teacher_BK, labels_B, temperature))
        return torch.stack(losses).mean() if len(losses) > 1 else losses[0]

    def earlier(self, student_BK: Tensor, rows_B: Tensor, view: int, temperature: float) -> Tensor:
        """Return the weighted distance from the student of the stage before (SMSKD, arXiv 2601.15657)."""
        reference = self.lesson.reference
        assert reference is not None
        loss = reference_loss(student_BK, reference.logits[view][rows_B], reference.weights[view][rows_B], temperature)
        return reference.strength * loss

    def kept_guides(self, steps: int, seed: int) -> list[list[int]]:
        """Draw for each of *steps* which guides are heard: each is left out with its probability, never all at once."""
        count = len(self.lesson.guides)
        if count < 2 or self.method is None:
            return [list(range(count))] * steps
        draws = torch.rand(steps, count, generator=torch.Generator().manual_seed(seed))
        heard = (draws >= self.settings.guidance_drop).tolist()
        return [[guide for guide in range(count) if row[guide]] or list(range(count)) for row in heard]


def objective_of(lesson: Lesson, settings: Settings) -> Objective:
    """Return the objective that *settings* name for *lesson*.

    Raises:
        BadConfiguration: the method is unknown, or has no gradient for so many classes.
    """
    if is_feature_method(settings.method) and lesson.maps:
        return Objective(lesson=lesson, settings=settings, method=None, features=find_feature_method(settings.method))
    method = find_method(settings.method, lesson.guides[0][0].shape[1]) if lesson.guides else None
    return Objective(lesson=lesson, settings=settings, method=method, features=None)
