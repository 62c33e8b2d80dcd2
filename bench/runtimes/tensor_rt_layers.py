"""What the layers of an engine are, by its inspector, and what each takes, by its profiler."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from hpmkd_edge.bench.runtimes.tensor_rt_parse import Library

LAYER_RUNS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of an engine, which may be many of the file's nodes.

    Attributes:
        kind: as TensorRT calls it; None where the engine was built without details.
        format: data type and layout of its first output, likewise.
        ms: the median on the device.
    """

    name: str
    kind: str | None
    format: str | None
    ms: float


def time_layers(library: Library, engine: Any, context: Any, run: Callable[[], None]) -> tuple[Layer, ...]:
    """Return the layers of *engine* in the order in which they run.

    Args:
        library: TensorRT.
        engine: that the context is of.
        context: with shapes and addresses set.
        run: executes *context* once and waits; outside a CUDA graph, which reports no layers.
    """
    module = library.module

    class Profiler(module.IProfiler):  # type: ignore[misc, name-defined]
        """Keeps what every run reports."""

        def __init__(self) -> None:
            module.IProfiler.__init__(self)
            self.times: dict[str, list[float]] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times.setdefault(layer_name, []).append(ms)

    run()  # lazy loading of kernels is no layer's time
    profiler = Profiler()
    context.profiler = profiler
    for _ in range(LAYER_RUNS):
        run()
    inspector = engine.create_engine_inspector()
    inspector.execution_context = context
    known = describe(inspector.get_engine_information(module.LayerInformationFormat.JSON))
    return tuple(
        Layer(name=name, kind=kind, format=form, ms=median(times))
        for name, times in profiler.times.items()
        for kind, form in [known.get(name, (None, None))]
    )


def describe(information: str) -> dict[str, tuple[str | None, str | None]]:
    """Return kind and output format by layer, from the inspector's JSON; without details a layer is a name alone."""
    found: dict[str, tuple[str | None, str | None]] = {}
    for entry in json.loads(information).get("Layers", []):
        if isinstance(entry, str):
            found[entry] = (None, None)
            continue
        outputs = entry.get("Outputs") or [{}]
        found[entry["Name"]] = (entry.get("LayerType"), outputs[0].get("Format/Datatype"))
    return found
