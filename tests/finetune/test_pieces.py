"""Sentences as pieces, and the batches of an epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_encoders import write_encoder
from sample_texts import sentences

from hpmkd_edge.finetune import pieces
from hpmkd_edge.finetune.encoder import open_encoder
from hpmkd_edge.finetune.pieces import batches_of_epoch, cut, needed_length
from hpmkd_edge.tasks.task import Rows, Texts

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=300).map(lambda found: np.array(found, np.int64))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """WordPieces with a first and a last mark; padding is 0."""
    return open_encoder(write_encoder(tmp_path_factory.mktemp("encoder")), "tiny", ("bad", "good"), 0).tokenizer


def rows_of(texts):
    return Rows(inputs=Texts.of(texts), labels=np.zeros(len(texts), np.int64), positions=np.arange(len(texts)))


@given(lengths=LENGTHS, batch=st.integers(1, 40), seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_an_epoch_sees_each_row_once(lengths, batch, seed, epoch):
    """In as few batches as hold them, and in the same order each time."""
    found = batches_of_epoch(lengths, batch, seed, epoch)
    again = batches_of_epoch(lengths, batch, seed, epoch)

    assert sorted(np.concatenate(found)) == list(range(len(lengths)))
    assert len(found) == -(-len(lengths) // batch)
    assert max(map(len, found)) <= batch
    assert all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))


@given(lengths=LENGTHS, batch=st.integers(1, 40))
def test_the_rows_of_a_batch_are_of_like_lengths(lengths, batch):
    """Within a pool, no order pads less than sorting does."""
    found = batches_of_epoch(lengths, batch, seed=0, epoch=0)
    ordered = np.sort(lengths)
    least = [ordered[first : first + batch] for first in range(0, len(ordered), batch)]

    if len(lengths) <= pieces.POOL * batch:
        assert sorted(lengths[rows].max() for rows in found) == [part.max() for part in least]


def test_epochs_and_seeds_differ_in_their_order():
    """Else the same batches would follow each other."""
    lengths = np.ones(200, np.int64)
    orders = [np.concatenate(batches_of_epoch(lengths, 8, seed, epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0))]

    assert len({tuple(order) for order in orders}) == 3


def test_a_batch_holds_the_pieces_of_its_rows(tokenizer):
    """Padded at the right to the longest, and said to be padding there."""
    texts, _ = sentences(20)
    found = cut(rows_of(texts), tokenizer, 64)
    ids, real, labels = found.batch(np.array([3, 0, 7]))
    expected = tokenizer([texts[3], texts[0], texts[7]])["input_ids"]

    assert [row[mask.bool()].tolist() for row, mask in zip(ids, real, strict=True)] == expected
    assert ids.shape[1] == max(map(len, expected))
    assert not ids[~real.bool()].any()
    assert len(labels) == 3


def test_what_is_padding_is_told_by_its_id(tokenizer):
    """A tokenizer without a piece of its own for that pads with the last of a sentence: the teacher that is made hides
    each of them, so training does.
    """
    padding = tokenizer.pad_token
    tokenizer.pad_token = tokenizer.sep_token
    found = cut(rows_of(["the film", "the film is good"]), tokenizer, 16)
    tokenizer.pad_token = padding
    ids, real, _ = found.batch(np.array([0, 1]))

    np.testing.assert_array_equal(real, ids != tokenizer.sep_token_id)
    assert real.sum(1).tolist() == [3, 5]


def test_rows_are_cut_in_blocks_as_in_one(tokenizer, monkeypatch):
    """A block is for the memory alone."""
    rows = rows_of(sentences(23)[0])
    whole = cut(rows, tokenizer, 8)
    monkeypatch.setattr(pieces, "BLOCK", 5)
    parts = cut(rows, tokenizer, 8)

    np.testing.assert_array_equal(parts.ids, whole.ids)
    np.testing.assert_array_equal(parts.starts, whole.starts)
    assert whole.lengths.max() == 8
    assert set(whole.ids[whole.starts[1:] - 1]) == {tokenizer.sep_token_id}


def test_odd_sentences_are_rows_too(tokenizer):
    """Nothing, a very long one, and what the vocabulary has never seen."""
    found = cut(rows_of(["", "film " * 20_000, "плёнка 映画 🎬\0"]), tokenizer, 16)

    assert found.lengths.tolist()[:2] == [2, 16]
    assert found.lengths.min() >= 1


def test_a_row_without_pieces_becomes_one_of_padding(tokenizer, monkeypatch):
    """A tokenizer that adds no marks gives none for an empty sentence, and a model takes no row of none."""
    plain = tokenizer.backend_tokenizer.post_processor
    tokenizer.backend_tokenizer.post_processor = None
    found = cut(rows_of(["", "the film"]), tokenizer, 16)
    tokenizer.backend_tokenizer.post_processor = plain

    assert found.lengths.tolist() == [1, 2]
    assert found.ids[0] == found.padding


def test_one_long_sentence_does_not_set_the_length(tokenizer):
    """All but a thousandth of the rows count; of few rows, all do."""
    many, few = rows_of(["the film is good"] * 1999 + ["film " * 60]), rows_of(["the film", "film " * 30])

    assert needed_length(many, tokenizer, 64) == 6
    assert needed_length(few, tokenizer, 64) == 32
    assert needed_length(few, tokenizer, 16) == 16
