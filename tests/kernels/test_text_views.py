"""Copies of texts follow from their seed alone, and are made of the texts' own words."""

from itertools import pairwise

import naive_kernels as naive
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sample_texts import sentences

from hpmkd_edge.kernels.text_views import add_alike, copy_texts, find_words
from hpmkd_edge.tasks.task import Texts

TEXTS = st.lists(st.text(st.sampled_from("ab é 語言\t\n\u3000かไ한😀𠀀，1"), max_size=24), min_size=1, max_size=8)


def words_of(texts):
    lengths, content = Texts.of(texts).blocks()
    return find_words(content, lengths)


def copies(texts, seed):
    content, offsets = copy_texts(words_of(texts), seed=seed)
    return [bytes(content[start:end]).decode() for start, end in pairwise(offsets)]


@given(TEXTS)
@settings(deadline=None)
def test_words_are_what_spaces_part(texts):
    """And tabs, line breaks and U+3000; letters of scripts without spaces are words, and no byte inside a letter is."""
    words = words_of(texts)
    found = [bytes(words.content[a:b]).decode() for a, b in zip(words.starts, words.ends, strict=True)]

    assert found == [word for text in texts for word in naive.split_words(text)]
    np.testing.assert_array_equal(np.diff(words.firsts), [len(naive.split_words(text)) for text in texts])


def test_letters_of_scripts_without_spaces_are_changed_one_by_one_and_stay_together():
    """Else such a sentence is one word, and no copy differs from it; Korean has spaces."""
    assert naive.split_words("我爱GPT4 吧\n서울 ดี，好") == ["我", "爱", "GPT4", "吧", "서울", "ด", "ี", "，", "好"]
    texts = [f"这部电影非常精彩我看了{'一二三四五六七八九十'[row % 10]}遍" for row in range(200)]
    made = copies(texts, 4)

    assert sum(copy == text for copy, text in zip(made, texts, strict=True)) < 80
    assert not any(" " in copy for copy in made)


@given(TEXTS, st.integers(0, 2**40))
@settings(max_examples=200, deadline=None)
@example(["", " ", ""], 3)
@example(["word"], 0)
def test_the_kernel_equals_its_slow_twin(texts, seed):
    """Letter for letter, also where no text has a word."""
    assert copies(texts, seed) == naive.copy_texts(texts, seed=seed)


def test_every_outline_and_every_change_equals_the_slow_twin():
    """On sentences of a length at which all of them are drawn."""
    texts, _ = sentences(2_000)

    assert copies(texts, 5) == naive.copy_texts(texts, seed=5)


def test_a_copy_has_a_word_where_its_text_has_one_and_all_of_its_words_are_of_the_texts():
    """An empty sentence stays empty."""
    texts = ["", *sentences(3_000)[0], "  "]
    known = {word for text in texts for word in text.split()}
    made = copies(texts, 1)

    assert (made[0], made[-1]) == ("", "")
    assert all(made[1:-1])
    assert {word for copy in made for word in copy.split(" ")} - {""} <= known


def test_another_seed_copies_otherwise():
    """Otherwise sixteen views would be one; a third of short sentences may stay as they are."""
    texts, _ = sentences(1_000)
    one, two = copies(texts, 1), copies(texts, 2)

    assert sum(a == b for a, b in zip(one, two, strict=True)) < 200
    assert sum(a == b for a, b in zip(one, texts, strict=True)) < 400


ALIKE = {"film": ["movie", "picture"], "good": ["fine", "bad"], "is": ["was", "café"]}


def with_alike(texts):
    words = words_of(texts)
    found = [bytes(words.content[a:b]).decode() for a, b in zip(words.starts, words.ends, strict=True)]
    lengths, content = Texts.of([other for others in ALIKE.values() for other in others]).blocks()
    return add_alike(
        words,
        kinds_W=np.array([list(ALIKE).index(word) if word in ALIKE else -1 for word in found], np.int32),
        nearest_AL=np.arange(2 * len(ALIKE)).reshape(-1, 2),
        bytes_B=content,
        lengths_C=lengths,
    )


def test_words_that_are_like_others_take_their_place_in_half_of_the_copies():
    """As the slow twin has it; what no word is like stays, and the texts' own words are those that masks draw from."""
    texts, _ = sentences(2_000)
    content, offsets = copy_texts(with_alike(texts), seed=3)
    made = [bytes(content[start:end]).decode() for start, end in pairwise(offsets)]

    assert made == naive.copy_texts(texts, seed=3, alike=ALIKE)
    assert {"café", "picture"} <= {word for copy in made for word in copy.split()}


def test_kinds_of_other_words_are_refused():
    """One a word."""
    words = words_of(["a film"])
    with pytest.raises(ValueError, match="kinds of 2 words are needed, not of 1"):
        add_alike(
            words,
            kinds_W=np.zeros(1, np.int32),
            nearest_AL=np.zeros((1, 1), np.int64),
            bytes_B=np.zeros(1, np.uint8),
            lengths_C=np.ones(1, np.int64),
        )


def test_bytes_that_are_not_the_texts_are_refused():
    """Lengths and bytes belong together."""
    with pytest.raises(ValueError, match="texts of 3 bytes are needed, not of 4"):
        find_words(np.zeros(4, np.uint8), np.array([1, 2]))


def test_copies_too_large_for_their_offsets_are_refused():
    """One long word, drawn again and again: 2.1 GB are counted, and not made."""
    words = find_words(np.full(50_000_000, ord("a"), np.uint8), np.array([50_000_000]))
    many = type(words)(
        content=words.content,
        starts=np.zeros(200, np.int64),
        ends=np.full(200, 50_000_000),
        alone=np.zeros(200, np.bool_),
        firsts=np.arange(201),
    )

    with pytest.raises(OverflowError, match=r"at most 2,147,483,647 are possible"):
        copy_texts(many, seed=0)
