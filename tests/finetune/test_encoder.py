"""Encoders as they are found: whole ones, and those that cannot teach."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from sample_encoders import write_encoder, write_tokenizer

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.finetune import encoder as module
from hpmkd_edge.finetune.encoder import check_installed, chosen_length, open_encoder

CLASSES = ("bad", "good", "so-so")


@pytest.fixture
def folder(tmp_path):
    return write_encoder(tmp_path / "encoder")


def test_an_encoder_gets_a_head_for_the_classes(folder):
    """They are named in the configuration, which whoever opens the teacher reads; all else is as it was."""
    found = open_encoder(folder, "tiny", CLASSES, 0)
    before = load_file(folder / "model.safetensors")

    assert found.model.config.id2label == dict(enumerate(CLASSES))
    assert found.model.config.label2id == {"bad": 0, "good": 1, "so-so": 2}
    assert found.new == ("classifier.bias", "classifier.weight")
    assert found.longest == 64
    for name, tensor in found.model.bert.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_the_head_follows_from_the_seed_and_the_digest_does_not(folder):
    """Two seeds are two trainings of one encoder."""
    first, again, other = (open_encoder(folder, "tiny", CLASSES, seed) for seed in (0, 0, 1))

    assert torch.equal(first.model.classifier.weight, again.model.classifier.weight)
    assert not torch.equal(first.model.classifier.weight, other.model.classifier.weight)
    assert first.sha256 == again.sha256 == other.sha256


def test_the_digest_follows_the_weights(folder, tmp_path):
    """Other weights are another encoder."""
    assert (
        open_encoder(folder, "tiny", CLASSES, 0).sha256
        != open_encoder(write_encoder(tmp_path / "b", seed=1), "tiny", CLASSES, 0).sha256
    )


def test_a_head_of_as_many_classes_is_kept(folder, tmp_path):
    """A classifier can be trained on; one of other classes gets a new head."""
    trained = open_encoder(folder, "tiny", CLASSES, 0)
    trained.model.save_pretrained(tmp_path / "trained")
    trained.tokenizer.save_pretrained(tmp_path / "trained")
    kept, renewed = (open_encoder(tmp_path / "trained", "tiny", classes, 7) for classes in (CLASSES, CLASSES[:2]))

    assert kept.new == ()
    assert torch.equal(kept.model.classifier.weight, trained.model.classifier.weight)
    assert renewed.new == ("classifier.bias", "classifier.weight")
    assert renewed.model.classifier.weight.shape[0] == 2


def test_an_encoder_of_half_precision_is_trained_in_full(folder):
    """Small steps are lost in the rounding of 8 bits."""
    path = folder / "model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))

    assert {weight.dtype for weight in open_encoder(folder, "tiny", CLASSES, 0).model.parameters()} == {torch.float32}


def test_a_folder_without_a_tokenizer_is_refused(folder):
    """One of the special pieces alone would read every word as unknown."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(BadTeacher, match=r"tiny has no tokenizer; a tokenizer\.json is needed"):
        open_encoder(folder, "tiny", CLASSES, 0)


def test_a_tokenizer_of_another_vocabulary_is_refused(folder):
    """Its ids would lie beyond the embedding."""
    (folder / "tokenizer.json").unlink()
    path = folder / "tokenizer.json"
    known = write_tokenizer(folder)
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"] |= {f"extra{number}": known + number for number in range(1000)}
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(BadTeacher, match=f"has ids up to {known + 999:,}, and its model knows {known:,} pieces"):
        open_encoder(folder, "tiny", CLASSES, 0)


def test_a_damaged_tokenizer_is_refused(folder):
    """With its folder and the cause."""
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(BadTeacher, match=r"tiny cannot be read as a tokenizer: .+; a folder of transformers is needed"):
        open_encoder(folder, "tiny", CLASSES, 0)


def test_weights_that_are_not_there_are_not_made_up(folder):
    """Random layers among trained ones would train, badly, and nobody would know."""
    path = folder / "model.safetensors"
    found = {name: tensor for name, tensor in load_file(path).items() if "layer.0.attention" not in name}
    save_file(found, path, {"format": "pt"})
    with pytest.raises(
        BadTeacher, match=r"lacks weights of its bert, .*: bert\.encoder\.layer\.0\.attention.* and \d+ more"
    ):
        open_encoder(folder, "tiny", CLASSES, 0)


def test_damaged_and_missing_weights_are_refused(folder):
    """In a sentence, and not in a trace."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(BadTeacher, match="tiny cannot be read as an encoder of text"):
        open_encoder(folder, "tiny", CLASSES, 0)
    path.unlink()
    with pytest.raises(BadTeacher, match="tiny cannot be read as an encoder of text"):
        open_encoder(folder, "tiny", CLASSES, 0)


def test_a_model_of_something_else_is_refused(folder):
    """Transformers has no classifier of text for images' models."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "vit"}))
    with pytest.raises(
        BadTeacher, match="cannot be read as an encoder of text: ValueError: Unrecognized configuration"
    ):
        open_encoder(folder, "tiny", CLASSES, 0)


def test_a_tokenizer_without_padding_pads_with_its_end(folder):
    """As GPT-2's; one that has neither is refused."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    ended = {key: value for key, value in config.items() if key != "pad_token"} | {"eos_token": "[SEP]"}
    path.write_text(json.dumps(ended))
    found = open_encoder(folder, "tiny", CLASSES, 0)
    ended.pop("eos_token")
    path.write_text(json.dumps(ended))

    assert found.tokenizer.pad_token_id == found.model.config.pad_token_id == 3
    with pytest.raises(BadTeacher, match="has no piece that pads and none that ends"):
        open_encoder(folder, "tiny", CLASSES, 0)


def test_positions_of_robertas_kin_begin_after_the_padding(tmp_path):
    """It has 66 rows of positions for 64 pieces; one more piece would be out of range."""
    from transformers import RobertaConfig, RobertaModel

    known = write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if "max" not in key}))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    RobertaModel(RobertaConfig(vocab_size=known, pad_token_id=1, max_position_embeddings=66, **sizes)).save_pretrained(
        tmp_path
    )
    found = open_encoder(tmp_path, "tiny", CLASSES, 0)
    ids = torch.full((1, 64), 9)

    assert found.longest == 64
    assert found.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.isfinite().all()


def test_the_length_is_what_is_needed_in_eights_or_what_is_asked():
    """And never more than the encoder takes."""
    assert chosen_length(None, 512, 33) == 40
    assert chosen_length(None, 36, 33) == 36
    assert chosen_length(None, 512, 40) == 40
    assert chosen_length(48, 512, 33) == 48
    with pytest.raises(BadConfiguration, match="--length is 513, and the encoder takes 512 pieces"):
        chosen_length(513, 512, 513)


def test_missing_libraries_are_named(monkeypatch):
    """With what to install."""
    monkeypatch.setattr(module, "LIBRARIES", ("transformers", "no_such_library"))
    with pytest.raises(
        BadConfiguration, match=r"no_such_library, which is not installed; pip install 'hpmkd-edge\[text\]'"
    ):
        check_installed()
