"""A small convolutional text family: gated convolutions between embeddings and a pooled head, a linear bag beside.

The gates are those of Dauphin et al. 2017 (arXiv 1612.08083).
"""

# Shape suffixes: N = rows, T = pieces of the longest row, W = width, H = channels, K = classes.

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from hpmkd_edge.students.embedding import embed
from hpmkd_edge.students.pooling import max_over, mean_over, real, root_mean_over
from hpmkd_edge.students.text_family import TextFamily

# Embeddings hold nearly all parameters, so width alone tells one rung from the next; fine where budgets are.
RUNGS: Final = (
    (4, 1), (6, 1), (8, 1), (10, 1), (12, 1), (14, 2), (16, 2), (18, 2), (19, 2), (20, 2), (22, 2), (24, 2), (26, 2),
    (27, 2), (28, 2), (30, 2), (31, 2), (32, 2), (36, 2), (40, 2), (48, 2), (56, 2), (64, 2), (72, 2), (80, 2), (88, 2),
    (96, 2), (104, 2), (112, 2), (116, 2), (128, 2), (144, 2), (160, 2), (192, 2), (224, 2), (256, 2), (288, 2),
    (320, 2), (352, 2), (384, 2), (448, 2), (512, 2), (640, 2), (768, 2),
)  # fmt: skip
KERNEL: Final = 3
DROPOUT: Final = 0.1
# Embeddings cost a number a piece and dimension, convolutions next to nothing: these are wider where both are narrow.
LEAST_CHANNELS: Final = 32


def channels_of(width: int) -> int:
    """Return how many channels convolutions have above embeddings of *width*: at most twice as many, or as many."""
    return max(width, min(2 * width, LEAST_CHANNELS))


class GatedText(nn.Module):
    """Embeddings, *depth* gated convolutions with shortcuts, mean and largest value over the pieces, a linear head."""

    def __init__(self, pieces: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        channels = channels_of(width)
        self.embedding = embed(pieces, width)
        self.widening = nn.Identity() if channels == width else nn.Linear(width, channels, bias=False)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, 2 * channels, KERNEL, padding=KERNEL // 2) for _ in range(depth)
        )
        self.head = nn.Linear(2 * channels, classes)
        self.bag = nn.Embedding(pieces, classes, padding_idx=0)
        nn.init.zeros_(self.bag.weight)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, ids_NT: Tensor) -> Tensor:
        x_NTW = self.embedding(ids_NT)
        real_NT = real(ids_NT, x_NTW)
        real_N1T = real_NT[:, None]
        # Before the pooled part, which so ends the module: stages by features read there.
        bag_NK = root_mean_over(self.bag(ids_NT), real_NT)
        x_NHT = self.widening(self.dropout(x_NTW)).transpose(1, 2) * real_N1T
        for convolution in self.convolutions:
            # A value beside its gate, so that the leading channels of a larger student are whole pairs.
            value_NHT, gate_NHT = convolution(x_NHT).unflatten(1, (-1, 2)).unbind(2)
            x_NHT = x_NHT + value_NHT * gate_NHT.sigmoid() * real_N1T
        x_NTH = x_NHT.transpose(1, 2)
        pooled = torch.stack([mean_over(x_NTH, real_NT), max_over(x_NTH, real_NT)], 2).flatten(1)
        logits_NK: Tensor = self.head(self.dropout(pooled)) + bag_NK
        return logits_NK


GATED: Final = TextFamily(name="gated", digest="gated-2", rungs=RUNGS, module=GatedText)
