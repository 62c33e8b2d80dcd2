"""TensorBoard: a folder of scalars for each training, beside the run's files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpmkd_edge.tracking.journal import Entry
from hpmkd_edge.tracking.tracker import End, Place, Summary

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

FOLDER: Final = "tensorboard"


def missing() -> str | None:
    """Nothing: it is a dependency."""
    return None


def open_tracker(place: Place) -> TensorBoard:
    """Begin to write; what an earlier sitting has written is written anew, so that no step stands there twice."""
    folder = place.partial / FOLDER
    if folder.exists():
        shutil.rmtree(folder)
    return TensorBoard(folder, place.made / FOLDER)


class TensorBoard:
    """Writes below *folder*, `TARGET/TRAINING`, and moves all of it to *final* when the run is finished."""

    def __init__(self, folder: Path, final: Path) -> None:
        self._folder, self._final = folder, final
        self._writers: dict[Path, SummaryWriter] = {}

    def draw(self, entries: Sequence[Entry]) -> None:
        """Write scalars at the time at which each epoch ended."""
        for entry in entries:
            where = self._folder / entry.scope / entry.training
            if where not in self._writers:
                self._writers[where] = _writer(where)
            for name, number in entry.epoch.curves().items():
                self._writers[where].add_scalar(name, number, entry.epoch.number, walltime=entry.seconds)
            if entry.epoch.number == entry.epoch.of:
                self._writers.pop(where).close()
        for writer in self._writers.values():
            writer.flush()

    def summarize(self, summary: Summary) -> None:
        """Write verdict and numbers at step 0, with the settings as hyperparameters."""
        with _writer(self._folder / summary.target) as writer:
            writer.add_text("summary", summary.text, 0)
            writer.add_text("tags", "\n".join(f"- {name}: `{value}`" for name, value in summary.tags), 0)
            settings = {name: _typed(value) for name, value in summary.settings}
            numbers = {f"summary/{name}": value for name, value in summary.numbers}
            writer.add_hparams(settings, numbers, run_name=".", global_step=0)

    def close(self, end: End) -> None:
        """End all files; those of a finished run get their place."""
        for writer in self._writers.values():
            writer.close()
        if end == "finished" and self._folder.exists():
            self._folder.replace(self._final)


def _writer(folder: Path) -> SummaryWriter:
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(folder))


def _typed(text: str) -> float | bool | str:
    """Return a number or truth value where *text* is one: TensorBoard orders and filters these by value."""
    if text in ("True", "False"):
        return text == "True"
    try:
        return float(text)
    except ValueError:
        return text
