"""Following a run: each tracker reads the journal in a thread of its own, and is told of the outcome at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from hpmkd_edge.errors import Interrupted
from hpmkd_edge.tracking.choose import TRACKERS
from hpmkd_edge.tracking.journal import Entry, Journal, read_entries
from hpmkd_edge.tracking.tracker import End, Place, Summary

EVERY_S: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What a run that may be followed holds.

    Attributes:
        journal: for its trainings; None where nobody follows.
        followers: one a tracker.
    """

    journal: Journal | None
    followers: tuple[Follower, ...]

    def finished(self, summaries: Sequence[Summary]) -> None:
        """Tell all trackers what came of the run."""
        for follower in self.followers:
            follower.finish(summaries)


class Follower:
    """Keeps one tracker up to date."""

    def __init__(self, name: str, place: Place, journal: Journal) -> None:
        self._name, self._place, self._journal = name, place, journal
        self._over = threading.Event()
        self._end: End = "failed"
        self._failure: Exception | None = None
        self._summaries: tuple[Summary, ...] = ()
        self._offset, self._last = 0, dict[tuple[str, str], int]()
        # A second Ctrl-C does not wait for it.
        self._thread = threading.Thread(target=self._follow, name=f"log to {name}", daemon=True)

    def begin(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def finish(self, summaries: Sequence[Summary]) -> None:
        """Send the outcome, and wait until the tracker has all."""
        self._summaries = tuple(summaries)
        self.end("finished")

    def end(self, end: End) -> None:
        """Send what is left, and wait until the tracker has it."""
        if self._over.is_set():
            return
        self._end = end
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            # Here and not in the thread: an export in between keeps the whole process from saying anything.
            said = str(self._failure).strip().splitlines() or [type(self._failure).__name__]
            log.warning("--log %s failed, and the run went on without it: %s", self._name, said[0])

    def _follow(self) -> None:
        try:
            tracker = None
            while True:
                over = self._over.wait(EVERY_S)
                entries = self._news()
                # Opened when there is something to tell: bad input leaves no trace.
                if tracker is None and (entries or self._summaries):
                    tracker = TRACKERS[self._name].open_tracker(self._place)
                if tracker is not None and entries:
                    tracker.draw(entries)
                if over:
                    break
            if tracker is not None:
                for summary in self._summaries:
                    tracker.summarize(summary)
                tracker.close(self._end)
        except Exception as error:  # noqa: BLE001  whatever a tracker or its server does, the run goes on
            self._failure = error

    def _news(self) -> list[Entry]:
        """Return the epochs that were not told before: a training that is found again tells all of its epochs."""
        entries, self._offset = read_entries(self._journal.path, self._offset)
        news = []
        for entry in entries:
            training = (entry.scope, entry.training)
            if entry.epoch.number > self._last.get(training, 0):
                self._last[training] = entry.epoch.number
                news.append(entry)
        return news


@contextmanager
def followed(names: Sequence[str], place: Place) -> Iterator[Following]:
    """Let the trackers *names* follow the run that is made inside.

    The journal lies in the partial run, so a resumed one tells all epochs, those of earlier sittings too.
    """
    journal = Journal(path=place.partial / "epochs.jsonl")
    followers = tuple(Follower(name, place, journal) for name in names)
    for follower in followers:
        follower.begin()
    end: End = "failed"
    try:
        yield Following(journal=journal if followers else None, followers=followers)
    except (Interrupted, KeyboardInterrupt):
        end = "interrupted"
        raise
    finally:
        for follower in followers:
            follower.end(end)
