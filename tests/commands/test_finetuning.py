"""`finetune` on the command line: what it prints, refuses, and how it is stopped and taken up."""

import json
import shlex
import signal
import sys

import pytest
from sample_encoders import write_encoder
from sample_texts import write_tsv

from hpmkd_edge.cli import main
from hpmkd_edge.finetune.training import Training


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    write_encoder(folder / "encoder")
    write_tsv(folder / "praise.tsv", 128)
    return folder


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command, and gives exit code, output and complaints."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["hpmkd-edge", "finetune", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def flags(place):
    given = (place / "encoder", "--data", place / "praise.tsv", "--label", "label", "--epochs", "2", "--batch", "16")
    return (*given, "--learning-rate", "0.002", "--split-seed", "3")


def test_a_teacher_is_shown_with_the_next_command(run, flags, place):
    """On stdout; a person copies it."""
    code, out, err = run(*flags, "--output", "teacher")

    assert code == 0
    assert "test rows" in out.splitlines()[0]
    assert "epoch by epoch" in out
    assert shlex.split(out.splitlines()[-1]) == [
        *("hpmkd-edge", "compress", "--target", "host", "--data", str(place / "praise.tsv"), "--label", "label"),
        *("--split-seed", "3", "--teacher", "teacher"),
    ]
    assert err.endswith("hpmkd-edge: the teacher is in teacher\n")


def test_for_machines_it_is_the_record(run, flags, tmp_path):
    """The same as in finetune.json, and nothing else on stdout."""
    code, out, _ = run(*flags, "--output", "teacher", "--format", "json", "--length", "20")

    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "teacher" / "finetune.json").read_text())
    assert dict(json.loads(out)["settings"])["length"] == "20"


def test_a_first_ctrl_c_saves_and_says_how_to_go_on(run, flags, monkeypatch):
    """It ends with 130; --resume ends with 0, and with what an unbroken one makes."""
    step = Training._step

    def interrupted(self, rows):
        if self.progress.step == 7:
            signal.raise_signal(signal.SIGINT)
        return step(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_step", interrupted)
        stopped = run(*flags, "--output", "one")
    resumed = run("--resume", "one", "--format", "json")
    unbroken = run(*flags, "--output", "two", "--format", "json")

    assert stopped[0] == 130
    assert "after 8 of 12 steps. Take it up with: hpmkd-edge finetune --resume one\n" in stopped[2]
    assert (resumed[0], unbroken[0]) == (0, 0)
    assert json.loads(resumed[1])["weights_sha256"] == json.loads(unbroken[1])["weights_sha256"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "no ENCODER was given; an encoder and a file of sentences are needed"),
        (("minilm",), "no --data was given; an encoder"),
        (("minilm", "--resume", "runs/one"), "ENCODER cannot go with --resume"),
        (("--resume", "runs/one", "--epochs", "4"), "--epochs cannot go with --resume"),
        (("--resume", "runs/one"), "there is no interrupted training at"),
        (("minilm", "--data", "a.tsv", "--length", "long"), "--length is 'long'; a number of pieces, or auto"),
        (("minilm", "--data", "a.tsv", "--epochs", "0"), "--epochs is 0; a number from 1"),
        (("minilm", "--data", "none.tsv", "--label", "label"), "there is no file"),
    ],
)
def test_what_cannot_be_asked_ends_with_2(run, tmp_path, arguments, sentence):
    """In one sentence, and nothing is left behind."""
    code, out, err = run(*arguments)

    assert (code, out) == (2, "")
    assert sentence in err
    assert not list(tmp_path.rglob("*.partial"))
