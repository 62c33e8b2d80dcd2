"""A worker process: it takes jobs from its parent, one at a time, until the parent is gone."""

from __future__ import annotations

import io
import logging
import os
import pickle
import sys
import threading
import time
import traceback
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from typing import Any

from hpmkd_edge.distill.shared_arrays import unpack


class _NoTerminal(io.TextIOWrapper):
    """Stderr without progress bars: the parent draws the one that counts."""

    def isatty(self) -> bool:
        return False


class _ToParent(QueueHandler):
    """Sends log records up, for the parent's own handlers."""

    def __init__(self, pipe: Connection[Any, Any], sending: threading.Lock) -> None:
        super().__init__(pipe)  # type: ignore[arg-type]  # only enqueue looks at it
        self._pipe, self._sending = pipe, sending

    def enqueue(self, record: logging.LogRecord) -> None:
        with self._sending:
            self._pipe.send_bytes(pickle.dumps(record))


def serve(pipe_descriptor: int, lifeline: int, arrays: int) -> None:
    """Answer jobs until the pipe ends.

    Args:
        pipe_descriptor: of the socket that jobs come by and results go by.
        lifeline: of a pipe in which the parent writes a byte to ask for a stop, and which ends with the parent.
        arrays: of the file with the large arrays.
    """
    stop, sending = threading.Event(), threading.Lock()
    threading.Thread(target=_hold, args=(lifeline, stop), daemon=True).start()
    # Line by line, since a worker is killed at its end.
    sys.stdout = sys.stderr = _NoTerminal(open(2, "wb", closefd=False), line_buffering=True)  # noqa: SIM115
    pipe: Connection[Any, Any] = Connection(pipe_descriptor)
    level, packed_context = pickle.loads(pipe.recv_bytes())  # noqa: S301  from our own parent process
    logging.getLogger("hpmkd_edge").setLevel(level)
    logging.getLogger().addHandler(_ToParent(pipe, sending))
    context: tuple[Any, ...] = ()
    while True:
        try:
            packed = pipe.recv_bytes()
        except EOFError:
            return
        began = time.perf_counter()
        try:
            # Inside, so that what cannot be loaded here is the job's own error.
            context = context or (unpack(packed_context, arrays),)
            call, arguments = unpack(packed, arrays)
            began = time.perf_counter()
            # By plain pickle: a tensor in the result is copied, and lives on without this process.
            answer = (True, pickle.dumps(call(*context, stop.is_set, *arguments)), "")
        except BaseException as error:  # noqa: BLE001  also SystemExit: the parent raises it, whatever it is
            answer = (False, _pickled(error), traceback.format_exc())
        with sending:
            pipe.send_bytes(pickle.dumps((time.perf_counter() - began, *answer)))


def _hold(lifeline: int, stop: threading.Event) -> None:
    """Pass on the wish to stop, and die with the parent, even amid a job."""
    while os.read(lifeline, 1):
        stop.set()
    os._exit(1)


def _pickled(error: BaseException) -> bytes:
    """Return *error* as bytes, or one with its class's name and message where it cannot be taken apart and rebuilt."""
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)  # noqa: S301
    except Exception:  # noqa: BLE001  an exception's own methods can raise anything
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return packed
