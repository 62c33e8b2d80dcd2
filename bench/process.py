"""Run a measuring job in a fresh process, and turn whatever becomes of it into an answer or a sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.job import Job, Seen, read_answer, write_job
from hpmkd_edge.bench.profile import Host, State
from hpmkd_edge.bench.runtimes.runtime import Feeds
from hpmkd_edge.errors import EdgeError, MeasurementFailed

_ERRORS: Final = {kind.__name__: kind for kind in EdgeError.__subclasses__()}
_STDERR: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What one process saw.

    Attributes:
        seen: one for each model.
        samples_ns: [R] for each model and, last, for the reference; empty if nothing was timed.
        host: the machine that it ran on.
        states: that machine before and after the timing; empty if nothing was timed.
    """

    seen: tuple[Seen, ...]
    samples_ns: tuple[NDArray[np.int64], ...]
    host: Host
    states: tuple[State, ...] = ()


def visit(job: Job, feeds: tuple[Feeds, ...], timeout_s: float) -> Visit:
    """Carry out *job* in a fresh process.

    Raises:
        EdgeError: what the process met, under its own class.
        MeasurementFailed: it crashed, or took longer than *timeout_s*.
    """
    with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as name:
        folder = Path(name)
        write_job(folder, job, feeds)
        code = _run([sys.executable, "-m", "hpmkd_edge.bench.worker", name], timeout_s)
        return outcome(folder, job, code, timeout_s)


def outcome(folder: Path, job: Job, code: int | None, timeout_s: float) -> Visit:
    """Return what the process that carried out *job* has left in *folder*.

    Args:
        folder: with the answer, if there is one.
        job: what it was asked.
        code: its exit code, negative for a signal; None when it ran out of time.
        timeout_s: the time that it had.

    Raises:
        EdgeError: what the process met, under its own class.
        MeasurementFailed: there is no answer.
    """
    models = " and ".join(path.name for path in job.models)
    if code is None:
        raise MeasurementFailed(f"measuring {models} took longer than the {timeout_s:g} s that it may.")
    if code < 0:
        raise MeasurementFailed(f"the process that measured {models} was killed by {_signal_name(-code)}.")
    found = read_answer(folder)
    if found is None:
        raise MeasurementFailed(
            f"the process that measured {models} ended with code {code} and no answer; its message is above."
        )
    answer, samples_ns = found
    if answer.failure:
        kind, sentence = answer.failure
        raise _ERRORS[kind](sentence)
    if answer.host is None:
        raise MeasurementFailed(f"the process that measured {models} did not name its machine; it must.")
    return Visit(seen=answer.models, samples_ns=samples_ns, host=answer.host, states=answer.states)


def _run(command: list[str], timeout_s: float) -> int | None:
    """Return the exit code of *command*, negative for a signal, or None when it ran out of time."""
    process = subprocess.Popen(  # noqa: S603  our own module, under this interpreter
        command,
        stdin=subprocess.DEVNULL,
        stdout=_STDERR,  # runtimes print to stdout, which is for results
        start_new_session=True,  # a Ctrl-C in the terminal is for us to answer
    )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _signal_name(number: int) -> str:
    name = signal.Signals(number).name
    return f"{name}, as the kernel does when memory runs out" if number == signal.SIGKILL else name
