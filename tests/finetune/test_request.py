"""What can be asked of a fine-tuning, and what cannot."""

from dataclasses import replace

import pytest

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.finetune.request import FineTuning, read_request, write_request

ASKED = FineTuning(encoder="minilm", data="sst2.tsv", label="label")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 0}, r"--epochs is 0; a number from 1"),
        ({"batch": 0}, r"--batch is 0; a number from 1"),
        ({"length": 2}, r"--length is 2; a number from 3"),
        ({"seed": -1}, r"--seed is -1; a number from 0"),
        ({"split_seed": -1}, r"--split-seed is -1"),
        ({"learning_rate": 0.0}, r"--learning-rate is 0; more than 0"),
        ({"learning_rate": float("nan")}, r"--learning-rate is nan"),
        ({"weight_decay": -0.1}, r"--weight-decay is -0\.1; 0 or more"),
        ({"warmup": 1.0}, r"--warmup is 1; a share of the steps below 1"),
        ({"keep": "first"}, r"no weights to keep 'first'\. .*Known: best, last"),
        ({"pooling": "max"}, r"no pooling 'max'\. .*Known: auto, head, mean"),
        ({"device": "tpu"}, r"no device 'tpu'\. .*Known: auto, cpu, cuda"),
        ({"encoder": ""}, r"ENCODER is empty"),
        ({"data": ""}, r"--data is empty"),
    ],
)
def test_what_no_training_can_use_is_refused(change, sentence):
    """Found, then needed."""
    with pytest.raises(BadConfiguration, match=sentence):
        replace(ASKED, **change).check()


def test_a_request_is_read_back_as_it_was_written(tmp_path):
    """Whoever takes up a training asks for the same."""
    write_request(replace(ASKED, length=48, keep="best"), tmp_path / "asked.json")

    assert read_request(tmp_path / "asked.json") == replace(ASKED, length=48, keep="best")


def test_no_request_and_a_damaged_one_are_refused(tmp_path):
    """A missing file is no interrupted training; a key that nobody knows is of another version."""
    with pytest.raises(BadConfiguration, match="there is no interrupted training at"):
        read_request(tmp_path / "asked.json")
    write_request(ASKED, tmp_path / "asked.json")
    text = (tmp_path / "asked.json").read_text()
    (tmp_path / "asked.json").write_text(text.replace('"epochs"', '"epoch"'))
    with pytest.raises(BadConfiguration, match="does not follow hpmkd-edge/finetuning/1: epoch"):
        read_request(tmp_path / "asked.json")
