"""Ctrl-C: the first asks the run to finish its unit and save, the second stops it at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Interruption:
    """Whether the user has asked to stop; long loops look at it between units."""

    asked: bool = False


@contextmanager
def listening() -> Iterator[Interruption]:
    """Turn the first SIGINT into a request, and the second one, or a SIGTERM, into KeyboardInterrupt.

    Works in the main thread only, as signals do; elsewhere nothing is ever asked.
    """
    interruption = Interruption()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if interruption.asked:
            raise KeyboardInterrupt
        interruption.asked = True
        print("\nhpmkd-edge: finishing what is under way, then saving; Ctrl-C again stops at once.", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def end(_signal: int, _frame: FrameType | None) -> None:
        # As an exception, so that a measuring child process is ended too and does not live on alone.
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, ask)
    terminated = signal.signal(signal.SIGTERM, end)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, terminated)
