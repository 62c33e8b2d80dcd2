"""Losses on how the rows of a batch relate to each other: features of any width compare."""

# Shape suffixes: N = batch, C = channels, F = features.

from __future__ import annotations

from typing import Final

from torch import Tensor
from torch.nn import functional

from hpmkd_edge.distill.methods.feature import FeatureLoss, unreadable

# Park et al. weigh angles twice as much as distances (25 and 50 for classification).
DISTANCE_WEIGHT: Final = 1.0
ANGLE_WEIGHT: Final = 2.0
# N rows have N³ angles between N² directions of C numbers: of 256 rows and 512 channels 134 MB for the directions
# alone, four times over with gradients; of 64 rows 8 MB. Batches are drawn anew, so the first rows are a sample.
ANGLE_ROWS: Final = 64
TINY: Final = 1e-8


def vectors(features: Tensor) -> Tensor:
    """Return features as vectors [N, C]: maps by their means over places, as a pooled embedding has them."""
    return features.mean((2, 3)) if features.ndim == 4 else features


def relative_distances(vectors_NC: Tensor) -> Tensor:
    """Return the distances of the pairs i < j over their mean, [N (N − 1) / 2]."""
    distances = functional.pdist(vectors_NC)
    return distances / (distances.mean() + TINY)


def angles(vectors_NC: Tensor) -> Tensor:
    """Return the cosines of the angles at row j between rows i and k, [j, i, k]; 0 where i or k is j."""
    towards_NNC = vectors_NC[None] - vectors_NC[:, None]
    # Under the root: two equal rows have no direction, and must not send a huge gradient.
    towards_NNC = towards_NNC / (towards_NNC.square().sum(2, keepdim=True) + TINY).sqrt()
    return towards_NNC @ towards_NNC.mT


def rkd(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss on relative distances and, twice, on angles (Park et al. 2019, arXiv 1904.05068, §3.2).

    Means over pairs, and over triples of different rows; angles of the first 64 rows. One row has no relations: 0.
    """
    student_NC, teacher_NC = vectors(student), vectors(teacher)
    pairs = functional.huber_loss(relative_distances(student_NC), relative_distances(teacher_NC), reduction="sum")
    rows = min(len(student_NC), ANGLE_ROWS)
    triples = functional.huber_loss(angles(student_NC[:rows]), angles(teacher_NC[:rows]), reduction="sum")
    count = len(student_NC)
    distance = pairs / max(1, count * (count - 1) // 2)
    angle = triples / max(1, rows * (rows - 1) * (rows - 2))
    return DISTANCE_WEIGHT * distance + ANGLE_WEIGHT * angle


def similarities(features: Tensor) -> Tensor:
    """Return the products of all pairs of rows, flattened, each line over its norm: [N, N]."""
    flat_NF = features.flatten(1)
    products_NN = flat_NF @ flat_NF.T
    return products_NN / (products_NN.square().sum(1, keepdim=True) + TINY**2).sqrt()


def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    """`‖Gs − Gt‖² / N²` of the row-normalized similarities (Tung & Mori 2019, arXiv 1907.09682)."""
    return (similarities(student) - similarities(teacher)).square().mean()


RELATIONS: Final = (
    FeatureLoss(name="rkd", weight=2.0, formula=rkd, refuses=unreadable),
    # Any features will do: they are flattened.
    FeatureLoss(name="sp", weight=100.0, formula=similarity_preserving, refuses=lambda _, __: None),
)
