"""Whether progress bars are shown: on a terminal, unless the user wants quiet."""

from __future__ import annotations

import os
from typing import Final

QUIET: Final = "TQDM_DISABLE"  # tqdm's own variable; it is passed over where `disable` is given


def hide_bars() -> None:
    """Show no bars in this process, nor in those that it starts."""
    os.environ[QUIET] = "1"


def hidden() -> bool | None:
    """Return what tqdm takes as `disable`: True for quiet, None to leave it to the terminal."""
    return True if os.environ.get(QUIET) == "1" else None
