"""Hand objects to other processes while the large arrays in them lie once in memory, whoever reads them."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadOutput, EdgeError

LEAST: Final = 1 << 18  # bytes; smaller arrays travel with the object
ALIGNMENT: Final = 64


class SharedArrays:
    """A nameless file that large arrays are written to once, by content, and that every process maps.

    A file and not /dev/shm, which holds 64 MB in a container by default; it is gone when its last process is.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed by close(), it outlives this function
        self._places: dict[bytes, int] = {}

    @property
    def descriptor(self) -> int:
        """Of the file, for the processes that map it."""
        return self._file.fileno()

    def pack(self, value: object) -> bytes:
        """Return *value* for `unpack`: its large NumPy arrays and CPU tensors are in the file, the rest in the bytes.

        Raises:
            EdgeError: the disk has no room for the arrays.
        """
        spans: list[tuple[int, int]] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            """Tell pickle whether the *buffer* goes along with the object."""
            raw = buffer.raw()
            if raw.nbytes < LEAST:
                return True
            spans.append((self._place(raw), raw.nbytes))
            return False

        stream = io.BytesIO()
        _Packer(stream, protocol=5, buffer_callback=keep).dump(value)
        return pickle.dumps((spans, stream.getvalue()))

    def close(self) -> None:
        """Forget the file; what is mapped stays readable."""
        self._file.close()

    def _place(self, raw: memoryview) -> int:
        # By content: lessons share their views, and an array that was changed since is another one.
        digest = sha256(raw).digest()
        if digest not in self._places:
            place = -(-self._file.seek(0, os.SEEK_END) // ALIGNMENT) * ALIGNMENT
            try:
                self._file.seek(place)
                self._file.write(raw)
                self._file.flush()
            except OSError as error:
                raise EdgeError(
                    f"{raw.nbytes / 1e6:.0f} MB for the worker processes do not fit in {tempfile.gettempdir()}:"
                    f" {error.strerror}; set TMPDIR to a folder with room, or give --workers 1."
                ) from error
            self._places[digest] = place
        return self._places[digest]


def unpack(packed: bytes, descriptor: int) -> Any:
    """Return the object that `pack` was given; its large arrays are maps, and a write to one stays in this process."""
    spans, stream = pickle.loads(packed)  # noqa: S301  from our own parent process
    mapped = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)) if spans else memoryview(b"")
    return pickle.loads(stream, buffers=[mapped[place : place + size] for place, size in spans])  # noqa: S301


def mapped(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """Write *array* to *path*, whole or not at all, and return it as it lies there; a write to it stays in memory.

    Raises:
        BadOutput: the file cannot be written.
    """
    beside = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        beside.replace(path)
    except OSError as error:
        raise BadOutput(f"{path} cannot be written: {error.strerror or error}.") from error
    found: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    return found


class _Packer(pickle.Pickler):
    """Pickles plain CPU tensors as the NumPy arrays that they are views of."""

    def reducer_override(self, value: Any) -> Any:
        torch = sys.modules.get("torch")  # where it is not loaded, nothing is a tensor
        if torch is None or type(value) is not torch.Tensor:
            return NotImplemented
        if value.layout != torch.strided or not value.is_contiguous():
            return NotImplemented
        try:
            array = value.numpy()
        except (RuntimeError, TypeError):  # on another device, with a gradient, of a type that NumPy has not
            return NotImplemented
        return torch.from_numpy, (array,)
