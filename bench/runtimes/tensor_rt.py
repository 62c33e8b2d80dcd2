"""TensorRT 10.3 to 11 and TensorRT-RTX, by the part of their interface that all of them share.

Networks are strongly typed: precision lives in the ONNX file, never in builder flags.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from hpmkd_edge.bench.runtimes import cuda_driver
from hpmkd_edge.bench.runtimes.runtime import Feeds, Input, check_feeds, check_file
from hpmkd_edge.bench.runtimes.tensor_rt_session import EngineSession
from hpmkd_edge.errors import MeasurementFailed, RuntimeUnavailable

# TensorRT first: it takes its kernels by timing them on the device that it builds for.
PACKAGES: Final = ("tensorrt", "tensorrt_rtx")
ENGINE_SUFFIXES: Final = (".engine", ".plan")
# A quarter of the smallest Jetson's memory, which CPU and GPU share.
WORKSPACE_BYTES: Final = 1 << 30


def missing() -> str | None:
    """Say in a sentence which is absent, the package or the GPU; None if both are here."""
    package = None if _package() else f"neither {' nor '.join(PACKAGES)} is installed"
    # The driver is asked before any object of TensorRT is made: without one some versions crash.
    gpu = cuda_driver.missing()
    return " and ".join(reason.rstrip(".") for reason in (package, gpu) if reason) + "." if package or gpu else None


def version() -> str:
    """Return the package's name and version."""
    module = _module()
    return f"{module.__name__} {module.__version__}"


def inputs(path: Path) -> tuple[Input, ...]:
    """Return the inputs that an ONNX file declares, as TensorRT's parser sees them.

    Raises:
        BadConfiguration: there is no such file.
        MeasurementFailed: the parser does not take it, or it is a built engine.
    """
    if path.suffix in ENGINE_SUFFIXES:
        raise MeasurementFailed(f"{path.name} is a built engine; the inputs are read from an ONNX file.")
    builder = _builder()
    network, parser = _parse(builder, path)
    found = _network_inputs(network)
    del parser, network  # before their builder
    return found


def load(path: Path, threads: int, feeds: Feeds) -> EngineSession:  # noqa: ARG001  a GPU has no such choice
    """Build an engine from an ONNX file, or read one that was built, and make it ready on GPU 0.

    Raises:
        RuntimeUnavailable: there is no TensorRT or no GPU.
        BadConfiguration: there is no such file.
        MeasurementFailed: it cannot be parsed, built or loaded, or *feeds* do not name its inputs.
    """
    reason = missing()
    if reason:
        raise RuntimeUnavailable(reason)
    check_file(path)
    build_s = None
    if path.suffix in ENGINE_SUFFIXES:
        plan = path.read_bytes()
    else:
        began = time.perf_counter()
        plan = build_engine(path, feeds)
        build_s = time.perf_counter() - began
    return EngineSession(_module(), _logger(), path, plan, feeds, build_s)


def build_engine(path: Path, feeds: Feeds, *, workspace_bytes: int = WORKSPACE_BYTES) -> bytes:
    """Build an engine from an ONNX file and return it serialized.

    It takes batches from one row to as many as *feeds* have; other open axes are fixed at theirs.
    TensorRT-RTX builds without a GPU; TensorRT needs the one that the engine is for.

    Raises:
        RuntimeUnavailable: there is no TensorRT, or it needs a GPU to build and there is none.
        BadConfiguration: there is no such file.
        MeasurementFailed: it cannot be parsed or built, or *feeds* do not name its inputs.
    """
    builder = _builder()
    network, parser = _parse(builder, path)
    declared = _network_inputs(network)
    check_feeds(path, declared, feeds)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(_module().MemoryPoolType.WORKSPACE, workspace_bytes)
    if any(None in one.shape for one in declared):
        profile = builder.create_optimization_profile()
        for one in declared:
            profile.set_shape(one.name, *_range(one, feeds[one.name].shape))
        config.add_optimization_profile(profile)
    print(f"building a {_module().__name__} engine from {path.name} …", file=sys.stderr, flush=True)
    began = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise MeasurementFailed(f"TensorRT cannot build an engine from {path.name}: {_logger().last_error()}")
    print(f"built {path.name} in {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    built = bytes(plan)
    del plan, config, parser, network  # before their builder
    return built


def _range(one: Input, most: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the least, usual and largest shape of an input whose largest is *most*."""
    least = tuple(1 if axis == 0 and open_ is None else size for axis, (open_, size) in _axes(one, most))
    return least, most, most


def _axes(one: Input, most: tuple[int, ...]) -> Sequence[tuple[int, tuple[int | None, int]]]:
    return list(enumerate(zip(one.shape, most, strict=True)))


def _package() -> str | None:
    return next((name for name in PACKAGES if find_spec(name)), None)


@cache
def _module() -> Any:
    name = _package()
    if name is None:
        raise RuntimeUnavailable(f"neither {' nor '.join(PACKAGES)} is installed.")
    return import_module(name)


def _builder() -> Any:
    module = _module()
    gpu = cuda_driver.missing()
    if gpu and module.__name__ != "tensorrt_rtx":
        raise RuntimeUnavailable(gpu)
    return module.Builder(_logger())


def _parse(builder: Any, path: Path) -> tuple[Any, Any]:
    """Return the network of *path* and its parser, which must outlive it."""
    check_file(path)
    module = _module()
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = module.OnnxParser(network, _logger())
    if not parser.parse_from_file(str(path)):
        failures = [parser.get_error(i) for i in range(parser.num_errors)]
        reasons = "; ".join(_failure(failure) for failure in failures) or _logger().last_error()
        raise MeasurementFailed(f"TensorRT cannot parse {path.name}: {reasons}")
    return network, parser


def _failure(failure: Any) -> str:
    operator = failure.node_operator()
    where = f"{operator} ({failure.node_name()}): " if operator else ""
    return where + " ".join(failure.desc().split())


def _network_inputs(network: Any) -> tuple[Input, ...]:
    module = _module()
    found = []
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = tuple(None if axis < 0 else int(axis) for axis in tensor.shape)
        found.append(Input(name=tensor.name, dtype=np.dtype(module.nptype(tensor.dtype)), shape=shape))
    return tuple(found)


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
