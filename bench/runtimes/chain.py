"""A model behind a preprocessing file, a graph or a tokenizer: that on the CPU, then the model, in one timed call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from hpmkd_edge.bench.runtimes import onnx_runtime, tokenizer
from hpmkd_edge.bench.runtimes.choose import choose_runtime
from hpmkd_edge.bench.runtimes.runtime import Feeds, Runtime, Session
from hpmkd_edge.export.artifact import PREPROCESSING_RUNTIME, is_tokenizer


class First(Protocol):
    """What runs before a model."""

    @property
    def output(self) -> str:
        """The name that the model takes its answer by."""
        ...

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """Answer one batch of raw rows with what the model takes.

        Raises:
            MeasurementFailed: it cannot be run on these feeds.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChainSession:
    """Two loaded files that answer as one; fits `Session`.

    Providers, engine and device are the model's: the preprocessing has no multiply-adds to place.
    """

    preprocessing: First
    model: Session

    @property
    def providers(self) -> tuple[str, ...]:
        """What executes the model."""
        return self.model.providers

    @property
    def engine_build_s(self) -> float | None:
        """What building the model's engine took."""
        return self.model.engine_build_s

    @property
    def device_bytes(self) -> int:
        """What the model allocated on a device."""
        return self.model.device_bytes

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """Answer one batch of raw rows with the model's first output."""
        return self.model.run({self.preprocessing.output: self.preprocessing.run(feeds)})

    def enqueue_share(self) -> float | None:
        """Return the model's."""
        return self.model.enqueue_share()


def open_model(
    runtime: Runtime, path: Path, threads: int, feeds: Feeds, *, preprocessing: Path | None = None
) -> Session:
    """Load the model at *path*, behind the *preprocessing* file where there is one.

    Args:
        runtime: of the model; for what runs before it see `open_first`.
        path: of the model, whose only input has the name of the preprocessing's first output.
        threads: within an operator, on a CPU.
        feeds: a batch as the first file takes it, the largest that will be run.
        preprocessing: from raw rows to what the model takes, or None.

    Raises:
        RuntimeUnavailable: there is a preprocessing file, and not what runs it.
        BadConfiguration: there is no such file.
        MeasurementFailed: a file cannot be loaded, or *feeds* or the features do not name its inputs.
    """
    if preprocessing is None:
        return runtime.load(path, threads, feeds)
    first = open_first(preprocessing, threads, feeds)
    return ChainSession(first, runtime.load(path, threads, {first.output: first.run(feeds)}))


def open_first(path: Path, threads: int, feeds: Feeds) -> First:
    """Load what runs before a model: a tokenizer.json by the `tokenizers` library, a graph in ONNX Runtime.

    Raises:
        RuntimeUnavailable: there is no such library.
        BadConfiguration: there is no such file.
        MeasurementFailed: it cannot be loaded, or *feeds* do not name its inputs.
    """
    if is_tokenizer(path):
        return tokenizer.load(path, feeds)
    choose_runtime(PREPROCESSING_RUNTIME)
    return onnx_runtime.load(path, threads, feeds)


def version_of_first(path: Path) -> str:
    """Return the version of the library that runs *path* before a model.

    Raises:
        RuntimeUnavailable: it is not here.
    """
    if is_tokenizer(path):
        tokenizer.check(path)
        return tokenizer.version()
    return choose_runtime(PREPROCESSING_RUNTIME).version()
