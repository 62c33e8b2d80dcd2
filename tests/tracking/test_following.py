"""Following: each epoch is told once, the end is told, and what a tracker does never reaches the run."""

import logging

import pytest

from hpmkd_edge.errors import BadConfiguration, Interrupted, RuntimeUnavailable
from hpmkd_edge.request import Request
from hpmkd_edge.tracking import choose, following, mlflow
from hpmkd_edge.tracking.following import followed
from hpmkd_edge.tracking.journal import Epoch


class Listener:
    """A tracker, and its kind: it remembers what it was told, and may fail."""

    def __init__(self, fails=()):
        self.fails, self.told, self.places = fails, [], []

    def missing(self):
        return None

    def open_tracker(self, place):
        self.places.append(place)
        return self

    def draw(self, entries):
        self._take("draw", [(entry.scope, entry.training, entry.epoch.number) for entry in entries])

    def summarize(self, summary):
        self._take("summarize", summary)

    def close(self, end):
        self._take("close", end)

    def _take(self, what, told):
        if what in self.fails:
            raise RuntimeError("the server\nis gone")
        self.told.append((what, told))

    def drawn(self):
        return [one for what, told in self.told if what == "draw" for one in told]


@pytest.fixture
def listen(monkeypatch):
    """Returns a function that puts a listener among the trackers."""
    monkeypatch.setattr(following, "EVERY_S", 0.01)

    def listening(name="listener", **more):
        listener = Listener(**more)
        monkeypatch.setitem(choose.TRACKERS, name, listener)
        return listener

    return listening


def epochs(journal, *numbers, label="x"):
    tell = journal.teller(label, "k" * 8)
    for number in numbers:
        tell(Epoch(number=number, of=9, loss=0.5, accuracy=0.5, learning_rate=0.1, temperature=None))


def break_off(place, error, *numbers):
    """Follow a run of so many epochs, which ends by *error*."""
    with followed(["listener"], place) as run:
        epochs(run.journal, *numbers)
        raise error


def test_each_epoch_is_told_once_and_then_the_end(listen, place, summary):
    """Also where a training that is found again tells of all of its epochs, as in each round of a run."""
    listener = listen()
    with followed(["listener"], place("box")) as run:
        epochs(run.journal, 1, 2)
        epochs(run.journal, 1, 2, 3)
        epochs(run.journal, 1, label="y")
        run.finished([summary("box")])

    assert listener.drawn() == [
        ("shared", f"{name}-kkkkkkkk", n) for name, n in (*(("x", n) for n in (1, 2, 3)), ("y", 1))
    ]
    assert listener.told[-2:] == [("summarize", summary("box")), ("close", "finished")]


def test_a_resumed_run_tells_of_all_its_sittings(listen, place):
    """The journal lies in the partial run; how the first sitting ended is told too."""
    listener = listen()
    with pytest.raises(Interrupted, match="later"):
        break_off(place("box"), Interrupted("later"), 1, 2)
    first = listener.told.pop()
    with followed(["listener"], place("box")) as run:
        epochs(run.journal, 1, 2, 3)
        run.finished([])

    assert first == ("close", "interrupted")
    assert [number for _, _, number in listener.drawn()] == [1, 2, 1, 2, 3]
    assert len(listener.places) == 2


def test_a_run_that_breaks_before_its_first_epoch_leaves_no_trace(listen, place):
    """Bad input is found then; one that breaks later is told of as failed."""
    listener = listen()
    with pytest.raises(BadConfiguration, match="bad"):
        break_off(place("box"), BadConfiguration("bad"))
    assert (listener.told, listener.places) == ([], [])

    with pytest.raises(BadConfiguration, match="bad"):
        break_off(place("box"), BadConfiguration("bad"), 1)

    assert listener.told[-1] == ("close", "failed")


@pytest.mark.parametrize("fails", ["draw", "summarize", "close"])
def test_a_tracker_that_fails_costs_a_warning(fails, listen, place, summary, caplog):
    """One sentence, and the other tracker hears all."""
    listen("broken", fails=(fails,))
    listener = listen()
    with caplog.at_level(logging.WARNING), followed(["broken", "listener"], place("box")) as run:
        epochs(run.journal, 1)
        run.finished([summary("box")])

    assert caplog.messages == ["--log broken failed, and the run went on without it: the server"]
    assert listener.told[-1] == ("close", "finished")


def test_nobody_follows_unless_asked(place):
    """No journal is written then."""
    with followed([], place("box")) as run:
        assert run.journal is None

    assert not list(place("box").partial.glob("*.jsonl"))


@pytest.mark.parametrize(
    ("log", "wanted"),
    [
        (("tensorbord",), "no tracker 'tensorbord'. Did you mean 'tensorboard'?"),
        (("mlflow", "mlflow"), "--log mlflow is given twice"),
    ],
)
def test_a_tracker_that_cannot_be_is_refused_at_once(log, wanted):
    """Before anything is read."""
    with pytest.raises(BadConfiguration, match=wanted.replace("?", r"\?")):
        Request(log=log).check()


def test_a_tracker_that_is_not_installed_says_what_to_install(monkeypatch):
    """With the exit code of a runtime that is missing."""
    monkeypatch.setattr(mlflow, "find_spec", lambda _: None)
    with pytest.raises(RuntimeUnavailable, match=r"pip install 'hpmkd-edge\[mlflow\]'") as refused:
        Request(log=("tensorboard", "mlflow")).check()

    assert refused.value.exit_code == 3
