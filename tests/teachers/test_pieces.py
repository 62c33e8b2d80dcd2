"""Batches of ids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from hpmkd_edge.teachers.pieces import PIECES_AT_ONCE, Pieces, padding_of

WORDS = {"<pad>": 0, "?": 1, **{f"w{place}": place + 2 for place in range(50)}}


def tokenizer(words=WORDS):
    found = Tokenizer(models.WordLevel(words, unk_token="?"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    found.enable_truncation(64)
    return found


def numbers_of(text):
    return [WORDS[word] for word in text.split()][:64]


SENTENCES = st.lists(st.lists(st.sampled_from([*WORDS][2:]), max_size=100).map(" ".join), min_size=1, max_size=60)


@settings(max_examples=50, deadline=None)
@given(SENTENCES)
def test_each_row_gets_the_answer_to_its_own_ids(sentences):
    """Sorted, padded, cut and put back; no batch has more pieces than it may, or it has one row."""
    shapes = []

    def forward(ids_NT):
        shapes.append(ids_NT.shape)
        return np.stack([(ids_NT != 0).sum(1), ids_NT.sum(1)], axis=1)

    answers = Pieces(tokenizer=tokenizer(), padding=0).answer(sentences, forward)

    np.testing.assert_array_equal(answers, [[len(numbers_of(text)), sum(numbers_of(text))] for text in sentences])
    assert all(rows == 1 or rows * pieces <= PIECES_AT_ONCE for rows, pieces in shapes)
    assert sum(rows for rows, _ in shapes) == len(sentences)


def test_ids_are_padded_at_the_right_to_one_at_least():
    """Also where no row has any."""
    pieces = Pieces(tokenizer=tokenizer(), padding=7)

    np.testing.assert_array_equal(pieces.ids(["w0 w1 w2", "w3"]), [[2, 3, 4], [5, 7, 7]])
    np.testing.assert_array_equal(pieces.ids(["", ""]), [[7], [7]])


@pytest.mark.parametrize(("named", "found"), [("<pad>", 0), ("[PAD]", 0), ("pad", None)])
def test_the_piece_that_pads_is_known_by_its_name(named, found):
    """Where the file does not say."""
    assert padding_of(tokenizer({named: 0, "?": 1})) == found


def test_what_the_file_says_of_padding_comes_first():
    """Before any name."""
    said = tokenizer()
    said.enable_padding(pad_id=5, pad_token="w3")

    assert padding_of(said) == 5
