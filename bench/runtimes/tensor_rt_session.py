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
from hpmkd_edge.bench.runtimes.runtime import Feeds
from hpmkd_edge.errors import MeasurementFailed


class EngineSession:
    """An engine with its device memory; fits `Session`."""

    def __init__(self, module: Any, logger: Any, path: Path, plan: bytes, feeds: Feeds, build_s: float | None) -> None:
        """Load *plan* and allocate for the batch of *feeds*, the largest that will be run.

        Raises:
            MeasurementFailed: the plan is of another GPU or version, or the memory does not suffice.
        """
        self._module, self._path = module, path
        self._stream = cuda_driver.Stream()
        self._began, self._ended = cuda_driver.Event(), cuda_driver.Event()
        # The engine does not outlive the runtime that made it.
        self._runtime = module.Runtime(logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise MeasurementFailed(
                f"the engine of {path.name} cannot be loaded: {logger.last_error()} "
                "An engine runs on the GPU and version that it was built for."
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise MeasurementFailed(f"the engine of {path.name} gets no memory: {logger.last_error()}")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = {name for name in names if self._engine.get_tensor_mode(name) == module.TensorIOMode.INPUT}
        self._outputs = [name for name in names if name not in inputs]
        self._dtypes = {name: np.dtype(module.nptype(self._engine.get_tensor_dtype(name))) for name in names}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._set_shapes(feeds)
        self._arrays = {name: cuda_driver.allocate(self._nbytes(name)) for name in names}
        for name, array in self._arrays.items():
            self._context.set_tensor_address(name, array.address)
        # Its memory goes with the session; at the end of the process the driver takes it anyway.
        finalize(self, _free, tuple(self._arrays.values())).atexit = False
        self._shares: deque[float] = deque(maxlen=1000)
        self.engine_build_s = build_s
        self.providers: tuple[str, ...] = (module.__name__,)
        io_bytes = sum(array.nbytes for array in self._arrays.values())
        # The plan holds the weights, which lie on the device while the engine is loaded.
        self.device_bytes: int = io_bytes + int(self._engine.device_memory_size_v2) + len(plan)

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """Answer one batch, no larger than the one it was loaded for, with the first output."""
        if {name: array.shape for name, array in feeds.items()} != self._shapes:
            self._set_shapes(feeds)
            self._check_room()
        for name, array in feeds.items():
            if array.dtype != self._dtypes[name]:
                raise MeasurementFailed(
                    f"{self._path.name} was fed {array.dtype} as {name}; it needs {self._dtypes[name]}."
                )
            self._arrays[name].upload(np.ascontiguousarray(array), self._stream)
        self._began.record(self._stream)
        handed = time.perf_counter_ns()
        done = self._context.execute_async_v3(self._stream.address)
        handed = time.perf_counter_ns() - handed
        self._ended.record(self._stream)
        if not done:
            raise MeasurementFailed(f"TensorRT cannot run {self._path.name} on these inputs.")
        first = self._outputs[0]
        answer = np.empty(tuple(self._context.get_tensor_shape(first)), self._dtypes[first])
        self._arrays[first].download(answer, self._stream)
        self._stream.synchronize()
        self._shares.append(handed / 1e6 / max(self._ended.since_ms(self._began), 1e-6))
        return answer

    def enqueue_share(self) -> float | None:
        """Return the median, over the latest runs, of the time to enqueue over the time on the device."""
        return float(np.median(self._shares)) if self._shares else None

    def _set_shapes(self, feeds: Feeds) -> None:
        for name, array in feeds.items():
            if not self._context.set_input_shape(name, array.shape):
                raise MeasurementFailed(
                    f"the engine of {self._path.name} does not take {name} in the shape {array.shape}."
                )

            self._shapes[name] = array.shape

    def _check_room(self) -> None:
        for name, array in self._arrays.items():
            if self._nbytes(name) > array.nbytes:
                raise MeasurementFailed(
                    f"{self._path.name} was loaded for smaller batches than {self._shapes}; load it for them."
                )

    def _nbytes(self, name: str) -> int:
        shape = tuple(int(axis) for axis in self._context.get_tensor_shape(name))
        return math.prod(shape) * int(self._dtypes[name].itemsize)


def _free(arrays: tuple[cuda_driver.DeviceArray, ...]) -> None:
    for array in arrays:
        array.free()
