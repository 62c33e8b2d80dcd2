"""Losses on logits. Computed in float32; a KL is a batch mean of the sum over classes."""

# Shape suffixes: N = batch, K = classes.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

# Weights of DKD's two terms: Zhao et al. use α = 1 and, from 2 to 8, a β by teacher; the middle of it.
DKD_ALPHA: Final = 1.0
DKD_BETA: Final = 4.0
TINY: Final = 1e-8
# The one loss between values.
SQUARES: Final = "squares"


def soft_kl(student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> Tensor:
    """`T² · KL(softmax_T(teacher) ‖ softmax_T(student))` (Hinton et al. 2015, arXiv 1503.02531, §2)."""
    student = functional.log_softmax(student_NK.float() / temperature, dim=1)
    teacher = functional.log_softmax(teacher_NK.float() / temperature, dim=1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def centered_mse(student_NK: Tensor, teacher_NK: Tensor) -> Tensor:
    """Mean square between logits, each row less its mean: softmax does not see a row's shift, nor should the loss."""
    return functional.mse_loss(_centered(student_NK.float(), 1), _centered(teacher_NK.float(), 1))


def brier(student_NK: Tensor, teacher_NK: Tensor) -> Tensor:
    """Mean over rows of the squared distance of the probabilities (Brier 1950)."""
    return (torch.softmax(student_NK.float(), 1) - torch.softmax(teacher_NK.float(), 1)).square().sum(1).mean()


def dist(student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> Tensor:
    """`τ² · [(1 − mean corr over classes) + (1 − mean corr over the batch)]` (Huang et al. 2022, arXiv 2205.10536)."""
    student = torch.softmax(student_NK.float() / temperature, dim=1)
    teacher = torch.softmax(teacher_NK.float() / temperature, dim=1)
    inter = 1 - mean_correlation(student, teacher, dim=1)
    intra = 1 - mean_correlation(student, teacher, dim=0)
    return (inter + intra) * temperature**2


def mean_correlation(a_NK: Tensor, b_NK: Tensor, dim: int) -> Tensor:
    """Mean Pearson correlation of two matrices along *dim*."""
    a, b = _centered(a_NK, dim), _centered(b_NK, dim)
    # Under the root: a row of equal numbers correlates with nothing, and must not send a huge gradient.
    norms = ((a.square().sum(dim) + TINY) * (b.square().sum(dim) + TINY)).sqrt()
    return ((a * b).sum(dim) / norms).mean()


def dkd(student_NK: Tensor, teacher_NK: Tensor, labels_N: Tensor, temperature: float) -> Tensor:
    """`T² · (α·TCKD + β·NCKD)`: true class against the rest, and the rest among itself (Zhao et al. 2022).

    arXiv 2203.08679, Eq. 7. The parts are kept apart, so that a sure teacher's word on the other classes still counts.
    """
    target_NK = functional.one_hot(labels_N, student_NK.shape[1]).bool()
    student, teacher = student_NK.float() / temperature, teacher_NK.float() / temperature

    def pair(logits_NK: Tensor) -> Tensor:
        others = logits_NK.masked_fill(target_NK, -torch.inf).logsumexp(1)
        return functional.log_softmax(torch.stack([logits_NK[target_NK], others], 1), 1)

    def rest(logits_NK: Tensor) -> Tensor:
        kept = logits_NK[~target_NK].view(len(logits_NK), -1)
        return functional.log_softmax(kept, 1)

    parts = (functional.kl_div(of(student), of(teacher), reduction="batchmean", log_target=True) for of in (pair, rest))
    target, others = parts
    return (DKD_ALPHA * target + DKD_BETA * others) * temperature**2


def standardized_kl(student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> Tensor:
    """KD on logits standardized row by row: relations count, not scale (Sun et al. 2024, arXiv 2403.01427)."""

    def standard(logits_NK: Tensor) -> Tensor:
        centered = _centered(logits_NK.float(), 1)
        # Under the root: at equal logits the root itself has an infinite slope.
        return centered / (centered.square().mean(1, keepdim=True) + TINY).sqrt()

    return soft_kl(standard(student_NK), standard(teacher_NK), temperature)


def transformed_teacher(student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> Tensor:
    """WTTM: `mean of w · KL(p_T ‖ q)`, the teacher alone softened (Zheng & Yang 2024, arXiv 2402.11148).

    `w = Σ_k p_k^(1/T)` is large where the teacher is unsure.
    """
    teacher = teacher_NK.float()
    softened = functional.log_softmax(teacher / temperature, 1)
    weights_N = (functional.log_softmax(teacher, 1) / temperature).exp().sum(1)
    rows_N = functional.kl_div(
        functional.log_softmax(student_NK.float(), 1), softened, reduction="none", log_target=True
    ).sum(1)
    return (weights_N * rows_N).mean()


def _centered(matrix: Tensor, dim: int) -> Tensor:
    return matrix - matrix.mean(dim, keepdim=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A loss on logits, as an entry of the table.

    Attributes:
        formula: student [N, K], teacher [N, K], labels [N] and temperature to a scalar.
        blind_to_two: why it has no gradient for two classes, or None where it has one.
        recordable: whether a CUDA graph can hold it: shapes must not depend on values.
    """

    name: str
    formula: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    blind_to_two: str | None = None
    recordable: bool = True

    def refuses(self, classes: int) -> str | None:
        """Return why the loss has no gradient for so many classes, or None; with fewer than 2, values are learned."""
        if classes < 2:
            return None if self.name == SQUARES else "it compares classes"
        if self.name == SQUARES:
            return "it compares values"
        return self.blind_to_two if classes == 2 else None

    def loss(self, student_NK: Tensor, teacher_NK: Tensor, labels_N: Tensor, temperature: float) -> Tensor:
        """Return the batch's mean loss."""
        return self.formula(student_NK, teacher_NK, labels_N, temperature)


RESPONSES: Final = (
    Response(name="kd", formula=lambda s, t, _, T: soft_kl(s, t, T)),
    Response(name="logit_mse", formula=lambda s, t, _, __: centered_mse(s, t)),
    Response(name="brier", formula=lambda s, t, _, __: brier(s, t)),
    Response(
        name="dist",
        formula=lambda s, t, _, T: dist(s, t, T),
        blind_to_two="the correlation of two probabilities that sum to 1 is always ±1, so its gradient is zero",
    ),
    Response(
        name="dkd",
        formula=dkd,
        recordable=False,
        blind_to_two="of two classes only one is not the true one, so its part on the others has no gradient",
    ),
    Response(
        name="lskd",
        formula=lambda s, t, _, T: standardized_kl(s, t, T),
        blind_to_two="two standardized logits are always 1 and −1, so its gradient is zero",
    ),
    Response(name=SQUARES, formula=lambda s, t, _, __: (s.float() - t.float()).square().mean()),
    Response(name="wttm", formula=lambda s, t, _, T: transformed_teacher(s, t, T)),
)
