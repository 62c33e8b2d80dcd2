"""Copies of texts as a pure function of a seed: words left out, replaced and moved, fragments, pairs of fragments.

A copy is a list of words of the texts themselves, or of words that are like them, so a word's bytes never change, and
one that is drawn from all places of all texts alike is drawn from their unigram distribution without a dictionary. In
scripts that put no space between words, each letter counts for one.
"""

# Shape suffixes: N = texts, B = bytes, W = words of all texts, A = words with others like them, L = how many of these,
# C = words that stand for others.

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numba import njit, prange, uint64
from numpy.typing import NDArray

from hpmkd_edge.kernels.draws import high_share, low_share, scramble

SPACE: Final = 0x20
APART, WITHIN, ALONE = range(3)  # what parts words, is a part of one, and is one

# One of four outlines a copy, the rest of 1 is the whole text. Sampled n-grams are a quarter in Tang et al. 2019 (arXiv
# 1903.12136); a pair brings words together that no text has, and shows what a contrast does to the answer.
FRAGMENT: Final = 0.20
HOLE: Final = 0.15
PAIR: Final = 0.25
# A word in seven is masked, as BERT was trained to stand it (arXiv 1810.04805): half are left out, half replaced.
MASK: Final = 0.15
DROPPED: Final = 0.5
# Where words like others are known, half of the copies are spared the mask, and three words in ten become one like it.
# So a student meets words that no row has: 59 % of SST-2's sentences for measuring hold one.
ALIKE: Final = 0.5
REPLACED: Final = 0.3
# Order says less than words: a copy in five has some words exchanged with one at most WINDOW further on.
MOVED: Final = 0.20
SWAP: Final = 0.15
WINDOW: Final = 3
HALF: Final = 0.5

LARGEST_OFFSET: Final = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Where the words of texts lie.

    White space and control characters of ASCII part words, as does U+3000; a letter of Han, kana, Thai, Lao, Tibetan,
    Myanmar or Khmer is a word of its own.

    Attributes:
        content: uint8, the bytes of all texts.
        starts, ends: int64, [W], where a word begins, and the place after it.
        alone: bool, [W], whether it is a letter of such a script; two of these are joined without a space.
        firsts: int64, [N + 1]: a text's words are those from its own number to the next.
        kinds: int32, [W], a word's row of *nearest*, −1 where it has none; or [0], where no word has.
        nearest: int64, [A, L], the numbers of words like it, any of *starts*: beyond the texts' own lie others.
    """

    content: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    alone: NDArray[np.bool_]
    firsts: NDArray[np.int64]
    kinds: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    nearest: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 1), np.int64))


@njit(inline="always")  # type: ignore[untyped-decorator]
def _classify(bytes_B: NDArray[np.uint8], place: int) -> tuple[int, int]:
    """Return what begins at a byte, APART, WITHIN or ALONE, and how many bytes it has."""
    lead = bytes_B[place]
    if lead <= SPACE:
        return APART, 1
    if lead < 0xE0:
        return WITHIN, 1
    second = bytes_B[place + 1]
    if lead == 0xE3 and second == 0x80 and bytes_B[place + 2] == 0x80:
        return APART, 3  # U+3000
    if 0xE3 <= lead <= 0xE9 or (lead == 0xEF and (0xA4 <= second <= 0xAB or 0xBC <= second <= 0xBD)):
        return ALONE, 3  # kana and Han, their signs, compatible and full width forms
    if (lead == 0xE0 and second >= 0xB8) or (lead == 0xE1 and (second <= 0x82 or 0x9E <= second <= 0x9F)):
        return ALONE, 3  # Thai, Lao and Tibetan; Myanmar and Khmer
    return (ALONE, 4) if lead == 0xF0 and second >= 0xA0 else (WITHIN, 1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _find_words(
    bytes_B: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    firsts: NDArray[np.int64],
    starts_W: NDArray[np.int64],
    ends_W: NDArray[np.int64],
    alone_W: NDArray[np.bool_],
) -> None:
    """Fill in the number of words before each text and, where there is room for words, the words."""
    word, writing = 0, len(starts_W) > 0
    for n in range(len(offsets) - 1):
        place, before = offsets[n], APART
        while place < offsets[n + 1]:
            kind, size = _classify(bytes_B, place)
            word += kind == ALONE or (kind == WITHIN and before != WITHIN)
            if writing and kind != APART:
                if kind == ALONE or before != WITHIN:
                    starts_W[word - 1], alone_W[word - 1] = place, kind == ALONE
                ends_W[word - 1] = place + size
            place, before = place + size, kind
        firsts[n + 1] = word


@njit(inline="always")  # type: ignore[untyped-decorator]
def _below(draw: int, bound: int) -> int:
    return np.int64((uint64(draw) >> uint64(32)) % uint64(bound))  # type: ignore[no-any-return]


@njit(inline="always")  # type: ignore[untyped-decorator]
def _put(first: int, count: int, out: NDArray[np.int64], at: int) -> int:
    """Write the numbers of *count* words from *first* on; return where the next one goes."""
    for word in range(count):
        out[at + word] = first + word
    return at + count


@njit(cache=True)  # type: ignore[untyped-decorator]
def _outline(stream: int, row: int, firsts: NDArray[np.int64], out: NDArray[np.int64], begin: int) -> int:
    """Write the words of a copy before any is masked; return their number, at most twice the text's own."""
    texts, first, count = len(firsts) - 1, firsts[row], firsts[row + 1] - firsts[row]
    kind, size, place = low_share(scramble(stream, 0)), scramble(stream, 1), scramble(stream, 2)
    other = (row + 1 + _below(scramble(stream, 3), max(1, texts - 1))) % texts
    others = min(firsts[other + 1] - firsts[other], count)
    at = begin
    if kind < FRAGMENT:
        own = 1 + _below(size, count)
        at = _put(first + _below(place, count - own + 1), own, out, at)
    elif kind < FRAGMENT + HOLE and count > 1:
        gone = 1 + _below(size, count // 2)
        before = _below(place, count - gone + 1)
        at = _put(first, before, out, at)
        at = _put(first + before + gone, count - before - gone, out, at)
    elif FRAGMENT + HOLE <= kind < FRAGMENT + HOLE + PAIR and others > 0:
        own = 1 + _below(size, count)
        own_first = first + _below(place, count - own + 1)
        size, place = scramble(stream, 4), scramble(stream, 5)
        theirs = 1 + _below(size, others)
        their_first = firsts[other] + _below(place, firsts[other + 1] - firsts[other] - theirs + 1)
        if low_share(size) < HALF:
            at = _put(own_first, own, out, _put(their_first, theirs, out, at))
        else:
            at = _put(their_first, theirs, out, _put(own_first, own, out, at))
    else:
        at = _put(first, count, out, at)
    return at - begin  # type: ignore[no-any-return]


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _draw_copies(
    seed: int,
    firsts: NDArray[np.int64],
    kinds_W: NDArray[np.int32],
    nearest_AL: NDArray[np.int64],
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    words, choices = firsts[-1], nearest_AL.shape[1]
    for n in prange(len(firsts) - 1):
        row = np.int64(n)
        counts[row] = 0
        if firsts[row + 1] == firsts[row]:
            continue
        stream, begin = scramble(seed, row), 2 * firsts[row]
        count = _outline(stream, row, firsts, out, begin)
        if low_share(scramble(stream, 6)) < MOVED:
            for place in range(count - 1):
                draw = scramble(stream, 8 + 3 * place)
                later = place + 1 + _below(draw, WINDOW)
                if low_share(draw) < SWAP and later < count:
                    out[begin + place], out[begin + later] = out[begin + later], out[begin + place]
        # No copy loses all of its words.
        draw = scramble(stream, 7)
        kept, safe, masks = 0, _below(draw, count), len(kinds_W) == 0 or low_share(draw) >= ALIKE
        for place in range(count):
            word, draw = out[begin + place], scramble(stream, 9 + 3 * place)
            if not masks:
                if low_share(draw) < REPLACED and kinds_W[word] >= 0:
                    word = nearest_AL[kinds_W[word], _below(scramble(stream, 10 + 3 * place), choices)]
            elif low_share(draw) < MASK:
                if high_share(draw) >= DROPPED:
                    word = _below(scramble(stream, 10 + 3 * place), words)
                elif place != safe:
                    continue
            out[begin + kept] = word
            kept += 1
        counts[row] = kept


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _measure(
    drawn: NDArray[np.int64],
    counts: NDArray[np.int64],
    firsts: NDArray[np.int64],
    starts_W: NDArray[np.int64],
    ends_W: NDArray[np.int64],
    alone_W: NDArray[np.bool_],
    sizes: NDArray[np.int64],
) -> None:
    for n in prange(len(counts)):
        size, begin = 0, 2 * firsts[n]
        for place in range(counts[n]):
            word = drawn[begin + place]
            size += ends_W[word] - starts_W[word]
            size += place > 0 and not (alone_W[word] and alone_W[drawn[begin + place - 1]])
        sizes[n] = size


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _join(
    drawn: NDArray[np.int64],
    counts: NDArray[np.int64],
    firsts: NDArray[np.int64],
    bytes_B: NDArray[np.uint8],
    starts_W: NDArray[np.int64],
    ends_W: NDArray[np.int64],
    alone_W: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    for n in prange(len(counts)):
        at, begin = offsets[n], 2 * firsts[n]
        for place in range(counts[n]):
            word = drawn[begin + place]
            if place > 0 and not (alone_W[word] and alone_W[drawn[begin + place - 1]]):
                out[at] = SPACE
                at += 1
            for source in range(starts_W[word], ends_W[word]):
                out[at] = bytes_B[source]
                at += 1


def find_words(bytes_B: NDArray[np.uint8], lengths_N: NDArray[np.int64]) -> Words:
    """Find the words of texts.

    Args:
        bytes_B: uint8, of all texts, in UTF-8.
        lengths_N: int64, the bytes of each text.

    Raises:
        ValueError: there are more or fewer bytes than the texts have.
    """
    if lengths_N.sum() != len(bytes_B):
        raise ValueError(f"texts of {lengths_N.sum()} bytes are needed, not of {len(bytes_B)}.")
    offsets = np.concatenate([[0], np.cumsum(lengths_N)])
    firsts = np.zeros(len(offsets), np.int64)
    for words in (0, -1):  # counted first, and then written
        count = firsts[words]
        starts_W, ends_W, alone_W = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.bool_)
        _find_words(bytes_B, offsets, firsts, starts_W, ends_W, alone_W)
    return Words(content=bytes_B, starts=starts_W, ends=ends_W, alone=alone_W, firsts=firsts)


def add_alike(
    words: Words,
    *,
    kinds_W: NDArray[np.int32],
    nearest_AL: NDArray[np.int64],
    bytes_B: NDArray[np.uint8],
    lengths_C: NDArray[np.int64],
) -> Words:
    """Return *words* with others that copies may have in their place.

    Args:
        kinds_W: the row of *nearest_AL* of each word, −1 where it has none.
        nearest_AL: numbers, 0 … C − 1, of words like it.
        bytes_B: uint8, of all words that may stand for others, in UTF-8.
        lengths_C: the bytes of each.

    Raises:
        ValueError: there are more or fewer bytes, or kinds, than the words have.
    """
    if lengths_C.sum() != len(bytes_B) or len(kinds_W) != len(words.starts):
        raise ValueError(f"bytes and kinds of {len(words.starts)} words are needed, not of {len(kinds_W)}.")
    ends_C = len(words.content) + np.cumsum(lengths_C)
    return replace(
        words,
        content=np.concatenate([words.content, bytes_B]),
        starts=np.concatenate([words.starts, ends_C - lengths_C]),
        ends=np.concatenate([words.ends, ends_C]),
        alone=np.concatenate([words.alone, np.zeros(len(lengths_C), np.bool_)]),
        kinds=kinds_W,
        nearest=len(words.starts) + nearest_AL,
    )


def copy_texts(words: Words, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Copy each text with words left out, replaced, moved, or brought together with those of another text.

    A copy is a fragment of the text, the text without a span, a fragment beside one of another text, or the whole text;
    then some of its words are exchanged, left out, or replaced by words of any text; or, in half of the copies where
    any are known, replaced by words like them. A text without words is copied as "", any other has at least one word in
    its copy. After Tang et al. 2019 (arXiv 1903.12136) and Jiao et al. 2020
    (TinyBERT, arXiv 1909.10351), without their language models.

    Args:
        words: of `find_words`, or of `add_alike`.
        seed: the draws depend on it and on the text's number alone.

    Returns:
        The copies' bytes, words parted by one space each or by none, and where each copy begins: int32 [N + 1].

    Raises:
        OverflowError: the copies have more bytes than offsets of 32 bits can tell.
    """
    texts = len(words.firsts) - 1
    drawn, counts = np.empty(2 * words.firsts[-1], np.int64), np.empty(texts, np.int64)
    _draw_copies(seed, words.firsts, words.kinds, words.nearest, drawn, counts)
    offsets = np.zeros(texts + 1, np.int64)
    _measure(drawn, counts, words.firsts, words.starts, words.ends, words.alone, offsets[1:])
    np.cumsum(offsets, out=offsets)
    if offsets[-1] > LARGEST_OFFSET:
        raise OverflowError(f"the copies have {offsets[-1]:,} bytes; at most {LARGEST_OFFSET:,} are possible.")
    out = np.empty(offsets[-1], np.uint8)
    _join(drawn, counts, words.firsts, words.content, words.starts, words.ends, words.alone, offsets, out)
    return out, offsets.astype(np.int32)
