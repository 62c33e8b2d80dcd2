"""A model behind a preprocessing file: ONNX Runtime on the CPU, then the model's own runtime, in one timed call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hpmkd_edge.bench.runtimes import onnx_runtime
from hpmkd_edge.bench.runtimes.choose import choose_runtime
from hpmkd_edge.bench.runtimes.runtime import Feeds, Runtime, Session
from hpmkd_edge.export.artifact import PREPROCESSING_RUNTIME


@dataclass(frozen=True, slots=True)
class ChainSession:
    """Two loaded files that answer as one; fits `Session`.

    Providers, engine and device are the model's: the preprocessing has no multiply-adds to place.
    """

    preprocessing: onnx_runtime.OnnxSession
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
        runtime: of the model; a preprocessing file runs in ONNX Runtime.
        path: of the model, whose only input has the name of the preprocessing's first output.
        threads: within an operator, on a CPU.
        feeds: a batch as the first file takes it, the largest that will be run.
        preprocessing: from raw columns to features, or None.

    Raises:
        RuntimeUnavailable: there is a preprocessing file and no ONNX Runtime.
        BadConfiguration: there is no such file.
        MeasurementFailed: a file cannot be loaded, or *feeds* or the features do not name its inputs.
    """
    if preprocessing is None:
        return runtime.load(path, threads, feeds)
    choose_runtime(PREPROCESSING_RUNTIME)
    first = onnx_runtime.load(preprocessing, threads, feeds)
    return ChainSession(first, runtime.load(path, threads, {first.output: first.run(feeds)}))
