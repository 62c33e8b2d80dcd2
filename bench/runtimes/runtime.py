"""What a runtime offers to the measurement: to say whether it is here, and to load a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadConfiguration, MeasurementFailed

Feeds = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input that a model file declares.

    Attributes:
        dtype: of the array to feed; object for strings.
        shape: None where an axis is open; the batch is axis 0.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


class Session(Protocol):
    """A loaded model."""

    @property
    def providers(self) -> tuple[str, ...]:
        """What executes it, in the runtime's own words."""
        ...

    @property
    def engine_build_s(self) -> float | None:
        """What building an engine took, or None where there is no such step."""
        ...

    @property
    def device_bytes(self) -> int:
        """Memory that it allocated on a device, beyond the process's own; 0 on a CPU."""
        ...

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """Answer one batch with the file's first output.

        Raises:
            MeasurementFailed: the runtime could not run the model on these feeds.
        """
        ...

    def enqueue_share(self) -> float | None:
        """Return the host's median time to hand over a run, relative to the device's; None on a CPU."""
        ...


class Runtime(Protocol):
    """A module that runs model files."""

    def missing(self) -> str | None:
        """Say in a sentence why it cannot run on this machine; None if it can."""
        ...

    def version(self) -> str:
        """Return the version of the library that executes."""
        ...

    def inputs(self, path: Path) -> tuple[Input, ...]:
        """Return the inputs that the file declares.

        Raises:
            BadConfiguration: there is no such file.
            MeasurementFailed: the runtime cannot read it.
        """
        ...

    def load(self, path: Path, threads: int, feeds: Feeds) -> Session:
        """Load the file so that it can answer batches up to the size of *feeds*.

        Raises:
            BadConfiguration: there is no such file.
            MeasurementFailed: the runtime cannot read it, or *feeds* do not name its inputs.
        """
        ...


def check_file(path: Path) -> None:
    """Look before a runtime does: not all of them say what is wrong.

    Raises:
        BadConfiguration: there is no file at *path*.
    """
    if not path.is_file():
        raise BadConfiguration(f"there is no file {path}; a model file is needed.")


def check_feeds(path: Path, inputs: tuple[Input, ...], feeds: Feeds) -> None:
    """Compare names: what is fed against what the file declares.

    Raises:
        MeasurementFailed: they differ.
    """
    wanted = [one.name for one in inputs]
    if set(wanted) != set(feeds):
        raise MeasurementFailed(
            f"{path.name} was fed {', '.join(feeds) or 'nothing'}; it needs {', '.join(wanted) or 'nothing'}."
        )
