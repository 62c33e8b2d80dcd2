"""The few calls of the CUDA driver that running an engine needs, by ctypes: no CUDA package to install.

Source: the CUDA Driver API reference. The calls beyond `missing` need a GPU.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import MeasurementFailed, RuntimeUnavailable

LIBRARY = "libcuda.so.1"

# CUdevice_attribute
_INTEGRATED: Final = 18
_CAPABILITY_MAJOR: Final = 75
_CAPABILITY_MINOR: Final = 76


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """GPU 0.

    Attributes:
        compute_capability: such as "8.7".
        integrated: shares the processor's memory, as a Jetson's does.
    """

    name: str
    compute_capability: str
    memory_bytes: int
    integrated: bool


def missing() -> str | None:
    """Say in a sentence why no GPU can be used; None if one can."""
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError:
        return f"there is no NVIDIA driver ({LIBRARY} is not found)."
    status = driver.cuInit(0)
    if status != 0:
        return f"the NVIDIA driver does not start (cuInit answers {status})."
    count = ctypes.c_int()
    status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value == 0:
        return "the NVIDIA driver finds no GPU."
    return None


def describe() -> Gpu:
    """Return what GPU 0 is.

    Raises:
        RuntimeUnavailable: there is none.
    """
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    call("cuDeviceGetName", name, len(name), 0)
    call("cuDeviceTotalMem_v2", ctypes.byref(memory), 0)
    return Gpu(
        name=name.value.decode(),
        compute_capability=f"{_attribute(_CAPABILITY_MAJOR)}.{_attribute(_CAPABILITY_MINOR)}",
        memory_bytes=memory.value,
        integrated=bool(_attribute(_INTEGRATED)),
    )


def free_bytes() -> int:
    """Return how much of the device's memory nobody has taken."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return free.value


def _attribute(number: int) -> int:
    value = ctypes.c_int()
    call("cuDeviceGetAttribute", ctypes.byref(value), number, 0)
    return value.value


@cache
def _driver() -> ctypes.CDLL:
    """Return the driver with GPU 0's primary context current: the one that TensorRT uses, too."""
    reason = missing()
    if reason:
        raise RuntimeUnavailable(reason)
    driver = ctypes.CDLL(LIBRARY)
    device, context = ctypes.c_int(), ctypes.c_void_p()
    _check(driver, driver.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    _check(driver, driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), "cuDevicePrimaryCtxRetain")
    _check(driver, driver.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    return driver


def _check(driver: ctypes.CDLL, status: int, name: str) -> None:
    if status == 0:
        return
    text = ctypes.c_char_p()
    driver.cuGetErrorString(status, ctypes.byref(text))
    meaning = text.value.decode() if text.value else "an unknown error"
    raise MeasurementFailed(f"the GPU refused {name}: {meaning} ({status}).")


def call(name: str, *arguments: Any) -> None:
    """Call the driver's function of that *name*.

    Raises:
        RuntimeUnavailable: there is no GPU.
        MeasurementFailed: the driver refuses; with the call, the meaning and the number.
    """
    driver = _driver()
    _check(driver, getattr(driver, name)(*arguments), name)


@dataclass(frozen=True, slots=True)
class DeviceArray:
    """Memory on the GPU, and as much of the host's that is pinned, through which copies go."""

    address: int
    host_address: int
    nbytes: int

    def view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the host's side as an array, which fits; it lives as long as this memory."""
        size = math.prod(shape) * dtype.itemsize
        found: NDArray[Any] = np.ndarray(
            shape, dtype, buffer=memoryview((ctypes.c_char * size).from_address(self.host_address))
        )
        return found

    def upload(self, nbytes: int, stream: Stream) -> None:
        """Copy the first *nbytes* of the host's side to the device."""
        call("cuMemcpyHtoDAsync_v2", _pointer(self.address), *self._host(nbytes), stream.handle)

    def download(self, nbytes: int, stream: Stream) -> None:
        """Copy the first *nbytes* of the device's side to the host; done when the stream has finished."""
        place, size = self._host(nbytes)
        call("cuMemcpyDtoHAsync_v2", place, _pointer(self.address), size, stream.handle)

    def _host(self, nbytes: int) -> tuple[ctypes.c_void_p, ctypes.c_size_t]:
        return ctypes.c_void_p(self.host_address), ctypes.c_size_t(nbytes)

    def free(self) -> None:
        """Give both sides back."""
        call("cuMemFree_v2", _pointer(self.address))
        call("cuMemFreeHost", ctypes.c_void_p(self.host_address))


def allocate(nbytes: int) -> DeviceArray:
    """Return *nbytes* on either side (at least one byte: CUDA refuses none).

    Raises:
        MeasurementFailed: the device or the host has not that much left.
    """
    address, host_address, size = ctypes.c_uint64(), ctypes.c_void_p(), ctypes.c_size_t(max(nbytes, 1))
    call("cuMemAlloc_v2", ctypes.byref(address), size)
    try:
        call("cuMemHostAlloc", ctypes.byref(host_address), size, 0)
    except MeasurementFailed:
        call("cuMemFree_v2", address)
        raise
    return DeviceArray(address.value, host_address.value or 0, nbytes)


class Stream:
    """A queue of work on the GPU."""

    def __init__(self) -> None:
        self.handle = ctypes.c_void_p()
        # 1 is CU_STREAM_NON_BLOCKING: the legacy default stream is not waited for.
        call("cuStreamCreate", ctypes.byref(self.handle), 1)

    @property
    def address(self) -> int:
        """The handle as TensorRT takes it."""
        return self.handle.value or 0

    def synchronize(self) -> None:
        """Wait until all work is done."""
        call("cuStreamSynchronize", self.handle)

    def free(self) -> None:
        """Give the queue back."""
        call("cuStreamDestroy_v2", self.handle)


class Event:
    """A mark in a stream, with the device's own time."""

    def __init__(self) -> None:
        self.handle = ctypes.c_void_p()
        call("cuEventCreate", ctypes.byref(self.handle), 0)

    def record(self, stream: Stream) -> None:
        """Set the mark behind the work that is in the stream now."""
        call("cuEventRecord", self.handle, stream.handle)

    def since_ms(self, earlier: Event) -> float:
        """Return the device's time from *earlier* to this mark; both have passed."""
        elapsed = ctypes.c_float()
        call("cuEventElapsedTime", ctypes.byref(elapsed), earlier.handle, self.handle)
        return elapsed.value

    def free(self) -> None:
        """Give the mark back."""
        call("cuEventDestroy_v2", self.handle)


class Graph:
    """Work that was recorded once and is handed over as a whole: a CUDA graph."""

    def __init__(self, stream: Stream, work: Callable[[], None]) -> None:
        """Record what *work* puts into *stream*; nothing of it runs.

        Raises:
            MeasurementFailed: *work* does so, or holds what cannot be recorded; the stream can be used further.
        """
        self._stream = stream
        self._graph, self._handle = ctypes.c_void_p(), ctypes.c_void_p()
        # 1 is CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads call does not spoil the recording.
        call("cuStreamBeginCapture_v2", stream.handle, 1)
        try:
            work()
        except BaseException:
            self._end(refused=True)
            raise
        self._end(refused=False)
        try:
            call("cuGraphInstantiateWithFlags", ctypes.byref(self._handle), self._graph, ctypes.c_uint64(0))
        except MeasurementFailed:
            call("cuGraphDestroy", self._graph)
            raise

    def _end(self, *, refused: bool) -> None:
        """End the recording, which a stream that is to run again needs in any case."""
        try:
            call("cuStreamEndCapture", self._stream.handle, ctypes.byref(self._graph))
        except MeasurementFailed:
            if not refused:
                raise
            return
        if refused:
            call("cuGraphDestroy", self._graph)

    def launch(self) -> None:
        """Put the whole into the stream that it was recorded from."""
        call("cuGraphLaunch", self._handle, self._stream.handle)

    def free(self) -> None:
        """Give the recording back."""
        call("cuGraphExecDestroy", self._handle)
        call("cuGraphDestroy", self._graph)


def _pointer(address: int) -> ctypes.c_uint64:
    return ctypes.c_uint64(address)
