"""What holds a student near its own earlier self, row by row, by how sure the teacher is (SMSKD, arXiv 2601.15657)."""

# Shape suffixes: N = batch, K = classes.

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from hpmkd_edge.distill.stages import WEIGHTINGS
from hpmkd_edge.errors import unknown

# Far below what tells two rows apart; where all weights are below it, they become equal instead of noise.
TINY: Final = 1e-6


def true_class_probability(teacher_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Return c, float32 [N]: what a teacher with these logits gives to each row's label."""
    return torch.softmax(teacher_NK.float(), 1).gather(1, labels_N[:, None]).squeeze(1)


def reference_weights(teacher_NK: Tensor, labels_N: Tensor, weighting: str) -> Tensor:
    """Return w, float32 [N], of mean 1 and without gradient.

    "inverse" is `1 − c`: where the teacher is sure the student is free to move. "tcp" is c, and "uniform" is 1.

    Raises:
        BadConfiguration: there is no such *weighting*.
    """
    if weighting not in WEIGHTINGS:
        raise unknown("weighting", weighting, WEIGHTINGS)
    with torch.no_grad():
        if weighting == "tcp":
            raw_N = true_class_probability(teacher_NK, labels_N)
        elif weighting == "inverse":
            # The other classes' sum: for a sure teacher 1 − c would be nothing but rounding.
            raw_N = torch.softmax(teacher_NK.float(), 1).scatter(1, labels_N[:, None], 0.0).sum(1)
        else:
            raw_N = torch.ones(len(labels_N), device=teacher_NK.device)
        return (raw_N + TINY) / (raw_N + TINY).mean()


def reference_loss(student_NK: Tensor, reference_NK: Tensor, weights_N: Tensor | None, temperature: float) -> Tensor:
    """`(1/N) Σ w_i · T² · KL(softmax_T(reference_i) ‖ softmax_T(student_i))`, float32.

    No gradient reaches the reference or the weights.

    Args:
        reference_NK: logits of the student's frozen copy at the end of the stage before.
        weights_N: of `reference_weights`, or None for equal ones where a teacher has no logits.
    """
    student = functional.log_softmax(student_NK.float() / temperature, 1)
    reference = functional.log_softmax(reference_NK.detach().float() / temperature, 1)
    rows_N = functional.kl_div(student, reference, reduction="none", log_target=True).sum(1)
    if weights_N is not None:
        rows_N = weights_N.detach() * rows_N
    return rows_N.mean() * temperature**2
