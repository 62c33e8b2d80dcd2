"""Where things are kept between runs: from the environment, else in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return where things are kept between runs: `$HPMKD_EDGE_CACHE`, else in the user's cache."""
    own = os.environ.get("HPMKD_EDGE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(base) / "hpmkd-edge"
