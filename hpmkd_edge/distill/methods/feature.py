"""Losses on features of one row at a time, and what an entry of the table of losses on features is."""

# Shape suffixes: N = batch, C = channels, H = height, W = width, P = places (H · W).

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpmkd_edge.students.rungs import build_seeded

TINY: Final = 1e-12  # beside a sum of fourth powers


def over_same_places(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Return both as maps [N, C, H, W] over the same places, the larger averaged to the smaller's sides.

    A vector [N, C] is a map of one place.
    """
    student, teacher = (
        features if features.ndim == 4 else features[:, :, None, None] for features in (student, teacher)
    )
    sides = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return functional.adaptive_avg_pool2d(student, sides), functional.adaptive_avg_pool2d(teacher, sides)


def hint(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean square between adapted features and the teacher's (FitNets: Romero et al. 2015, arXiv 1412.6550, Eq. 3)."""
    return functional.mse_loss(*over_same_places(student, teacher))


def attention(features_NCHW: Tensor) -> Tensor:
    """Return where a map is active, as unit vectors [N, P]: its mean square over channels, over the norm."""
    energy_NP = features_NCHW.square().mean(1).flatten(1)
    # Under the root: a map without any activity must not send a huge gradient.
    return energy_NP / (energy_NP.square().sum(1, keepdim=True) + TINY).sqrt()


def attention_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over rows of `‖Qs/‖Qs‖ − Qt/‖Qt‖‖²` (Zagoruyko & Komodakis 2017, arXiv 1612.03928, §3.1)."""
    student_NCHW, teacher_NCHW = over_same_places(student, teacher)
    return (attention(student_NCHW) - attention(teacher_NCHW)).square().sum(1).mean()


def unreadable(student_shape: tuple[int, ...], teacher_shape: tuple[int, ...]) -> str | None:
    """Return why one of the shapes is neither a vector's nor a map's, or None."""
    for whose, shape in (("student", student_shape), ("teacher", teacher_shape)):
        if len(shape) not in (1, 3):
            return f"the {whose}'s features {list(shape)} are neither vectors [C] nor maps [C, H, W]"
    return None


def without_attention(student_shape: tuple[int, ...], teacher_shape: tuple[int, ...]) -> str | None:
    """Return why the shapes have no attention to compare, or None: maps of any sides have."""
    for whose, shape in (("student", student_shape), ("teacher", teacher_shape)):
        if len(shape) != 3:
            return f"the {whose}'s features {list(shape)} are no maps [C, H, W], and attention is over places"
    if prod(map(min, student_shape[1:], teacher_shape[1:])) == 1:
        shapes = f"{list(student_shape)} and {list(teacher_shape)}"
        return f"maps {shapes} have one place in common, where attention is always 1: its gradient is zero"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureLoss:
    """A loss on features, as an entry of the table.

    Attributes:
        weight: chosen so that an untrained student's gradient is about as long as the cross-entropy's (measured on
            8×8 digits). Papers let theirs weigh more: 25 for RKD's and 3000 for SP's.
        formula: student [N, …] and teacher [N, …], float32, to a scalar.
        refuses: from the shapes of one row to why they cannot be compared, or None.
        adapts: whether the student's channels must become as many as the teacher's.
    """

    name: str
    weight: float
    formula: Callable[[Tensor, Tensor], Tensor]
    refuses: Callable[[tuple[int, ...], tuple[int, ...]], str | None]
    adapts: bool = False

    def adaptor(self, student_shape: tuple[int, ...], teacher_shape: tuple[int, ...], seed: int) -> nn.Module:
        """Return a 1×1 convolution (for a vector a linear layer) to the teacher's channels, where it takes one."""
        channels, wanted = student_shape[0], teacher_shape[0]
        if not self.adapts or channels == wanted:
            return nn.Identity()
        if len(student_shape) == 1:
            return build_seeded(partial(nn.Linear, channels, wanted), seed)
        return build_seeded(partial(nn.Conv2d, channels, wanted, 1), seed)

    def loss(self, student_features: Tensor, teacher_features: Tensor) -> Tensor:
        """Return the batch's mean loss."""
        # Autocast would multiply matrices in half precision, where the similarities of near rows are all alike.
        with torch.autocast(student_features.device.type, enabled=False):
            return self.formula(student_features.float(), teacher_features.detach().float())


FEATURES: Final = (
    FeatureLoss(name="fitnet", weight=1.0, formula=hint, refuses=unreadable, adapts=True),
    FeatureLoss(name="at", weight=1.0, formula=attention_transfer, refuses=without_attention),
)
