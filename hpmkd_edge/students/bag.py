"""Bags of pieces and of hashed pairs and triples of pieces: the least arithmetic for its parameters.

After Joulin et al. 2016 (arXiv 1607.01759), with one hidden layer, and a linear bag beside.
"""

# Shape suffixes: N = rows, T = pieces of the longest row, W = width, K = classes.

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpmkd_edge.students.embedding import embed
from hpmkd_edge.students.pooling import mean_over, real, root_mean_over
from hpmkd_edge.students.text_family import TextFamily

# Depth is the longest run of pieces that has an embedding of its own: 1, 2 or 3.
RUNGS: Final = (
    (4, 1), (6, 1), (8, 1), (10, 1), (5, 2), (6, 2), (6, 3), (7, 3), (8, 3), (9, 3), (10, 3), (11, 3), (12, 3), (14, 3),
    (16, 3), (20, 3), (24, 3), (28, 3), (32, 3), (40, 3), (44, 3), (48, 3), (64, 3), (80, 3), (96, 3), (128, 3),
    (160, 3), (192, 3), (224, 3), (256, 3), (320, 3), (384, 3), (512, 3),
)  # fmt: skip
BUCKETS: Final = 2  # rows of the hashed table, times the number of pieces
PRIME: Final = 1_000_003  # three ids of up to 2 ** 21 each fit an int64
DROPOUT: Final = 0.2


class BagText(nn.Module):
    """Means of the embeddings of runs of 1 … *longest* pieces, a hidden layer over them, a linear head."""

    def __init__(self, pieces: int, classes: int, width: int, longest: int) -> None:
        super().__init__()
        self.longest = longest
        self.embedding = embed(pieces, width)
        if longest > 1:
            # Most runs of a new text were never trained; what they begin as is what they say.
            self.runs = nn.Embedding(BUCKETS * pieces, width)
            nn.init.zeros_(self.runs.weight)
        self.hidden = nn.Linear(longest * width, 2 * width)
        self.head = nn.Linear(2 * width, classes)
        self.bag = nn.Embedding(pieces, classes, padding_idx=0)
        nn.init.zeros_(self.bag.weight)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, ids_NT: Tensor) -> Tensor:
        x_NTW = self.embedding(ids_NT)
        real_NT = real(ids_NT, x_NTW)
        # Before the pooled part, which so ends the module: stages by features read there.
        bag_NK = root_mean_over(self.bag(ids_NT), real_NT)
        means = [mean_over(x_NTW, real_NT)]
        run_NT, whole_NT = ids_NT, real_NT
        for further in range(1, self.longest):
            next_NT = functional.pad(ids_NT, (0, further))[:, further:]
            # A run that has padding in it is not counted.
            run_NT = run_NT * PRIME + next_NT
            whole_NT = whole_NT * real(next_NT, x_NTW)
            slots_NT = run_NT % self.runs.num_embeddings
            means.append(mean_over(self.runs(slots_NT), whole_NT))
        # Means side by side, so that the leading inputs of a larger student's layer are of the same directions.
        pooled = self.dropout(torch.stack(means, 2).flatten(1))
        hidden = self.dropout(functional.relu(self.hidden(pooled)))
        logits_NK: Tensor = self.head(hidden) + bag_NK
        return logits_NK


BAG: Final = TextFamily(name="bag", digest="bag-1", rungs=RUNGS, module=BagText)
