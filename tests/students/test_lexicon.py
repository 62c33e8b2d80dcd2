"""The lexicon of a task: which pieces, where rows are cut, what students begin from."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_encoders import write_encoder
from sample_texts import sentences
from tokenizers import Tokenizer

from hpmkd_edge.errors import BadConfiguration, BadStudent
from hpmkd_edge.students.lexicon import lexicon_of
from hpmkd_edge.students.origin import read_weights
from hpmkd_edge.tasks.task import Texts

TEXTS = Texts.of(sentences(300)[0])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder"), num_hidden_layers=4)


def test_the_same_texts_make_the_same_lexicon(encoder):
    """To the byte; another vocabulary, or another origin, is another."""
    one, same = (lexicon_of(TEXTS, folder=encoder) for _ in range(2))

    assert one == same
    assert one.tokenizer == same.tokenizer
    assert hash(one) == hash(same)
    assert len({one, lexicon_of(TEXTS), lexicon_of(TEXTS, tokenizer="bytes"), lexicon_of(TEXTS, pieces=300)}) == 4


def test_the_tokenizer_stands_ready(encoder):
    """Compact, cut at a multiple of 8, padded with 0, nothing around a sentence."""
    lexicon = lexicon_of(TEXTS, folder=encoder)
    tokenizer = Tokenizer.from_str(lexicon.tokenizer)
    rows = tokenizer.encode_batch(["good film " * 100, "good"])

    assert "\n" not in lexicon.tokenizer
    assert tokenizer.get_vocab_size() == lexicon.pieces
    assert lexicon.cut % 8 == 0
    assert [len(row.ids) for row in rows] == [lexicon.cut] * 2
    assert rows[1].ids[1:] == [0] * (lexicon.cut - 1)
    assert rows[1].tokens[0] == "good"


@pytest.mark.parametrize(("words", "cut"), [(1, 8), (9, 16), (40, 40), (1000, 128)])
def test_rows_are_cut_where_nearly_all_have_ended(words, cut):
    """Up to the next multiple of 8, within 8 … 128."""
    assert lexicon_of(Texts.of(["good " * words] * 50)).cut == cut


def test_one_long_row_in_a_thousand_is_cut():
    """All others would be padded for it."""
    assert lexicon_of(Texts.of(["good film"] * 999 + ["good " * 100])).cut == 8


def test_pieces_that_the_encoder_has_take_its_vectors(encoder):
    """Padding takes none."""
    lexicon = lexicon_of(TEXTS, folder=encoder)
    table = read_weights(encoder)["embeddings.word_embeddings.weight"]
    whole = Tokenizer.from_file(str(encoder / "tokenizer.json")).get_vocab()
    own = Tokenizer.from_str(lexicon.tokenizer).get_vocab()

    np.testing.assert_array_equal(lexicon.origin.vectors[0], 0)
    for piece, number in own.items():
        if number:
            np.testing.assert_array_equal(lexicon.origin.vectors[number], table[whole[piece]])


def test_a_piece_of_its_own_is_the_mean_of_what_the_encoder_spells_it_with(encoder):
    """Here "Ġfilm", whose letters are one piece of the encoder, and a word that is none."""
    texts = Texts.of(["film goodfilm"] * 5)
    lexicon = lexicon_of(texts, tokenizer="bytes", folder=encoder)
    own = Tokenizer.from_str(lexicon.tokenizer)
    whole = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    table = read_weights(encoder)["embeddings.word_embeddings.weight"]
    spelled = whole.encode("goodfilm", add_special_tokens=False).ids

    assert len(spelled) > 1
    for piece, ids in (("Ġfilm", [whole.token_to_id("film")]), ("Ġgoodfilm", spelled)):
        np.testing.assert_allclose(lexicon.origin.vectors[own.token_to_id(piece)], table[ids].mean(0), rtol=1e-6)


def test_the_weights_have_the_names_of_bert_whatever_is_before_them(encoder, tmp_path):
    """A classifier has "bert." before its encoder's, and a head, which is not taken."""
    from transformers import BertForSequenceClassification

    BertForSequenceClassification.from_pretrained(encoder).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((encoder / "tokenizer.json").read_bytes())
    plain, tuned = (lexicon_of(TEXTS, folder=folder).origin for folder in (encoder, tmp_path))

    assert {"embeddings.position_embeddings.weight", "encoder.layer.3.output.dense.bias"} <= tuned.weights.keys()
    assert not any("classifier" in name or name.startswith("bert.") for name in tuned.weights)
    assert tuned.heads == 2
    for name, value in tuned.weights.items():
        np.testing.assert_array_equal(value, plain.weights[name])


def test_weights_of_a_pickle_are_the_same(encoder, tmp_path):
    """pytorch_model.bin, read without running it."""
    from safetensors.torch import load_file

    torch.save(load_file(encoder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    for name, value in read_weights(encoder).items():
        np.testing.assert_array_equal(read_weights(tmp_path)[name], value)


def changed(encoder, folder, **changes):
    """Copy an encoder into *folder* with another config."""
    config = json.loads((encoder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "model.safetensors"):
        (folder / name).write_bytes((encoder / name).read_bytes())
    return folder


@pytest.mark.parametrize("change", [{"model_type": "electra"}, {"hidden_act": "relu"}])
def test_of_another_plan_only_the_embeddings_are_taken(encoder, tmp_path, change):
    """Layers of the student would compute something else with its weights."""
    origin = lexicon_of(TEXTS, folder=changed(encoder, tmp_path, **change)).origin

    assert (origin.weights, origin.heads) == ({}, 0)
    assert origin.vectors[1:].any()


def test_a_folder_without_embeddings_is_no_origin_and_the_source_says_so(encoder, tmp_path):
    """Its tokenizer is of use all the same."""
    from safetensors.numpy import save_file

    changed(encoder, tmp_path)
    save_file({"weight": np.zeros((3, 3), np.float32)}, tmp_path / "model.safetensors")
    lexicon = lexicon_of(TEXTS, folder=tmp_path)

    assert lexicon.origin is None
    assert "no embeddings of pieces to begin from" in lexicon.source


def test_a_tokenizer_and_a_model_of_different_vocabularies_are_refused(encoder, tmp_path):
    """Ids that the model has no embedding for."""
    spec = json.loads((encoder / "tokenizer.json").read_text())
    spec["model"]["vocab"]["zebra"] = len(spec["model"]["vocab"])
    changed(encoder, tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))

    with pytest.raises(BadStudent, match=r"ids up to \d+, but its model embeds \d+; the two must belong together"):
        lexicon_of(TEXTS, folder=tmp_path)


def test_weights_that_are_missing_or_damaged_are_refused(encoder, tmp_path):
    """By what is in the folder."""
    changed(encoder, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(BadStudent, match=r"the weights in .* cannot be read"):
        lexicon_of(TEXTS, folder=tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BadStudent, match=r"neither model.safetensors nor pytorch_model.bin; one is needed"):
        lexicon_of(TEXTS, folder=tmp_path)


def test_too_few_pieces_are_refused():
    """They could not spell."""
    with pytest.raises(BadConfiguration, match="a vocabulary of 10 pieces is asked for; at least 300 are needed"):
        lexicon_of(TEXTS, pieces=10)


def test_empty_sentences_alone_have_a_lexicon():
    """Of letters and signs."""
    lexicon = lexicon_of(Texts.of(["", " "]))

    assert lexicon.cut == 8
    assert 0 < lexicon.pieces <= 300


def test_two_lexicons_of_one_digest_are_equal():
    """And nothing else is compared."""
    lexicon = lexicon_of(TEXTS)

    assert replace(lexicon, source="elsewhere") == lexicon
    assert replace(lexicon, digest="0") != lexicon
    assert lexicon != "lexicon"


def test_validation_rows_are_read_to_their_end_too():
    """A set may train on phrases and be asked about whole sentences; a row in two hundred is read in both."""
    phrases, whole = Texts.of(["good film"] * 1000), Texts.of(["good film"] * 199 + ["good " * 30])

    assert lexicon_of(phrases).cut == 8
    assert lexicon_of(phrases, also=whole).cut == lexicon_of(whole, also=phrases).cut == 32


def test_layers_are_left_behind_where_nobody_takes_them(encoder):
    """They go to every worker; the vectors of the pieces stay, and the encoder's whole table never comes along."""
    whole, lean = (lexicon_of(TEXTS, folder=encoder, layers=layers).origin for layers in (True, False))

    assert (lean.weights, lean.heads) == ({}, 0)
    assert whole.weights
    assert not any("word_embeddings" in name for name in whole.weights)
    np.testing.assert_array_equal(lean.vectors, whole.vectors)
