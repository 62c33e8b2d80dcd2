"""Building an engine: from a parsed network and what it may use, to a serialized plan and what it was built with.

Nothing here sets a precision: networks are strongly typed, TensorRT 11 knows no other, and the file says it all.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hpmkd_edge.bench.runtimes.runtime import Feeds, Input, check_feeds
from hpmkd_edge.bench.runtimes.tensor_rt_parse import Library, network_inputs, network_precision, parse
from hpmkd_edge.bench.runtimes.tensor_rt_progress import monitor_for
from hpmkd_edge.bench.runtimes.timing_cache import TimingCache
from hpmkd_edge.errors import MeasurementFailed, RuntimeUnavailable

RTX: Final = "tensorrt_rtx"
# A quarter of the smallest Jetson's memory, which CPU and GPU share.
WORKSPACE_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a build may use, and what it is for.

    Attributes:
        workspace_bytes: the most scratch memory of a layer.
        dla_core: of the deep learning accelerator that layers go to; what it cannot run goes to the GPU. None for the
            GPU alone.
        capabilities: of the GPUs that TensorRT-RTX builds for, such as "8.9"; empty for those of its own choice.
    """

    workspace_bytes: int = WORKSPACE_BYTES
    dla_core: int | None = None
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The shapes of one input that an engine takes, from the least to the largest; usual is what it is tuned for."""

    name: str
    least: tuple[int, ...]
    usual: tuple[int, ...]
    most: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A serialized engine, and how it came to be.

    Attributes:
        flags: builder flags that were on, by TensorRT's names.
        precision: as the network computes.
        timing_cache: what kernels took, to make the next build short; empty where TensorRT keeps none.
    """

    plan: bytes
    seconds: float
    inputs: tuple[Range, ...]
    flags: tuple[str, ...]
    precision: str
    timing_cache: bytes


def build(
    library: Library, builder: Any, path: Path, feeds: Feeds, allowance: Allowance, cache: TimingCache | None
) -> Built:
    """Build an engine from an ONNX file.

    It takes batches from one row to as many as *feeds* have; other open axes are fixed at theirs. A line on stderr
    says when it begins, a second one how long it took; between them, on a terminal, how far it has come.

    Args:
        library: TensorRT.
        builder: of it; outlives what is made here.
        path: of the ONNX file.
        feeds: the largest batch.
        allowance: what the build may use.
        cache: of kernel timings, read before and written after; None for none.

    Raises:
        RuntimeUnavailable: an accelerator or a GPU was asked for that is not here, or that TensorRT does not build for.
        BadConfiguration: there is no such file.
        MeasurementFailed: it cannot be parsed or built, or *feeds* do not name its inputs.
        KeyboardInterrupt: the build was stopped.
    """
    module = library.module
    network, parser = parse(library, builder, path)
    declared = network_inputs(library, network)
    check_feeds(path, declared, feeds)
    ranges = tuple(_range(one, tuple(feeds[one.name].shape)) for one in declared)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, allowance.workspace_bytes)
    # What each layer became is then in the engine; it costs the plan some bytes and the device no time.
    config.profiling_verbosity = module.ProfilingVerbosity.DETAILED
    if allowance.dla_core is not None:
        _use_dla(library, builder, config, allowance.dla_core)
    if allowance.capabilities:
        _aim(library, config, allowance.capabilities)
    if any(None in one.shape for one in declared):
        profile = builder.create_optimization_profile()
        for one in ranges:
            profile.set_shape(one.name, one.least, one.usual, one.most)
        config.add_optimization_profile(profile)
    attached = cache.attach(config) if cache else None
    monitor = monitor_for(module)
    config.progress_monitor = monitor
    print(f"building a {module.__name__} engine from {path.name} …", file=sys.stderr, flush=True)
    began = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    seconds = time.perf_counter() - began
    monitor.close()
    if monitor.stopped:
        raise KeyboardInterrupt
    if plan is None:
        raise MeasurementFailed(f"TensorRT cannot build an engine from {path.name}: {library.logger.last_error()}")
    print(f"built {path.name} in {seconds:.1f} s", file=sys.stderr, flush=True)
    built = Built(
        plan=bytes(plan),
        seconds=seconds,
        inputs=ranges,
        flags=tuple(sorted(name for name, flag in module.BuilderFlag.__members__.items() if config.get_flag(flag))),
        precision=network_precision(library, network),
        timing_cache=cache.keep(config) if cache else b"",
    )
    del attached, plan, config, parser, network  # before their builder
    return built


def _range(one: Input, most: tuple[int, ...]) -> Range:
    axes = enumerate(zip(one.shape, most, strict=True))
    least = tuple(1 if axis == 0 and declared is None else size for axis, (declared, size) in axes)
    return Range(name=one.name, least=least, usual=most, most=most, dtype=one.dtype.name)


def _use_dla(library: Library, builder: Any, config: Any, core: int) -> None:
    module = library.module
    if core >= builder.num_DLA_cores:
        raise RuntimeUnavailable(
            f"the DLA core {core} was asked for, and TensorRT finds {builder.num_DLA_cores} here; "
            "the GPU alone is what builds without --dla."
        )
    config.default_device_type = module.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(module.BuilderFlag.GPU_FALLBACK)


def _aim(library: Library, config: Any, capabilities: tuple[str, ...]) -> None:
    """Build for GPUs other than the one that is here, which TensorRT-RTX alone can do."""
    module = library.module
    if module.__name__ != RTX:
        raise RuntimeUnavailable(
            f"{module.__name__} builds for the GPU that it runs on; tensorrt_rtx is needed to build for others."
        )
    known = {_dotted(name): one for name, one in module.ComputeCapability.__members__.items() if name.startswith("SM")}
    strange = [one for one in capabilities if one not in known]
    if strange:
        raise RuntimeUnavailable(
            f"{module.__name__} {module.__version__} does not build for GPUs of compute capability "
            f"{', '.join(strange)}; those that it builds for are {', '.join(known)}."
        )
    config.num_compute_capabilities = len(capabilities)
    for i, one in enumerate(capabilities):
        config.set_compute_capability(known[one], i)


def _dotted(name: str) -> str:
    """Return "12.0" for "SM120"."""
    return f"{name[2:-1]}.{name[-1]}"
