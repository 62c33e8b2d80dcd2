"""The journal: what is written is read, line by line, whoever writes."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.tracking.journal import SHARED, Epoch, Journal, read_entries


def epoch(number, **changes):
    return Epoch(**{"number": number, "of": 9, "loss": 0.5, "accuracy": 0.75, "learning_rate": 0.1} | changes)


@pytest.fixture
def journal(tmp_path):
    return Journal(path=tmp_path / "epochs.jsonl")


def test_what_is_written_is_read_once(journal):
    """From where the last reading ended; a line that is not whole yet waits."""
    tell = journal.teller("residual 10×1: KD, T by auto", "0123456789")
    tell(epoch(1, temperature=None))
    first, offset = read_entries(journal.path, 0)
    tell(epoch(2, temperature=3.5))
    with journal.path.open("a") as stream:
        stream.write('{"scope": "sha')
    second, after = read_entries(journal.path, offset)

    assert [entry.epoch for entry in (*first, *second)] == [epoch(1, temperature=None), epoch(2, temperature=3.5)]
    assert {(entry.scope, entry.training) for entry in first} == {(SHARED, "residual-10x1-KD-T-by-auto-01234567")}
    assert read_entries(journal.path, after) == ([], after)


def test_a_journal_that_was_not_begun_is_empty(journal):
    """As before the first epoch of a run."""
    assert read_entries(journal.path, 0) == ([], 0)


def test_several_writers_do_not_mix_their_lines(journal):
    """Threads here; processes write in the same way, through a teller that was sent to them."""
    tellers = [pickle.loads(pickle.dumps(journal.teller(f"x {n}", "k" * 8))) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for tell in tellers:
            pool.submit(lambda tell=tell: [tell(epoch(number, temperature=None)) for number in range(1, 51)])
    found, _ = read_entries(journal.path, 0)

    assert len(found) == 400
    for training in {entry.training for entry in found}:
        assert [entry.epoch.number for entry in found if entry.training == training] == list(range(1, 51))


@given(label=st.text(max_size=300))
def test_a_training_s_name_is_good_for_files_and_keys(label):
    """Whatever a teacher's file is called."""
    name = Journal(path=None).teller(label, "0123456789").args[0]

    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>|\n\0 ')
    assert len(name) <= 130
    assert not name.startswith(".")
