"""Pieces trained on texts, and vocabularies pruned to them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_texts import sentences
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.students.vocabulary import PADDING, count_pieces, pruned, read_tokenizer, trained
from hpmkd_edge.tasks.task import Texts

TEXTS = Texts.of(sentences(300)[0])
# What a large vocabulary knows and the texts have not.
OTHERS = ["undeniably zebra quixotic", "the mountains of kraków", "zzz unrelated words beyond the texts"] * 3


def large(kind):
    """Return a tokenizer of *kind*, trained on more than the texts; its padding is at 2, where it has any."""
    special = ["<s>", "[UNK]", "[PAD]"]
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=special, show_progress=False)
    elif kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=900, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(
            vocab_size=300, special_tokens=special, unk_token="[UNK]", show_progress=False
        )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer, tokenizer.decoder = {
        "wordpiece": (pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()),
        "bytes": (pre_tokenizers.ByteLevel(), decoders.ByteLevel()),
        "unigram": (pre_tokenizers.Metaspace(), decoders.Metaspace()),
    }[kind]
    tokenizer.train_from_iterator([*TEXTS.strings(), *OTHERS], trainer)
    return tokenizer


KINDS = ("wordpiece", "bytes", "unigram")


@pytest.fixture(scope="module", params=KINDS)
def whole(request):
    return large(request.param)


@pytest.mark.parametrize("kind", ["wordpiece", "bytes"])
def test_training_twice_gives_the_same_tokenizer(kind):
    """The name of a student's file follows from its data."""
    assert trained(kind, TEXTS, 400).to_str() == trained(kind, TEXTS, 400).to_str()


@pytest.mark.parametrize("kind", ["wordpiece", "bytes"])
def test_a_trained_vocabulary_begins_with_its_special_pieces_and_keeps_to_its_size(kind):
    """Padding 0, unknown 1, masked 2."""
    tokenizer = trained(kind, TEXTS, 320)

    assert [tokenizer.id_to_token(number) for number in range(3)] == [PADDING, "[UNK]", "[MASK]"]
    assert tokenizer.get_vocab_size() <= 320
    assert tokenizer.encode("[MASK]").ids[-1] == 2


@given(st.text())
@settings(max_examples=50, deadline=None)
def test_bytes_spell_any_text(text):
    """Nothing is unknown, and the pieces say what was written, after a space."""
    tokenizer = BYTES
    found = tokenizer.encode(text.replace("[", "("))

    assert 1 not in found.ids
    assert tokenizer.decode(found.ids).removeprefix(" ") == text.replace("[", "(").removeprefix(" ")


BYTES = trained("bytes", TEXTS, 320)


def test_a_pruned_vocabulary_spells_the_texts_as_the_whole_one_does(whole):
    """Where it has room for all that occurs."""
    small = pruned(whole, TEXTS, 800)
    counts, _ = count_pieces(whole, TEXTS)
    rare = {whole.id_to_token(number) for number, count in enumerate(counts) if count == 1}
    rows = [(whole.encode(text).tokens, small.encode(text).tokens) for text in TEXTS.strings()]

    assert small.get_vocab_size() < whole.get_vocab_size()
    assert all(found == known for known, found in rows if not rare & set(known))


def test_a_pruned_vocabulary_keeps_to_its_size_and_spells_all_the_same(whole):
    """Single characters come first; sizes too small for words cut them up."""
    small = pruned(whole, TEXTS, 300 if whole.get_vocab_size() > 400 else 80)
    text = "the acting is truly dreadful"

    assert small.get_vocab_size() <= (300 if whole.get_vocab_size() > 400 else 80)
    assert small.decode(small.encode(text).ids).strip() == text


def test_padding_is_0_and_unknown_1_and_ids_have_no_gap(whole):
    """A table of embeddings has one row for each."""
    small = pruned(whole, TEXTS, 400)

    assert small.id_to_token(0) == PADDING
    assert small.id_to_token(1) == "[UNK]"
    assert sorted(small.get_vocab().values()) == list(range(small.get_vocab_size()))


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_what_no_piece_spells_is_unknown(kind):
    """Here a letter that the texts have not."""
    assert 1 in pruned(large(kind), TEXTS, 400).encode("漢").ids


@pytest.mark.parametrize("kind", [*KINDS, "whitespace", "words"])
def test_no_sentence_has_the_id_of_padding(kind):
    """It could end itself; not even where padding, as the tokenizer calls it or as a student does, stands in it."""
    whole = large(kind if kind in KINDS else "wordpiece")
    if kind == "words":
        whole.model = models.WordLevel(whole.get_vocab(), unk_token="[UNK]")
    if kind not in KINDS:
        whole.pre_tokenizer, whole.normalizer = pre_tokenizers.WhitespaceSplit(), normalizers.NFC()
    tokenizers = [pruned(whole, TEXTS, 400)]
    tokenizers += [trained(kind, TEXTS, 400)] if kind in ("wordpiece", "bytes") else []
    for tokenizer in tokenizers:
        for name in ("[PAD]", "<pad>", PADDING, "[ PAD ] "):
            assert 0 not in tokenizer.encode(f"good {name} bad{name}").ids
            assert 0 not in tokenizer.encode(name).ids


def test_merges_of_a_pruned_bpe_are_closed():
    """Each piece of more than one byte can be reached by merges that are left."""
    model = json.loads(pruned(large("bytes"), TEXTS, 400).to_str())["model"]
    reached = {piece for piece in model["vocab"] if len(piece) == 1}
    for left, right in model["merges"]:
        assert {left, right} <= reached
        reached.add(left + right)

    assert set(model["vocab"]) - reached == {PADDING, "[UNK]", "<|end|>"}


def test_pieces_are_counted_as_they_are_encoded():
    """Without those that a model would have around a sentence."""
    tokenizer = large("wordpiece")
    counts, lengths = count_pieces(tokenizer, Texts.of(["good good film", "", "film"]))

    assert lengths.tolist() == [3, 0, 1]
    assert counts[tokenizer.token_to_id("good")] == 2
    assert counts.sum() == 4


def test_a_tokenizer_is_read_from_its_file_or_its_folder(tmp_path):
    """Without the truncation that it has there."""
    tokenizer = large("wordpiece")
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    for path in (tmp_path, tmp_path / "tokenizer.json"):
        assert len(read_tokenizer(path).encode("the film is good").ids) == 4


def test_what_is_no_tokenizer_is_refused(tmp_path):
    """By what was found there."""
    (tmp_path / "broken.json").write_text("{}")

    with pytest.raises(
        BadConfiguration, match=r"there is no tokenizer .*; wordpiece, bytes, a tokenizer\.json or its folder"
    ):
        read_tokenizer(tmp_path)
    with pytest.raises(BadConfiguration, match=r"broken.json is no tokenizer: .*; a tokenizer.json is needed"):
        read_tokenizer(tmp_path / "broken.json")
