"""TensorRT 10.3 to 11 and TensorRT-RTX, by the part of their interface that all of them share.

Networks are strongly typed: precision lives in the ONNX file, never in builder flags.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from hpmkd_edge import __version__
from hpmkd_edge.bench.runtimes import cuda_driver
from hpmkd_edge.bench.runtimes.runtime import Feeds, Input, check_file
from hpmkd_edge.bench.runtimes.tensor_rt_build import RTX, WORKSPACE_BYTES, Allowance, Built, build
from hpmkd_edge.bench.runtimes.tensor_rt_layers import Layer
from hpmkd_edge.bench.runtimes.tensor_rt_parse import Library, Refusal, network_inputs, parse, refusals
from hpmkd_edge.bench.runtimes.tensor_rt_plan import is_engine, read_engine, read_manifest, save_engine
from hpmkd_edge.bench.runtimes.tensor_rt_session import EngineSession
from hpmkd_edge.bench.runtimes.timing_cache import open_timing_cache
from hpmkd_edge.errors import RuntimeUnavailable

# TensorRT first: it takes its kernels by timing them on the device that it builds for.
PACKAGES: Final = ("tensorrt", RTX)


def missing() -> str | None:
    """Say in a sentence which is absent, the package or the GPU; None if both are here."""
    package = None if _package() else _no_package()
    # The driver is asked before any object of TensorRT is made: without one some versions crash.
    gpu = cuda_driver.missing()
    return " and ".join(reason.rstrip(".") for reason in (package, gpu) if reason) + "." if package or gpu else None


def cannot_build() -> str | None:
    """Say in a sentence why no engine can be built here; None if one can, which TensorRT-RTX does without a GPU."""
    return None if _package() == RTX else missing()


def version() -> str:
    """Return the package's name and version."""
    module = _module()
    return f"{module.__name__} {module.__version__}"


def inputs(path: Path) -> tuple[Input, ...]:
    """Return the inputs that an ONNX file declares, as TensorRT's parser sees them; of an engine, its manifest's.

    Raises:
        RuntimeUnavailable: there is no TensorRT, or it needs a GPU and there is none.
        BadConfiguration: there is no such file.
        MeasurementFailed: the parser does not take it, or an engine has no manifest.
    """
    check_file(path)
    if is_engine(path):
        return tuple(
            Input(
                name=one.name,
                dtype=np.dtype(one.dtype),
                shape=tuple(None if least < most else most for least, most in zip(one.least, one.most, strict=True)),
            )
            for one in read_manifest(path).inputs
        )
    builder = _builder()
    network, parser = parse(_library(), builder, path)
    found = network_inputs(_library(), network)
    del parser, network  # before their builder
    return found


def refused(path: Path) -> tuple[Refusal, ...]:
    """Return every operator of an ONNX file that TensorRT does not take.

    Raises:
        RuntimeUnavailable: there is no TensorRT, or it needs a GPU and there is none.
        BadConfiguration: there is no such file.
    """
    return refusals(_library(), _builder(), path)


def load(path: Path, threads: int, feeds: Feeds) -> EngineSession:  # noqa: ARG001  a GPU has no such choice
    """Build an engine from an ONNX file, or read one that was saved, and make it ready on GPU 0.

    Raises:
        RuntimeUnavailable: there is no TensorRT or no GPU.
        BadConfiguration: there is no such file.
        MeasurementFailed: it cannot be parsed, built or loaded, *feeds* do not name its inputs, or a saved engine is of
            another GPU or version.
    """
    reason = missing()
    if reason:
        raise RuntimeUnavailable(reason)
    check_file(path)
    if is_engine(path):
        plan, manifest = read_engine(path, cuda_driver.describe(), version())
        return EngineSession(_library(), path, plan, feeds, None, dla_core=manifest.dla_core)
    built = build_engine(path, feeds)
    return EngineSession(_library(), path, built.plan, feeds, built.seconds)


def allowance_here(*, dla_core: int | None = None, capabilities: tuple[str, ...] = ()) -> Allowance:
    """Return what a build for the GPU that is here may use: a quarter of its memory; without one, the least board's."""
    gpu = _gpu()
    memory = gpu.memory_bytes // 4 if gpu else WORKSPACE_BYTES
    return Allowance(workspace_bytes=memory, dla_core=dla_core, capabilities=capabilities)


def build_engine(path: Path, feeds: Feeds, allowance: Allowance | None = None, *, output: Path | None = None) -> Built:
    """Build an engine from an ONNX file.

    It takes batches from one row to as many as *feeds* have; other open axes are fixed at theirs.
    TensorRT-RTX builds without a GPU; TensorRT needs the one that the engine is for.

    Args:
        path: of the ONNX file.
        feeds: the largest batch.
        allowance: what the build may use; by default `allowance_here`.
        output: where to save the engine, with its manifest and timing cache beside; None to leave it in memory.

    Raises:
        RuntimeUnavailable: there is no TensorRT, it needs a GPU to build and there is none, or what was allowed to be
            used is not here.
        BadConfiguration: there is no such file.
        BadOutput: the engine cannot be saved.
        MeasurementFailed: it cannot be parsed or built, or *feeds* do not name its inputs.
    """
    allowance, gpu = allowance or allowance_here(), _gpu()
    portable = _module().__name__ == RTX
    # TensorRT-RTX times kernels when it runs, not when it builds, and has no use for what they took elsewhere.
    cache = open_timing_cache(version(), gpu) if gpu and not portable else None
    built = build(_library(), _builder(), path, feeds, allowance, cache)
    if output is not None:
        save_engine(
            built,
            output,
            model=path,
            gpu=None if portable else gpu,
            tensorrt=version(),
            allowance=allowance,
            tool_version=__version__,
        )
    return built


def time_layers(path: Path, feeds: Feeds) -> tuple[Layer, ...]:
    """Return what each layer of an engine is and takes, in a pass of its own: it costs what is timed.

    Raises:
        RuntimeUnavailable, BadConfiguration, MeasurementFailed: as `load`.
    """
    return load(path, 1, feeds).time_layers(feeds)


def _gpu() -> cuda_driver.Gpu | None:
    return None if cuda_driver.missing() else cuda_driver.describe()


def _package() -> str | None:
    return next((name for name in PACKAGES if find_spec(name)), None)


def _no_package() -> str:
    return f"neither {' nor '.join(PACKAGES)} is installed"


@cache
def _module() -> Any:
    name = _package()
    if name is None:
        raise RuntimeUnavailable(f"{_no_package()}.")
    return import_module(name)


def _library() -> Library:
    return Library(_module(), _logger())


def _builder() -> Any:
    reason = cannot_build()
    if reason:
        raise RuntimeUnavailable(reason)
    return _module().Builder(_logger())


@cache
def _logger() -> Any:
    """Return the one logger of this process; it keeps errors for our own messages and prints nothing."""
    module = _module()
    reported = {module.ILogger.Severity.INTERNAL_ERROR, module.ILogger.Severity.ERROR}

    class Logger(module.ILogger):  # type: ignore[misc, name-defined]
        """TensorRT's own logger would print to stdout, which is for results."""

        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in reported:
                self.errors.append(message)

        def last_error(self) -> str:
            return self.errors[-1] if self.errors else "it gave no reason."

    return Logger()
