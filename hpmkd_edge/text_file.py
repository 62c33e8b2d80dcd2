"""Text that is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from hpmkd_edge.errors import BadOutput


def write_text(text: str, path: Path) -> None:
    """Write *text* to *path* as UTF-8, over what is there; a reader sees the whole file or the one before.

    Raises:
        BadOutput: the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # A file's name may hold bytes that are no UTF-8.
        draft.write_bytes(text.encode(errors="backslashreplace"))
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BadOutput(f"{path.absolute()} cannot be written: {error.strerror}.") from error


def append_text(text: str, path: Path) -> None:
    """Add *text* as UTF-8 to what is in *path*, and take it back where not all of it could be written.

    Raises:
        BadOutput: the file cannot be written.
    """
    left = memoryview(text.encode(errors="backslashreplace"))
    try:
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                while left:
                    left = left[file.write(left) :]
            except OSError:
                if path.is_file():  # a pipe or a device takes nothing back
                    file.truncate(before)
                raise
    except OSError as error:
        raise BadOutput(f"{path.absolute()} cannot be written: {error.strerror}.") from error
