"""Embeddings of pieces at the start: the leading directions of a larger model's, or random."""

# Shape suffixes: V = pieces, D = the larger model's dimensions, W = the student's.

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hpmkd_edge.students.lexicon import Lexicon

# What a value of an embedding is at the start, root mean square. With torch's own 1, a training's few thousand steps
# hardly move it.
SCALE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Directions:
    """The singular value decomposition of a larger model's embeddings, less their mean.

    Attributes:
        scores: float32 [V, D], the pieces along each direction, the widest first; zeros for padding.
        axes: float32 [D, D], the directions, one a row.
        mean: float32 [D].
    """

    scores: NDArray[np.float32]
    axes: NDArray[np.float32]
    mean: NDArray[np.float32]


@lru_cache(maxsize=2)
def directions(lexicon: Lexicon) -> Directions:
    """Decompose the vectors of the origin of *lexicon*, which has one; the largest part of each axis is positive.

    On one thread, so that a student begins alike however many there are: sums in another order round differently.
    """
    assert lexicon.origin is not None
    vectors_VD = lexicon.origin.vectors.astype(np.float64)
    mean_D = vectors_VD[1:].mean(0)
    centered_VD = vectors_VD - mean_D
    centered_VD[0] = 0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        centered = torch.from_numpy(centered_VD)
        columns_DD = torch.linalg.eigh(centered.T @ centered).eigenvectors
        scores_VD = (centered @ columns_DD).numpy()[:, ::-1]
    finally:
        torch.set_num_threads(threads)
    axes_DD = columns_DD.numpy().T[::-1]
    largest_D1 = np.take_along_axis(axes_DD, np.abs(axes_DD).argmax(1)[:, None], axis=1)
    signs_D1 = np.sign(largest_D1)
    return Directions(
        scores=(scores_VD * signs_D1.T).astype(np.float32),
        axes=(axes_DD * signs_D1).astype(np.float32),
        mean=mean_D.astype(np.float32),
    )


def embed(pieces: int, width: int) -> nn.Embedding:
    """Return random embeddings of pieces, zeros for padding."""
    embedding = nn.Embedding(pieces, width, padding_idx=0)
    with torch.no_grad():
        embedding.weight *= SCALE
    return embedding


def start_embedding(embedding: nn.Embedding, lexicon: Lexicon | None) -> float:
    """Lay the leading directions of the lexicon's origin into *embedding*, in place; without an origin change nothing.

    They are the best approximation of its rank (Eckart and Young 1936), times one factor, so that their root mean
    square is that of a random start. Columns beyond the origin's own stay random.

    Returns:
        The factor; 1 where nothing was laid.
    """
    if lexicon is None or lexicon.origin is None:
        return 1.0
    leading_VW = directions(lexicon).scores[:, : embedding.embedding_dim]
    size = float(np.sqrt(np.square(leading_VW[1:], dtype=np.float64).mean()))
    factor = SCALE / size if size else 1.0
    with torch.no_grad():
        embedding.weight[:, : leading_VW.shape[1]] = torch.from_numpy(leading_VW * np.float32(factor))
    return factor
