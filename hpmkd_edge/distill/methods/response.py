"""Losses on logits. Computed in float32; a KL is a batch mean of the sum over classes."""

# Shape suffixes: N = batch, K = classes.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def soft_kl(student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> Tensor:
    """`T² · KL(softmax_T(teacher) ‖ softmax_T(student))` (Hinton et al. 2015, arXiv 1503.02531, §2)."""
    student = functional.log_softmax(student_NK.float() / temperature, dim=1)
    teacher = functional.log_softmax(teacher_NK.float() / temperature, dim=1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def centered_mse(student_NK: Tensor, teacher_NK: Tensor) -> Tensor:
    """Mean square between logits, each row less its mean: softmax does not see a row's shift, nor should the loss."""
    student = student_NK.float() - student_NK.float().mean(1, keepdim=True)
    teacher = teacher_NK.float() - teacher_NK.float().mean(1, keepdim=True)
    return functional.mse_loss(student, teacher)


def mean_correlation(a_NK: Tensor, b_NK: Tensor, dim: int) -> Tensor:
    """Mean Pearson correlation of two matrices along *dim*."""
    a = a_NK - a_NK.mean(dim, keepdim=True)
    b = b_NK - b_NK.mean(dim, keepdim=True)
    return functional.cosine_similarity(a, b, dim=dim, eps=1e-8).mean()


def dist(student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> Tensor:
    """`τ² · [(1 − mean corr over classes) + (1 − mean corr over the batch)]` (Huang et al. 2022, arXiv 2205.10536)."""
    student = torch.softmax(student_NK.float() / temperature, dim=1)
    teacher = torch.softmax(teacher_NK.float() / temperature, dim=1)
    inter = 1 - mean_correlation(student, teacher, dim=1)
    intra = 1 - mean_correlation(student, teacher, dim=0)
    return (inter + intra) * temperature**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Kd:
    """Hinton's loss."""

    name: str = "kd"

    def refuses(self, classes: int) -> str | None:  # noqa: ARG002
        return None

    def loss(self, student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> Tensor:
        return soft_kl(student_NK, teacher_NK, temperature)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitMse:
    """Mean square of centered logits; it has no temperature."""

    name: str = "logit_mse"

    def refuses(self, classes: int) -> str | None:  # noqa: ARG002
        return None

    def loss(self, student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> Tensor:  # noqa: ARG002
        return centered_mse(student_NK, teacher_NK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dist:
    """Relations between and within classes."""

    name: str = "dist"

    def refuses(self, classes: int) -> str | None:
        if classes == 2:
            return "the correlation of two probabilities that sum to 1 is always ±1, so its gradient is zero"
        return None

    def loss(self, student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> Tensor:
        return dist(student_NK, teacher_NK, temperature)
