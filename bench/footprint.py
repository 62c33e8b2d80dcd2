"""This process's memory, as the kernel counts it: what is resident, and the most that ever was."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_STATUS = Path("/proc/self/status")
_STATM = "/proc/self/statm"
_CLEAR_REFS = Path("/proc/self/clear_refs")
# A look takes 0.02 ms.
LOOK_EVERY_S: Final = 0.005


def resident_bytes() -> int:
    """Return the memory that is resident now (VmRSS)."""
    return _status_bytes("VmRSS")


def high_water_bytes() -> int:
    """Return the most that was resident since the start or the last reset (VmHWM)."""
    return _status_bytes("VmHWM")


def reset_high_water() -> bool:
    """Set the mark back to what is resident now; False if this kernel does not let a process do so."""
    try:
        _CLEAR_REFS.write_text("5", encoding="ascii")  # proc(5): 5 resets the peak resident set size
    except OSError:
        return False
    return True


class Watch:
    """The most that was resident whenever a thread looked."""

    def __init__(self) -> None:
        self.most_bytes = resident_bytes()

    def look(self) -> None:
        """Look now."""
        with open(_STATM, "rb") as file:  # noqa: PTH123  a Path would be the larger part of the work
            pages = int(file.read().split()[1])
        self.most_bytes = max(self.most_bytes, pages * os.sysconf("SC_PAGE_SIZE"))


@contextmanager
def watched() -> Iterator[Watch]:
    """Look every few milliseconds while the block runs, and at its end."""
    watch, over = Watch(), threading.Event()

    def look_on() -> None:
        while not over.wait(LOOK_EVERY_S):
            watch.look()

    thread = threading.Thread(target=look_on, name="memory", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
        watch.look()


def _status_bytes(key: str) -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)
