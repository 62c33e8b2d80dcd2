"""The few calls of the CUDA driver that running an engine needs, by ctypes: no CUDA package to install.

Source: the CUDA Driver API reference. The calls beyond `missing` need a GPU.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import MeasurementFailed, RuntimeUnavailable

LIBRARY = "libcuda.so.1"


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


def _check(driver: ctypes.CDLL, status: int, call: str) -> None:
    if status == 0:
        return
    text = ctypes.c_char_p()
    driver.cuGetErrorString(status, ctypes.byref(text))
    meaning = text.value.decode() if text.value else "an unknown error"
    raise MeasurementFailed(f"the GPU refused {call}: {meaning} ({status}).")


def _call(name: str, *arguments: Any) -> None:
    driver = _driver()
    _check(driver, getattr(driver, name)(*arguments), name)


@dataclass(frozen=True, slots=True)
class DeviceArray:
    """Memory on the GPU."""

    address: int
    nbytes: int

    def upload(self, array: NDArray[Any], stream: Stream) -> None:
        """Copy *array*, which is contiguous and fits, to the device."""
        _call("cuMemcpyHtoDAsync_v2", _pointer(self.address), _host(array), _size(array.nbytes), stream.handle)

    def download(self, array: NDArray[Any], stream: Stream) -> None:
        """Copy from the device into *array*, which is contiguous; done when the stream has finished."""
        _call("cuMemcpyDtoHAsync_v2", _host(array), _pointer(self.address), _size(array.nbytes), stream.handle)

    def free(self) -> None:
        """Give the memory back."""
        _call("cuMemFree_v2", _pointer(self.address))


def allocate(nbytes: int) -> DeviceArray:
    """Return *nbytes* of device memory (at least one byte: CUDA refuses none).

    Raises:
        MeasurementFailed: the device has not that much left.
    """
    address = ctypes.c_uint64()
    _call("cuMemAlloc_v2", ctypes.byref(address), _size(max(nbytes, 1)))
    return DeviceArray(address.value, nbytes)


class Stream:
    """A queue of work on the GPU."""

    def __init__(self) -> None:
        self.handle = ctypes.c_void_p()
        # 1 is CU_STREAM_NON_BLOCKING: the legacy default stream is not waited for.
        _call("cuStreamCreate", ctypes.byref(self.handle), 1)

    @property
    def address(self) -> int:
        """The handle as TensorRT takes it."""
        return self.handle.value or 0

    def synchronize(self) -> None:
        """Wait until all work is done."""
        _call("cuStreamSynchronize", self.handle)


class Event:
    """A mark in a stream, with the device's own time."""

    def __init__(self) -> None:
        self.handle = ctypes.c_void_p()
        _call("cuEventCreate", ctypes.byref(self.handle), 0)

    def record(self, stream: Stream) -> None:
        """Set the mark behind the work that is in the stream now."""
        _call("cuEventRecord", self.handle, stream.handle)

    def since_ms(self, earlier: Event) -> float:
        """Return the device's time from *earlier* to this mark; both have passed."""
        elapsed = ctypes.c_float()
        _call("cuEventElapsedTime", ctypes.byref(elapsed), earlier.handle, self.handle)
        return elapsed.value


def _pointer(address: int) -> ctypes.c_uint64:
    return ctypes.c_uint64(address)


def _size(nbytes: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(nbytes)


def _host(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
