"""Words of like meaning: for a word of the texts, those that an encoder embeds nearest to it."""

# Shape suffixes: V = pieces of the encoder, D = its dimensions, A = words of the texts, C = words that stand for
# others, L = how many stand for each.

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from hpmkd_edge.kernels.text_views import ALIKE, REPLACED

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NEAREST: Final = 10
AT_ONCE: Final = 512  # words whose nearness to all others is held at a time
# What a piece that begins a word begins with, where a tokenizer marks these: GPT-2's of bytes, and SentencePiece.
BYTES: Final = "Ġ"
BEGINNINGS: Final = (BYTES, "▁")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alike:
    """Words, and for each of them others that may stand in its place.

    Attributes:
        words: A of them.
        others: C words, some of *words* among them.
        nearest: int32 [A, L], numbers of *others*, the nearest first.
        times: int64 [A], how often the texts use each of *words*.
    """

    words: tuple[str, ...]
    others: tuple[str, ...]
    nearest: NDArray[np.int32]
    times: NDArray[np.int64]

    def spread(self) -> NDArray[np.float64]:
        """Return how often a copy of the texts has each of *others* in the place of a word: [C], on average."""
        each_A1 = self.times[:, None] * (ALIKE * REPLACED / self.nearest.shape[1])
        spread_C = np.zeros(len(self.others))
        np.add.at(spread_C, self.nearest, np.broadcast_to(each_A1, self.nearest.shape))
        return spread_C


def alike_words(embeddings_VD: NDArray[np.float32], whole: Tokenizer, counts_V: NDArray[np.int64]) -> Alike | None:
    """Find the words like those that texts use, by the angle between embeddings less their mean.

    A word is a piece of two letters or more that begins one, so it takes part whole or not at all.

    Args:
        embeddings_VD: of the encoder's pieces.
        whole: the encoder's tokenizer.
        counts_V: how often the texts use each piece.

    Returns:
        None where there are fewer than 12 such words, or none is used.
    """
    words = _words_of(whole)
    used = [place for place, number in enumerate(words.values()) if counts_V[number]]
    if len(words) < NEAREST + 2 or not used:
        return None
    names, numbers = tuple(words), np.fromiter(words.values(), np.int64, len(words))
    vectors_CD = embeddings_VD[numbers] - embeddings_VD[numbers].mean(0)
    vectors_CD /= np.maximum(np.linalg.norm(vectors_CD, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return Alike(
        words=tuple(names[place] for place in used),
        others=names,
        nearest=_nearest(torch.from_numpy(vectors_CD), torch.tensor(used)),
        times=counts_V[numbers[used]],
    )


def _nearest(vectors_CD: torch.Tensor, used_A: torch.Tensor) -> NDArray[np.int32]:
    """Return the numbers of the vectors nearest to those that *used_A* numbers, without these themselves: [A, L]."""
    found = []
    # On one thread: sums in another order could exchange two that are equally near.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for part in torch.split(used_A, AT_ONCE):
            nearness = vectors_CD[part] @ vectors_CD.T
            nearness[torch.arange(len(part)), part] = -torch.inf
            found.append(nearness.topk(NEAREST, dim=1).indices)
    finally:
        torch.set_num_threads(threads)
    return torch.cat(found).numpy().astype(np.int32)


def _words_of(whole: Tokenizer) -> dict[str, int]:
    """Return the words that are pieces of *whole*, and their numbers there."""
    model = json.loads(whole.to_str())["model"]
    inside = model.get("continuing_subword_prefix") or ""
    pieces = whole.get_vocab()
    marked = next((mark for mark in BEGINNINGS if any(piece.startswith(mark) for piece in pieces)), "")
    words = {}
    for piece, number in sorted(pieces.items(), key=lambda item: item[1]):
        if not piece.startswith(marked) or (inside and piece.startswith(inside)):
            continue
        word = piece.removeprefix(marked)
        # Of bytes only those that are a letter each spell what they show.
        if len(word) > 1 and word.isalpha() and (marked != BYTES or word.isascii()):
            words[word] = number
    return words
