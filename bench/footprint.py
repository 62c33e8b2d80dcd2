"""This process's memory, as the kernel counts it: what is resident, and the most that ever was."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


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


def _status_bytes(key: str) -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)
