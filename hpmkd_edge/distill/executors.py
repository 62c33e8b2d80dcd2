"""Where jobs run: in this process, or in worker processes beside it."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Final

from hpmkd_edge.distill.pipeline import Ended, Job
from hpmkd_edge.distill.shared_arrays import SharedArrays
from hpmkd_edge.errors import BadConfiguration, EdgeError

MOMENT_S: Final = 0.2
WORTH_PROCESSES_S: Final = 20.0  # a worker's start is 3 to 5 s of imports
_STDERR: Final = 2
_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
# The path first: with -m a module in the user's folder could stand in for one of ours.
_PROGRAM: Final = "import sys; sys.path[:] = {!r}; from hpmkd_edge.distill.worker import serve; serve{!r}"


class InProcess:
    """Runs each job in this process when its end is asked for."""

    def __init__(self, context: object = None) -> None:
        self._context = context
        self._given: Job | None = None

    @property
    def workers(self) -> int:
        """One."""
        return 1

    def begin(self, job: Job) -> None:
        """Take *job*."""
        self._given = job

    def ended(self, stop: Callable[[], bool]) -> tuple[Ended, ...]:
        """Run the job that was taken; it may ask *stop* itself."""
        job, self._given = self._given, None
        if job is None:
            return ()
        began = time.perf_counter()
        try:
            result = job.call(self._context, stop, *job.arguments)
        except Exception as error:  # noqa: BLE001  run_jobs raises it
            return (Ended(name=job.name, seconds=time.perf_counter() - began, error=error),)
        return (Ended(name=job.name, seconds=time.perf_counter() - began, result=result),)

    def close(self) -> None:
        """Forget the job that was taken."""
        self._given = None

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WorkerTraceback(Exception):
    """The cause of a job's error: where in the worker process it was raised."""


@dataclass(slots=True, kw_only=True)
class _Worker:
    """A process, the job that it is busy with, and whether it was asked to stop, which is for good."""

    process: subprocess.Popen[bytes]
    pipe: Connection[Any, Any]
    lifeline: int
    job: Job | None = None
    asked: bool = False


class LocalProcesses:
    """Runs jobs in worker processes, each a fresh interpreter: threads of OpenMP do not survive a fork.

    The processes start at the first job and are kept for later ones; leaving the `with`, or this process's end, ends
    them. A terminal's Ctrl-C does not reach them. Large arrays and CPU tensors in *context* and in arguments are
    shared, not copied; results are pickled, so they should be small. What a job prints goes to stderr, and its log
    records to this process.

    Own processes and not concurrent.futures: its pool cannot tell which job died with its worker and by what, runs the
    user's script again in each worker, and its workers outlive a killed parent.

    Before the first job, call every kernel that is compiled into Numba's cache: processes that compile into it at once
    can break it (numba#4807).

    Args:
        workers: how many processes.
        threads_each: of OpenMP, BLAS and Numba, at most.
        context: the first argument of every job's call; each worker receives it once.
    """

    def __init__(self, workers: int, threads_each: int, context: object = None) -> None:
        if workers < 1 or threads_each < 1:
            raise BadConfiguration(f"{workers} workers of {threads_each} threads were asked for; 1 or more is needed.")
        self._count, self._threads_each, self._context = workers, threads_each, context
        self._workers: list[_Worker] = []
        self._arrays: SharedArrays | None = None
        self._packed_context = b""

    @property
    def workers(self) -> int:
        """How many jobs can be under way at once."""
        return self._count

    def begin(self, job: Job) -> None:
        """Send *job* to a free worker, after starting the workers that are missing.

        Raises:
            EdgeError: the disk has no room for its arrays.
        """
        if self._arrays is None:
            self._arrays = SharedArrays()
            self._packed_context = self._arrays.pack(self._context)
        packed = self._arrays.pack((job.call, job.arguments))
        for worker in [worker for worker in self._workers if worker.job is None]:
            self._look(worker)  # one that died idle is let go
        while len(self._workers) < self._count:
            self._workers.append(self._start(self._arrays.descriptor))
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.job = job
        with contextlib.suppress(ConnectionError):  # it died idle: ended() finds that and says how
            worker.pipe.send_bytes(packed)

    def ended(self, stop: Callable[[], bool]) -> tuple[Ended, ...]:
        """Wait a moment, and return the jobs that ended; tell the others when *stop* says so."""
        wait([worker.pipe for worker in self._workers if worker.job is not None], MOMENT_S)
        ends = tuple(end for worker in list(self._workers) if (end := self._look(worker)) is not None)
        if stop():
            for worker in self._workers:
                if worker.job is not None and not worker.asked:
                    worker.asked = True
                    with contextlib.suppress(BrokenPipeError):  # it died just now: the next look finds it
                        os.write(worker.lifeline, b"s")
        return ends

    def close(self) -> None:
        """End the workers at once, whatever they do."""
        while self._workers:
            self._end(self._workers[-1])
        if self._arrays is not None:
            self._arrays.close()
            self._arrays = None

    def __enter__(self) -> LocalProcesses:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, arrays: int) -> _Worker:
        here, there = Pipe()
        kept, lifeline = os.pipe()
        ours = {name: str(self._threads_each) for name in _THREADS}
        try:
            process = subprocess.Popen(  # noqa: S603  our own module, under this interpreter
                [sys.executable, "-c", _PROGRAM.format(sys.path, (there.fileno(), kept, arrays))],
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,  # libraries print to stdout, which is for results
                env={**os.environ, **ours},  # read when the libraries load, so it must be there from the start
                pass_fds=(there.fileno(), kept, arrays),
                start_new_session=True,  # a Ctrl-C in the terminal is for us to answer
            )
        except BaseException:
            here.close()
            os.close(lifeline)
            raise
        finally:
            there.close()
            os.close(kept)
        worker = _Worker(process=process, pipe=here, lifeline=lifeline)
        level = logging.getLogger("hpmkd_edge").getEffectiveLevel()
        with contextlib.suppress(ConnectionError):  # as in begin()
            here.send_bytes(pickle.dumps((level, self._packed_context)))
        return worker

    def _look(self, worker: _Worker) -> Ended | None:
        """Return how the worker's job ended, if it did; log what it logged."""
        dead = worker.process.poll() is not None  # before the pipe is read: its last words may be in there
        try:
            while worker.pipe.poll():
                message = pickle.loads(worker.pipe.recv_bytes())  # noqa: S301  from our own child process
                if not isinstance(message, logging.LogRecord):
                    return self._take(worker, *message)
                logger = logging.getLogger(message.name)
                if logger.isEnabledFor(message.levelno):
                    logger.handle(message)
        except (EOFError, ConnectionError):
            dead = True
        return self._bury(worker) if dead else None

    def _take(self, worker: _Worker, seconds: float, fine: bool, packed: bytes, where: str) -> Ended:
        job, worker.job = worker.job, None
        assert job is not None
        if worker.asked:
            self._end(worker)
        try:
            value = pickle.loads(packed)  # noqa: S301
        except Exception as error:  # noqa: BLE001  a result that cannot be rebuilt here fails its job
            return Ended(name=job.name, seconds=seconds, error=error)
        if fine:
            return Ended(name=job.name, seconds=seconds, result=value)
        value.__cause__ = WorkerTraceback(f"\n{where}")
        return Ended(name=job.name, seconds=seconds, error=value)

    def _bury(self, worker: _Worker) -> Ended | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(5)  # the pipe ends a little before the process does
        code, job = worker.process.poll(), worker.job
        self._end(worker)
        if job is None:
            return None  # it died idle: another is started for the next job
        if code is not None and code < 0:
            how, kernel = f"was killed by {signal.Signals(-code).name}", ", as the kernel does when memory runs out"
            how += kernel if -code == signal.SIGKILL else ""
        else:
            how = f"ended with code {code} and no answer; its message, if any, is above"
        few = "give fewer --workers" if self._count > 1 else "free memory"
        error = EdgeError(f"{job.name}: the worker process, one of {self._count}, {how}; {few}, or look into the job.")
        return Ended(name=job.name, seconds=0.0, error=error)

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        with contextlib.suppress(ProcessLookupError):
            if worker.process.poll() is None:
                os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        worker.pipe.close()
        os.close(worker.lifeline)
