"""Sentences as ids."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_texts import sentences, text_task
from tokenizers import Tokenizer

from hpmkd_edge.students import vocabulary
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.students.lexicon import lexicon_of
from hpmkd_edge.students.text_inlet import TextInlet
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Texts

TASK = text_task()
INLET = fit_inlet(TASK)


def test_the_inlet_of_a_text_task_follows_its_lexicon():
    """One is trained on the texts where none is given."""
    given = lexicon_of(TASK.train.inputs, tokenizer="bytes")

    assert isinstance(INLET, TextInlet)
    assert fit_inlet(TASK, given).lexicon is given
    assert INLET.features == (INLET.length,) == (INLET.lexicon.cut,)
    assert INLET.scale is None
    assert shape_of(INLET, TASK).lexicon is INLET.lexicon
    assert shape_of(INLET, TASK).kind == "text"


def test_stored_rows_are_the_ids_of_the_tokenizer_that_is_shipped():
    """Cut at the same place, and then zeros."""
    texts = [*TASK.test.inputs.strings(), "", "good " * 100, "漢字 [PAD]"]
    tokenizer = Tokenizer.from_str(INLET.lexicon.tokenizer)
    tokenizer.no_padding()
    stored = INLET.store(Texts.of(texts))

    assert stored.shape == (len(texts), INLET.length)
    assert stored.dtype == torch.int16
    for row, text in zip(stored.tolist(), texts, strict=True):
        ids = tokenizer.encode(text).ids
        assert row == ids + [0] * (INLET.length - len(ids))


def test_many_rows_are_read_in_blocks(monkeypatch):
    """To the same ids."""
    texts = Texts.of(sentences(50)[0])
    whole = INLET.store(texts)
    monkeypatch.setattr(vocabulary, "AT_ONCE", 7)

    torch.testing.assert_close(INLET.store(texts), whole, rtol=0, atol=0)


def test_large_vocabularies_take_wider_numbers():
    """int16 ends at 32,767."""
    wide = replace(INLET, lexicon=replace(INLET.lexicon, pieces=32_768, digest="wide"))

    assert wide.store(TASK.test.inputs).dtype == torch.int32


def test_a_batch_is_as_long_as_its_longest_row():
    """And at least 1; nothing of a row is lost."""
    stored = INLET.store(Texts.of(["", "good", "the film is good"]))
    lengths = INLET.lengths(stored)

    assert lengths.tolist() == [0, 1, 4]
    assert [tuple(INLET.open(stored[: rows + 1]).shape) for rows in range(3)] == [(1, 1), (2, 1), (3, 4)]
    assert INLET.open(stored).dtype == torch.int64
    assert INLET.open(stored[:0]).shape == (0, 1)


def test_a_piece_0_within_a_row_does_not_end_it():
    """Lengths go to the last piece."""
    stored = torch.zeros((1, INLET.length), dtype=torch.int16)
    stored[0, 3] = 5

    assert INLET.lengths(stored).tolist() == [4]


@pytest.mark.parametrize("text", ["good " * 20_000, "g" * 100_000, "🙂" * 100_000, "\x00\n\u200b", "a\u0301" * 1000])
def test_any_sentence_has_ids(text):
    """Long ones, one long word, and signs of no language."""
    for kind in ("wordpiece", "bytes"):
        inlet = fit_inlet(TASK, lexicon_of(TASK.train.inputs, tokenizer=kind))
        stored = inlet.store(Texts.of([text]))

        assert stored.shape == (1, inlet.length)
        assert int(stored.min()) >= 0
        assert int(stored.max()) < inlet.lexicon.pieces


def test_rows_of_images_and_of_tables_are_all_alike():
    """They have no lengths."""
    digits = open_task("digits")
    inlet = fit_inlet(digits)

    assert inlet.lengths(inlet.store(digits.test.inputs)) is None


def test_facts_say_what_the_file_takes():
    """For its metadata."""
    facts = INLET.facts()

    assert facts["pieces"] == INLET.lexicon.pieces
    assert "int64 [N, T]" in facts["input"]
    assert np.all([isinstance(key, str) for key in facts])
