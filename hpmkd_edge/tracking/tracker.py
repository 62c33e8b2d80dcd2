"""What a tracker is: told of epochs while a run goes on, and of its outcome at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from hpmkd_edge.tracking.journal import Entry

End = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The run that is followed.

    Attributes:
        name: of the run.
        partial: a folder for what only an unfinished run needs; a resumed run finds it again.
        made: the folder that becomes the finished run.
        targets: by name.
    """

    name: str
    partial: Path
    made: Path
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came of a run for one target.

    Attributes:
        target: its name.
        settings: by name, as text.
        numbers: what was measured, by name with the unit.
        tags: names of content: digests, commit, verdict.
        text: Markdown.
        files: to keep beside the numbers.
    """

    target: str
    settings: tuple[tuple[str, str], ...]
    numbers: tuple[tuple[str, float], ...]
    tags: tuple[tuple[str, str], ...]
    text: str
    files: tuple[Path, ...]


class Tracker(Protocol):
    """Somebody who follows one run. Whatever it raises ends the following with a warning, never the run."""

    def draw(self, entries: Sequence[Entry]) -> None:
        """Take epochs that are over, each once and those of a training in their order.

        A resumed run tells of the earlier sittings' epochs too.
        """
        ...

    def summarize(self, summary: Summary) -> None:
        """Take what came of the run for one target."""
        ...

    def close(self, end: End) -> None:
        """Hear no more, since the run has come to its *end*."""
        ...


class Kind(Protocol):
    """A module of a tracker."""

    def missing(self) -> str | None:
        """Say what is not installed, as a sentence; None where nothing is missing."""
        ...

    def open_tracker(self, place: Place) -> Tracker:
        """Begin to follow a run, or go on where an earlier sitting was left."""
        ...
