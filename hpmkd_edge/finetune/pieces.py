"""Sentences as the pieces of a tokenizer, and the batches that a training takes of them."""

# Shape suffixes: N = rows, P = pieces of all rows, B = batch, T = pieces of the longest row of a batch.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpmkd_edge.tasks.task import Rows, Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BLOCK: Final = 4096  # sentences that lie in memory as Python's lists
POOL: Final = 50  # batches that are sorted by length together
LONGEST_UNASKED: Final = 512
ALL_BUT: Final = 0.999
SAMPLE: Final = 20_000  # sentences that tell how long all are


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pieces:
    """Rows as ids of pieces.

    Attributes:
        ids: int32, [P], one row after the other.
        starts: int64, [N + 1], where each row begins, and where the last ends.
        labels: int64, [N].
        padding: the id that fills up a batch.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    labels: NDArray[np.int64]
    padding: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many pieces each row has, 1 at least."""
        return np.diff(self.starts)

    def batch(self, rows_B: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Return ids [B, T] padded at the right, what of them is no padding [B, T], and labels [B]: all int64.

        A piece that a row has of its own, and that also pads, is padding: the teacher that is made here sees it so.
        """
        lengths_B = self.lengths[rows_B]
        filled_BT = np.arange(lengths_B.max()) < lengths_B[:, None]
        ids_BT = np.full(filled_BT.shape, self.padding, np.int64)
        ids_BT[filled_BT] = np.concatenate([self.ids[self.starts[row] : self.starts[row + 1]] for row in rows_B])
        real = torch.from_numpy((ids_BT != self.padding).astype(np.int64))
        labels = torch.from_numpy(self.labels[rows_B])
        return torch.from_numpy(ids_BT), real, labels


def cut(rows: Rows, tokenizer: PreTrainedTokenizerFast, length: int) -> Pieces:
    """Return *rows* of texts as pieces, at most *length* of each; a row without any becomes one of padding."""
    padding = int(tokenizer.pad_token_id)
    blocks, lengths = [np.empty(0, np.int32)], [0]
    for found in _cut(rows, tokenizer, length):
        whole = [ids or [padding] for ids in found]
        lengths += map(len, whole)
        blocks.append(np.concatenate([np.array(ids, np.int32) for ids in whole]))
    return Pieces(
        ids=np.concatenate(blocks),
        starts=np.cumsum(lengths, dtype=np.int64),
        labels=rows.labels,
        padding=padding,
    )


def needed_length(rows: Rows, tokenizer: PreTrainedTokenizerFast, longest: int) -> int:
    """Return how many pieces hold all but a thousandth of *rows* whole, as a sample spread over them tells.

    One sentence of a thousand words among short ones would make no batch of like lengths, and costs its square.
    """
    most = min(longest, LONGEST_UNASKED)
    sample = rows.take(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(np.int64))
    lengths = [len(ids) for found in _cut(sample, tokenizer, most) for ids in found]
    return max(1, int(np.quantile(lengths, ALL_BUT, method="higher")))


def batches_of_epoch(lengths_N: NDArray[np.int64], batch: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the rows of each step of an *epoch*, in its order: each row once, those of a batch of like lengths.

    Rows are shuffled, sorted by length within pools of 50 batches, and the batches shuffled again.
    """
    generator = np.random.default_rng((seed, epoch))
    drawn_N = generator.permutation(len(lengths_N))
    found: list[NDArray[np.int64]] = []
    for first in range(0, len(drawn_N), POOL * batch):
        pool = drawn_N[first : first + POOL * batch]
        pool = pool[np.argsort(lengths_N[pool], kind="stable")]
        found += np.split(pool, range(batch, len(pool), batch))
    return [found[number] for number in generator.permutation(len(found))]


def _cut(rows: Rows, tokenizer: PreTrainedTokenizerFast, length: int) -> Iterator[list[list[int]]]:
    """Yield the ids of block after block of *rows*."""
    texts = rows.inputs
    assert isinstance(texts, Texts)
    for first in range(0, len(texts), BLOCK):
        block = texts.take(np.arange(first, min(first + BLOCK, len(texts)), dtype=np.int64))
        found = tokenizer(
            block.strings(),
            truncation=True,
            max_length=length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        yield found["input_ids"]
