"""A TensorRT engine on a GPU: memory, copies, runs, and how long the device takes.

Everything here needs a GPU; what a machine without one can do is in `tensor_rt`.
"""

from __future__ import annotations

import math
import time
from collections import deque
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.runtimes import cuda_driver
from hpmkd_edge.bench.runtimes.runtime import Feeds, Input, check_feeds
from hpmkd_edge.bench.runtimes.tensor_rt_layers import Layer, time_layers
from hpmkd_edge.bench.runtimes.tensor_rt_parse import Library, numpy_type
from hpmkd_edge.errors import MeasurementFailed

# The latest runs, of which medians are taken.
KEPT = 1000


class EngineSession:
    """An engine with its device memory; fits `Session`.

    The first run of a shape goes through TensorRT, call by call; it is then recorded as a CUDA graph, which the further
    ones replay. Where TensorRT's work cannot be recorded, they go as the first did, and `providers` says so.
    """

    def __init__(
        self,
        library: Library,
        path: Path,
        plan: bytes,
        feeds: Feeds,
        build_s: float | None,
        *,
        dla_core: int | None = None,
    ) -> None:
        """Load *plan* and allocate for the batch of *feeds*, the largest that will be run.

        Raises:
            MeasurementFailed: the plan is of another GPU or version, the memory does not suffice, or *feeds* do not
                name its inputs.
        """
        module = library.module
        self._library, self._path = library, path
        self._unused_before = cuda_driver.free_bytes()
        self._stream = cuda_driver.Stream()
        self._began, self._ended = cuda_driver.Event(), cuda_driver.Event()
        # What lies on the device, in the order in which it is given back; it goes with the session, and at the end of
        # the process the driver takes it anyway.
        self._held: list[Any] = [self._stream, self._began, self._ended]
        finalize(self, _free, self._held).atexit = False
        # The engine does not outlive the runtime that made it.
        self._runtime = module.Runtime(library.logger)
        if dla_core is not None:
            self._runtime.DLA_core = dla_core
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise MeasurementFailed(
                f"the engine of {path.name} cannot be loaded: {library.logger.last_error()} "
                "An engine runs on the GPU and version that it was built for."
            )
        self._context = self._new_context()
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == module.TensorIOMode.INPUT]
        self._outputs = [name for name in names if name not in inputs]
        self._dtypes = {name: numpy_type(library, name, self._engine.get_tensor_dtype(name)) for name in names}
        check_feeds(path, tuple(Input(name=name, dtype=self._dtypes[name], shape=()) for name in inputs), feeds)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._set_shapes(self._context, feeds)
        self._arrays: dict[str, cuda_driver.DeviceArray] = {}
        for name in names:
            self._arrays[name] = cuda_driver.allocate(self._nbytes(name))
            self._held.append(self._arrays[name])
        self._set_addresses(self._context)
        self._views = self._new_views()
        self._graph: cuda_driver.Graph | None = None
        self._unrecorded: str | None = None
        self._handed_ms: deque[float] = deque(maxlen=KEPT)
        self._device_ms: deque[float] = deque(maxlen=KEPT)
        self.engine_build_s = build_s
        io_bytes = sum(array.nbytes for array in self._arrays.values())
        # The plan holds the weights, which lie on the device while the engine is loaded.
        self._known_bytes = io_bytes + int(self._engine.device_memory_size_v2) + len(plan)
        self._taken_bytes = 0

    @property
    def providers(self) -> tuple[str, ...]:
        """TensorRT, and how its work is handed over."""
        name: str = self._library.module.__name__
        if self._unrecorded:
            return (f"{name} without a CUDA graph ({self._unrecorded.rstrip('.')})",)
        return (f"{name} with a CUDA graph" if self._graph else name,)

    @property
    def device_bytes(self) -> int:
        """What inputs, outputs, activations and plan take, or, on a device with memory of its own, what went there.

        Of the two the larger: kernels lie there, too. Where the processor shares the memory, what went may be its own.
        """
        return max(self._known_bytes, self._taken_bytes)

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """Answer one batch, no larger than the one it was loaded for, with the first output."""
        if {name: array.shape for name, array in feeds.items()} != self._shapes:
            self._change_shapes(feeds)
        for name, array in feeds.items():
            if array.dtype != self._dtypes[name]:
                raise MeasurementFailed(
                    f"{self._path.name} was fed {array.dtype} as {name}; it needs {self._dtypes[name]}."
                )
            view = self._views[name]
            np.copyto(view, array)
            self._arrays[name].upload(view.nbytes, self._stream)
        self._began.record(self._stream)
        handed = time.perf_counter_ns()
        if self._graph:
            self._graph.launch()
        else:
            self._execute(self._context)
        handed = time.perf_counter_ns() - handed
        self._ended.record(self._stream)
        answer = self._views[self._outputs[0]]
        self._arrays[self._outputs[0]].download(answer.nbytes, self._stream)
        self._stream.synchronize()
        self._handed_ms.append(handed / 1e6)
        self._device_ms.append(self._ended.since_ms(self._began))
        if self._graph is None and self._unrecorded is None:
            self._record()
        return np.array(answer)

    def enqueue_share(self) -> float | None:
        """Return the median, over the latest runs, of the time to hand over over the time on the device."""
        shares = [handed / max(ms, 1e-6) for handed, ms in zip(self._handed_ms, self._device_ms, strict=True)]
        return float(np.median(shares)) if shares else None

    def device_ms(self) -> float | None:
        """Return the median, over the latest runs, of the time between two events on the device, copies not counted."""
        return float(np.median(self._device_ms)) if self._device_ms else None

    def time_layers(self, feeds: Feeds) -> tuple[Layer, ...]:
        """Run *feeds* some times with TensorRT's profiler, and return what each layer takes."""
        self.run(feeds)
        context = self._new_context()
        self._set_shapes(context, feeds)
        self._set_addresses(context)

        def once() -> None:
            self._execute(context)
            self._stream.synchronize()

        return time_layers(self._library, self._engine, context, once)

    def _record(self) -> None:
        """Record a run as a CUDA graph, to be replayed: after one as it is, which does what is done only once."""
        try:
            self._graph = cuda_driver.Graph(self._stream, lambda: self._execute(self._context))
        except MeasurementFailed as refusal:
            self._unrecorded = str(refusal)
        else:
            self._held.insert(0, self._graph)
            # The first run was not handed over as those that follow.
            self._handed_ms.clear()
            self._device_ms.clear()
        if not cuda_driver.describe().integrated:
            self._taken_bytes = max(0, self._unused_before - cuda_driver.free_bytes())

    def _execute(self, context: Any) -> None:
        if not context.execute_async_v3(self._stream.address):
            raise MeasurementFailed(f"TensorRT cannot run {self._path.name} on these inputs.")

    def _change_shapes(self, feeds: Feeds) -> None:
        self._set_shapes(self._context, feeds)
        for name, array in self._arrays.items():
            if self._nbytes(name) > array.nbytes:
                raise MeasurementFailed(
                    f"{self._path.name} was loaded for smaller batches than {self._shapes}; load it for them."
                )
        self._views = self._new_views()
        # A recorded run is one of its shapes.
        if self._graph is not None:
            self._held.remove(self._graph)
            self._graph.free()
        self._graph = self._unrecorded = None

    def _new_context(self) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            reason = self._library.logger.last_error()
            raise MeasurementFailed(f"the engine of {self._path.name} gets no memory: {reason}")
        return context

    def _set_shapes(self, context: Any, feeds: Feeds) -> None:
        for name, array in feeds.items():
            if not context.set_input_shape(name, array.shape):
                raise MeasurementFailed(
                    f"the engine of {self._path.name} does not take {name} in the shape {array.shape}."
                )
            self._shapes[name] = array.shape

    def _set_addresses(self, context: Any) -> None:
        for name, array in self._arrays.items():
            context.set_tensor_address(name, array.address)

    def _new_views(self) -> dict[str, NDArray[Any]]:
        return {name: array.view(self._shape(name), self._dtypes[name]) for name, array in self._arrays.items()}

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = tuple(int(axis) for axis in self._context.get_tensor_shape(name))
        if min(shape, default=0) < 0:
            raise MeasurementFailed(
                f"{self._path.name} gives {name}, whose shape depends on the values that it is fed; "
                "an output of a known shape is needed."
            )
        return shape

    def _nbytes(self, name: str) -> int:
        return math.prod(self._shape(name)) * int(self._dtypes[name].itemsize)


def _free(held: list[Any]) -> None:
    for one in held:
        one.free()
