"""Words of like meaning: whole words only, and those whose embeddings lie nearest."""

import numpy as np
import pytest
from sample_encoders import write_tokenizer

from hpmkd_edge.kernels.text_views import ALIKE, REPLACED
from hpmkd_edge.students import alike as module
from hpmkd_edge.students.alike import NEAREST, alike_words
from hpmkd_edge.students.vocabulary import count_pieces, pruned, read_tokenizer
from hpmkd_edge.tasks.task import Texts

TEXTS = Texts.of(["the film is brilliant , truly brilliant", "a dull plot"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tokenizer of WordPieces."""
    folder = tmp_path_factory.mktemp("encoder")
    write_tokenizer(folder)
    return read_tokenizer(folder)


def embeddings_of(whole, seed=0):
    return np.random.default_rng(seed).standard_normal((whole.get_vocab_size(), 16)).astype(np.float32)


def test_the_nearest_are_those_of_the_smallest_angle_and_never_the_word_itself(whole, monkeypatch):
    """By a slow twin, in blocks and in one; the length of an embedding says nothing."""
    embeddings, counts = embeddings_of(whole), count_pieces(whole, TEXTS)[0]
    found = alike_words(embeddings, whole, counts)
    ids = whole.get_vocab()
    centered = embeddings[[ids[word] for word in found.others]].astype(np.float64)
    centered -= centered.mean(0)

    assert set(found.words) == {"the", "film", "is", "brilliant", "truly", "dull", "plot"} & set(ids)
    for word, nearest in zip(found.words, found.nearest, strict=True):
        own = centered[found.others.index(word)]
        cosines = centered @ own / np.linalg.norm(centered, axis=1)
        assert list(np.argsort(-cosines)[1 : NEAREST + 1]) == list(nearest)
    monkeypatch.setattr(module, "AT_ONCE", 3)
    np.testing.assert_array_equal(alike_words(embeddings, whole, counts).nearest, found.nearest)


def test_only_whole_words_take_part(whole):
    """No part of a word, no sign, no single letter, no special piece."""
    others = alike_words(embeddings_of(whole), whole, count_pieces(whole, TEXTS)[0]).others

    assert len(set(others)) == len(others) > NEAREST
    assert all(word.isalpha() and len(word) > 1 and word in whole.get_vocab() for word in others)


def test_what_words_are_used_is_spread_over_those_like_them(whole):
    """As many as copies replace, no more."""
    found = alike_words(embeddings_of(whole), whole, count_pieces(whole, TEXTS)[0])

    assert found.times[found.words.index("brilliant")] == 2
    assert found.spread().sum() == pytest.approx(ALIKE * REPLACED * found.times.sum())
    assert set(np.flatnonzero(found.spread())) == set(found.nearest.ravel())


def test_pieces_of_like_words_stay_in_a_pruned_vocabulary(whole):
    """A student that meets them in copies is to know them."""
    many = Texts.of(["the film is brilliant"] * 200)
    found = alike_words(embeddings_of(whole), whole, count_pieces(whole, many)[0])
    near = {found.others[number] for number in found.nearest[found.words.index("brilliant")]}

    assert not near <= set(pruned(whole, many, 400).get_vocab())
    assert near <= set(pruned(whole, many, 400, found).get_vocab())


def test_without_words_there_are_none_alike(whole):
    """Texts of signs alone use no word."""
    assert alike_words(embeddings_of(whole), whole, count_pieces(whole, Texts.of([", . !"]))[0]) is None


def test_pieces_that_begin_a_word_are_marked_otherwise_elsewhere():
    """By a space as a sign of its own, as GPT-2 and SentencePiece have it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = [f"Ġ{letter}{letter}" for letter in "abcdefghijklmn"]
    vocabulary = {piece: number for number, piece in enumerate(["aa", "Ġé", "Ġb1", "ĠÃ©Ã", *words])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()

    counts = np.ones(len(vocabulary), np.int64)
    assert alike_words(embeddings_of(tokenizer), tokenizer, counts).others == tuple(word[1:] for word in words)
