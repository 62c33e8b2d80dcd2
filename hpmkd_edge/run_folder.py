"""The folder of a run: made beside its final place, moved there when it is whole."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from hpmkd_edge.errors import BadConfiguration, BadOutput
from hpmkd_edge.request import PARTIAL, Request, read_request


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """A run in the making.

    Attributes:
        final: where the run will lie.
        partial: what an interrupted run leaves, and `--resume` takes up.
    """

    final: Path
    partial: Path

    @property
    def made(self) -> Path:
        """What will be moved to its final place."""
        return self.partial / "run"

    @property
    def state(self) -> Path:
        """Trainings and measurements to take up; not part of the finished run."""
        return self.partial / "state"

    @property
    def request(self) -> Path:
        """What the user asked."""
        return self.partial / "request.json"

    @property
    def trainings(self) -> Path:
        """The states of trainings, one file each."""
        return self.state / "trainings"

    @property
    def views(self) -> Path:
        """The copies of texts, mapped into memory while they are learned from."""
        return self.state / "views"

    @property
    def own_store(self) -> Path:
        """Where a run keeps finished trainings that keeps nothing between runs."""
        return self.state / "store"

    def discard_if_kept(self) -> None:
        """Remove the partial run, unless it has the only copy of a training that was paid for."""
        only_copy = self.own_store.exists() and any(self.trainings.glob("*"))
        if self.partial.exists() and not only_copy:
            shutil.rmtree(self.partial)

    def finish(self) -> None:
        """Put the run in its place in one move, and drop the rest."""
        self.made.replace(self.final)
        shutil.rmtree(self.partial)


def default_output(request: Request) -> Path:
    """Return a folder named by data, targets and the time, in `runs`."""
    moment = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{Path(request.data).name.split('.')[0]}-{'-'.join(request.targets)}-{moment}"


def plan_folder(output: Path) -> RunFolder:
    """Check that a run can be written to *output*; nothing is written yet.

    Raises:
        BadOutput: something is there already, or the folder above cannot be written.
    """
    final = output.absolute()
    if not final.name:
        raise BadOutput(f"{final} is no folder that a run can be put in; give another --output.")
    partial = final.with_name(final.name + PARTIAL)
    if final.exists() and not (final.is_dir() and not any(final.iterdir())):
        raise BadOutput(f"{final} exists already; give another --output, or remove it.")
    if partial.exists():
        raise BadOutput(f"{partial} holds an interrupted run; take it up with --resume {output}, or remove it.")
    above = final.parent
    while not above.exists():
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise BadOutput(f"{above} cannot be written; give an --output in a folder that you may write.")
    return RunFolder(final=final, partial=partial)


def open_folder(folder: RunFolder, request: Request) -> None:
    """Make the partial folder, and keep the request in it.

    Raises:
        BadOutput: the file system refuses.
    """
    try:
        folder.trainings.mkdir(parents=True, exist_ok=True)
        folder.made.mkdir(exist_ok=True)
        folder.request.write_text(request.to_json(), encoding="utf-8")
    except OSError as error:
        raise BadOutput(f"{folder.partial} cannot be written: {error.strerror}; give another --output.") from error


def folder_at(path: Path, what: str = "run") -> RunFolder:
    """Return the run, or *what* a message calls it, at *path*, with or without `.partial`; nothing is looked for.

    Raises:
        BadConfiguration: it has no name.
    """
    path = path.absolute()
    name = path.name.removesuffix(PARTIAL)
    if not name:
        raise BadConfiguration(f"there is no interrupted {what} at {path}; its folder ends in {PARTIAL}.")
    return RunFolder(final=path.with_name(name), partial=path.with_name(name + PARTIAL))


def find_interrupted(path: Path) -> tuple[RunFolder, Request]:
    """Find the interrupted run at *path*, given with or without `.partial`.

    Raises:
        BadConfiguration: there is none, or it was started in another folder.
    """
    folder = folder_at(path)
    request = read_request(folder.request)
    if request.started_in != str(Path.cwd()):
        raise BadConfiguration(
            f"the run was started in {request.started_in}, where its relative paths hold; resume it from there."
        )
    return folder, request
