"""`finetune`: an encoder and a file of sentences go in, a teacher comes out."""

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sample_encoders import write_encoder
from sample_texts import write_tsv

from hpmkd_edge import finetuning
from hpmkd_edge.errors import BadConfiguration, BadData, BadOutput, BadTeacher, Interrupted, TrainingFailed
from hpmkd_edge.finetune.request import FineTuning
from hpmkd_edge.finetuned import read_finetuned
from hpmkd_edge.finetuning import finetune, resume_finetuning
from hpmkd_edge.interruption import Interruption
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.teachers.open import open_teacher


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an encoder and sentences, of 6 steps an epoch."""
    folder = tmp_path_factory.mktemp("place")
    write_encoder(folder / "encoder")
    write_tsv(folder / "praise.tsv", 128)
    return folder


@pytest.fixture
def asked(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return FineTuning(
        encoder=str(place / "encoder"),
        data=str(place / "praise.tsv"),
        label="label",
        epochs=2,
        batch=16,
        learning_rate=2e-3,
    )


@contextmanager
def impatient():
    """Stand in for a user who has asked to stop before anything began."""
    yield Interruption(asked=True)


@pytest.fixture
def broken_off(asked, monkeypatch):
    """A training that was stopped after its first step, in runs/one.partial."""
    with monkeypatch.context() as patched:
        patched.setattr(finetuning, "listening", impatient)
        with pytest.raises(
            Interrupted,
            match=r"stopped as asked, after 1 of 12 steps\. Take it up with: hpmkd-edge finetune --resume runs/one$",
        ):
            finetune(asked, output=Path("runs/one"))
    return asked


def test_a_teacher_answers_as_its_record_says(asked):
    """Opened as anybody opens it, and asked sentence by sentence."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    made = finetune(replace(asked, keep="best"), output=Path("runs/one"))
    folder = Path("runs/one")
    model, tokenizer = (kind.from_pretrained(folder) for kind in (AutoModelForSequenceClassification, AutoTokenizer))
    test = open_task(asked.data, label="label").test
    right = 0
    for text, label in zip(test.inputs.strings(), test.labels, strict=True):
        cut = tokenizer(text, truncation=True, return_tensors="pt")
        answer = int(model(**cut).logits.argmax())
        right += model.config.id2label[answer] == made.classes[label]

    assert right / len(test) == made.test_accuracy
    assert made.test_error == pytest.approx(np.sqrt(made.test_accuracy * (1 - made.test_accuracy) / len(test)))
    assert made.validation_accuracy == max(epoch.validation_accuracy for epoch in made.epochs)
    assert dict(made.settings)["length"] == str(tokenizer.model_max_length)
    assert read_finetuned(folder) == made
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "finetune.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert [path.name for path in Path("runs").iterdir()] == ["one"]


def test_a_teacher_that_reads_the_mean_answers_as_its_record_says(asked):
    """Written as sentence-transformers does, opened as any teacher, and killed and taken up to the same weights."""
    wanted = replace(asked, pooling="mean")
    made = finetune(wanted, output=Path("runs/one"))
    task = open_task(asked.data, label="label")
    teacher = open_teacher("runs/one", task=task, weights=None, normalize=None, trust=False)

    assert (teacher.logits(task.test).argmax(1) == task.test.labels).mean() == made.test_accuracy
    assert dict(made.settings)["pooling"] == "mean"
    assert made.weights_bytes > Path("runs/one/model.safetensors").stat().st_size
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(finetuning, "listening", impatient)
        with pytest.raises(Interrupted):
            finetune(wanted, output=Path("runs/two"))
    assert resume_finetuning(Path("runs/two")).weights_sha256 == made.weights_sha256


def test_an_interrupted_training_ends_as_an_unbroken_one(broken_off):
    """With the same weights, bit by bit, and nothing left beside them."""
    resumed = resume_finetuning(Path("runs/one.partial"))
    unbroken = finetune(broken_off, output=Path("runs/two"))

    assert resumed.weights_sha256 == unbroken.weights_sha256
    assert resumed.notes == unbroken.notes
    assert sorted(path.name for path in Path("runs").iterdir()) == ["one", "two"]


def test_the_threads_of_the_beginning_are_kept(broken_off, monkeypatch):
    """Sums in another order round differently; the caller's number is as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    seen = []
    monkeypatch.setattr(finetuning, "grade", lambda *_: (seen.append(torch.get_num_threads()), (0.5, 1.0))[1])
    resumed = resume_finetuning(Path("runs/one"))
    after = torch.get_num_threads()
    torch.set_num_threads(before)

    assert (seen, after) == ([before], before + 1)
    assert dict(resumed.begun)["threads"] == str(before)


def test_other_versions_are_noted(broken_off, monkeypatch):
    """The record says that it is not the same to the bit."""
    monkeypatch.setattr(finetuning, "version", lambda name: "9.9")
    resumed = resume_finetuning(Path("runs/one"))

    assert any("Taken up with torch 9.9 instead of " in note for note in resumed.notes)


def test_other_data_is_not_taken_up(broken_off):
    """What was trained so far is kept, for when it is put back."""
    kept = Path(broken_off.data).read_text()
    write_tsv(broken_off.data, 128, seed=5)
    with pytest.raises(BadData, match=r"praise\.tsv is not what it was when the training began: sha256 [0-9a-f]{12}…"):
        resume_finetuning(Path("runs/one"))
    Path(broken_off.data).write_text(kept)

    assert resume_finetuning(Path("runs/one")).epochs


def test_a_resumed_training_is_found_or_refused(broken_off, monkeypatch, tmp_path):
    """From where it began, and only there."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(BadConfiguration, match=r"was started in .*, where its relative paths hold"):
        resume_finetuning(tmp_path / "runs" / "one")
    with pytest.raises(BadConfiguration, match="there is no interrupted training at"):
        resume_finetuning(tmp_path / "runs" / "two")


def test_what_is_there_is_not_written_over(broken_off):
    """Neither a folder with files, nor an interrupted training."""
    Path("full").mkdir()
    Path("full/file").touch()
    with pytest.raises(BadOutput, match="full exists already"):
        finetune(broken_off, output=Path("full"))
    with pytest.raises(BadOutput, match="holds an interrupted run; take it up with --resume"):
        finetune(broken_off, output=Path("runs/one"))


def test_what_cannot_be_learned_is_refused_and_leaves_nothing(asked, place):
    """Found, then needed."""
    (place / "same.tsv").write_text("text\tlabel\n" + "the film is good\tgood\n" * 40)
    (place / "table.csv").write_text("size,label\n" + "1,old\n2,new\n3,old\n4,new\n" * 20)
    for change, kind, sentence in (
        ({"data": "digits", "label": None}, BadData, "digits holds images; a column of sentences is needed"),
        ({"data": str(place / "table.csv")}, BadData, r"table\.csv holds a table; a column of sentences is needed"),
        ({"data": str(place / "same.tsv")}, BadData, "class"),
        ({"encoder": str(place)}, BadTeacher, r"has no config\.json"),
        ({"length": 65}, BadConfiguration, "--length is 65, and the encoder takes 64 pieces"),
        ({"epochs": 0}, BadConfiguration, "--epochs is 0"),
        ({"learning_rate": 1e30}, TrainingFailed, "the loss is "),
    ):
        with pytest.raises(kind, match=sentence):
            finetune(replace(asked, **change), output=Path("runs/one"))

        assert not list(Path("runs").glob("*"))


def test_precision_follows_what_the_processor_says(monkeypatch, tmp_path):
    """A flag of its own; a timing would come out one way today and another tomorrow."""
    cpu = torch.device("cpu")
    for flags, expected in (("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f", False)):
        monkeypatch.setattr(Path, "read_text", lambda *_, flags=flags, **__: f"processor : 0\nflags\t\t: {flags}\n")

        assert finetuning._multiplies_bfloat16(cpu) is expected
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "Features : fp asimd bf16\n")

    assert finetuning._multiplies_bfloat16(cpu) is False


PROGRAM = """
import json, sys
from pathlib import Path
from hpmkd_edge.finetune import training
from hpmkd_edge.finetune.request import FineTuning
from hpmkd_edge.finetuning import finetune
training.SAVE_EVERY_S, training.SAVING_SHARE = 0.0, 1e9
finetune(FineTuning(**json.loads(sys.argv[1])), output=Path(sys.argv[2]))
"""
RESUME = """
from pathlib import Path
from hpmkd_edge.finetuning import resume_finetuning
resume_finetuning(Path("runs/one"))
"""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_what_can_be_taken_up(place, tmp_path, monkeypatch):
    """SIGKILL, which nobody can catch, while it trains and saves after each step; each part in a process of its own."""
    monkeypatch.chdir(tmp_path)
    given = {"encoder": str(place / "encoder"), "data": str(place / "praise.tsv"), "label": "label", "epochs": 12}
    asked = json.dumps(given | {"batch": 16, "learning_rate": 2e-3})
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, asked, "runs/one"])
    state, deadline = Path("runs/one.partial/state/training.pt"), time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.01)
    time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    killed = child.wait()
    step = torch.load(state, weights_only=True)["progress"]["step"]
    subprocess.run([sys.executable, "-c", RESUME], check=True)
    subprocess.run([sys.executable, "-c", PROGRAM, asked, "runs/two"], check=True)
    resumed, unbroken = (read_finetuned(Path(f"runs/{name}")) for name in ("one", "two"))

    assert killed == -signal.SIGKILL
    assert 0 < step < 72
    assert resumed.weights_sha256 == unbroken.weights_sha256
