"""Sentences as batches of ids, as transformers take them."""

# Shape suffixes: N = rows, T = pieces of the longest row of a batch, K = classes.

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# MiniLM's layers answer 250 sentences of SST-2 a second in batches of so many pieces, 231 in those of 2,048 and 151 in
# those of 8,192, whose inner values leave the cache (one core of an AMD EPYC, float32).
PIECES_AT_ONCE: Final = 512
# transformers calls 10³⁰ the most pieces of a tokenizer that names none.
UNBOUNDED: Final = 10**9
MOST_PIECES: Final = 512  # of a row, where nothing names a number
SENTENCES_AT_ONCE: Final = 2048  # sorted by length together; memory is bounded by them
PADDING_NAMES: Final = ("[PAD]", "<pad>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """A tokenizer, and how its ids become batches.

    Attributes:
        tokenizer: truncates, and does not pad.
        padding: the id that rows are filled with at the right.
    """

    tokenizer: Tokenizer
    padding: int

    def ids(self, sentences: Sequence[str]) -> NDArray[np.int64]:
        """Return the ids of *sentences*, padded: [N, T], T at least 1."""
        return self._padded([found.ids for found in self.tokenizer.encode_batch_fast(sentences)])

    def answer(
        self, sentences: Sequence[str], forward: Callable[[NDArray[np.int64]], NDArray[Any]]
    ) -> NDArray[np.float32]:
        """Ask *forward* about *sentences*, in batches of like lengths.

        Args:
            sentences: N of them.
            forward: from ids [rows, T] to [rows, K].

        Returns:
            float32 [N, K], in the order of *sentences*.
        """
        found = [entry.ids for entry in self.tokenizer.encode_batch_fast(sentences)]
        lengths = np.array([max(1, len(ids)) for ids in found])
        order = np.argsort(lengths, kind="stable")
        answers = [forward(self._padded([found[row] for row in rows])) for rows in _batches(order, lengths)]
        sorted_NK = np.concatenate(answers).astype(np.float32)
        answers_NK = np.empty_like(sorted_NK)
        answers_NK[order] = sorted_NK
        return answers_NK

    def _padded(self, found: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        ids_NT = np.full((len(found), max(1, *map(len, found))), self.padding, np.int64)
        for row, ids in zip(ids_NT, found, strict=True):
            row[: len(ids)] = ids
        return ids_NT


def _batches(order: NDArray[np.int64], lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut rows in the *order* of their lengths into batches of at most PIECES_AT_ONCE pieces, or of one row."""
    begin = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - begin) * lengths[order[end]] > PIECES_AT_ONCE:
            yield order[begin:end]
            begin = end


def padding_of(tokenizer: Tokenizer) -> int | None:
    """Return the id that *tokenizer* pads with, or the piece that is named so; None where there is neither."""
    if tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])
    named = (tokenizer.token_to_id(name) for name in PADDING_NAMES)
    return next((place for place in named if place is not None), None)
