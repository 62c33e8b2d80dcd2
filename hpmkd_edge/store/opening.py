"""Where the store lies and how much it may take: from the environment, else in the user's cache."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Final

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.store.database import open_database
from hpmkd_edge.store.folder import cache_folder as cache_folder
from hpmkd_edge.store.objects import Store, writable

MOST_GB: Final = 20.0


def open_store(folder: Path | None = None) -> Store:
    """Open the user's store, or one of its own in *folder*.

    `$HPMKD_EDGE_CACHE_GB` bounds its files, by default at 20 GB of 10⁹ bytes. The database is `memory.sqlite` in the
    folder; the user's is at the path or URL of `$HPMKD_EDGE_MEMORY`, where that is set.

    Raises:
        BadConfiguration: one of the variables cannot be used.
        BadOutput: the folder or the database cannot be written.
        RuntimeUnavailable: the driver of the database is not installed.
    """
    most_bytes = _most_bytes()
    # A folder that is named, such as a run's, leaves nothing in a database that others share.
    url = os.environ.get("HPMKD_EDGE_MEMORY") if folder is None else None
    folder = folder or cache_folder()
    # Before the database, which would blame itself for a folder that cannot be written.
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    return Store(folder, open_database(url or str(folder / "memory.sqlite")), most_bytes=most_bytes)


def _most_bytes() -> int:
    text = os.environ.get("HPMKD_EDGE_CACHE_GB") or str(MOST_GB)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not 0 < gigabytes < math.inf:
        raise BadConfiguration(f"HPMKD_EDGE_CACHE_GB is {text!r}; a number of gigabytes above 0 is needed, such as 20.")
    return round(gigabytes * 1e9)
