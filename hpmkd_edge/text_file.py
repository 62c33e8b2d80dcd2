"""Text that is written whole or not at all."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from hpmkd_edge.errors import BadOutput


def write_text(text: str, path: Path) -> None:
    """Write *text* to *path* as UTF-8, over what is there; a reader sees the whole file or the one before.

    What is no file, as a pipe or a device, is written to and stays; a link stays, and what it leads to is written.

    Raises:
        BadOutput: the file cannot be written.
    """
    _check_named(path)
    # A file's name may hold bytes that are no UTF-8; in JSON, what this puts for them is JSON's own escape.
    written = text.encode(errors="backslashreplace")
    try:
        whole = path.resolve()
        if whole.exists() and not whole.is_file():
            whole.write_bytes(written)
            return
        draft = whole.with_name(f".{os.getpid()}-{threading.get_ident()}.partial")
        try:
            draft.write_bytes(written)
            draft.replace(whole)
        except OSError:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself, before Python 3.13
        raise _unwritable(path, error) from error


def append_text(text: str, path: Path) -> None:
    """Add *text* as UTF-8 to what is in *path*, and take it back where not all of it could be written.

    Raises:
        BadOutput: the file cannot be written.
    """
    _check_named(path)
    left = memoryview(text.encode(errors="backslashreplace"))
    try:
        with path.open("ab", buffering=0) as file:
            # A pipe or a device takes nothing back.
            before = file.tell() if path.is_file() else None
            try:
                while left:
                    left = left[file.write(left) :]
            except OSError:
                if before is not None:
                    file.truncate(before)
                raise
    except OSError as error:
        raise _unwritable(path, error) from error


def _check_named(path: Path) -> None:
    if not path.name:
        raise BadOutput(f"{str(path)!r} is no file's name; one is needed to write to.")


def _unwritable(path: Path, error: OSError | RuntimeError) -> BadOutput:
    cause = error.strerror if isinstance(error, OSError) else "its link leads to itself"
    return BadOutput(f"{path.absolute()} cannot be written: {cause}.")
