"""What runs on a board, sent there as text: unpacks, starts the measuring process, hands back its answer, cleans up.

`ssh` gives it to `python3 -c` by standard input. Whichever way it ends (end of input, silence, an error, a signal that
cannot be caught) a second process sees it end, kills what still measures, and removes the folder. Any Python 3.6 can
read this file, to say that a newer one is needed; it imports the standard library only.
"""

# ruff: noqa: UP006, UP035  Python 3.6 reads this.

import errno
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List

# Text that a login shell prints before us is skipped up to here.
MARK = b"\n=== hpmkd-edge runner 1 ===\n"
LEAST_PYTHON = (3, 8)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Gone(Exception):
    """The other end has closed the line, or was silent for too long."""


class Line:
    """Standard input: headers, one line of JSON each, with so many bytes behind them; blank lines are signs of life."""

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._held = b""

    def header(self) -> Dict[str, Any]:
        """Return the next header."""
        while True:
            line, end, rest = self._held.partition(b"\n")
            if not end:
                self._held += self._more(1 << 16)
                continue
            self._held = rest
            if line:
                found: Dict[str, Any] = json.loads(line.decode())
                return found

    def take(self, count: int) -> bytes:
        """Return at most *count* bytes of what is behind a header."""
        if not self._held:
            return self._more(count)
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _more(self, count: int) -> bytes:
        data = os.read(0, count) if select.select([0], [], [], self.patience_s)[0] else b""
        if not data:
            raise Gone
        return data


class Payload:
    """The bytes behind a header, as a file that `tarfile` can read."""

    def __init__(self, line: Line, count: int) -> None:
        self._line = line
        self._left = count

    def read(self, count: int) -> bytes:
        """Return *count* bytes, or what is left."""
        parts = []
        wanted = min(count, self._left)
        while wanted:
            parts.append(self._line.take(wanted))
            wanted -= len(parts[-1])
        data = b"".join(parts)
        self._left -= len(data)
        return data


class Guard:
    """A process that waits for this one's end, then kills the measuring process and removes the folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        reader, self._writer = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            try:
                os.close(self._writer)
                self._wait(reader)
            finally:
                os._exit(0)
        os.close(reader)

    def watch(self, process: int) -> None:
        """Name the process group that is to be killed; 0 for none."""
        os.write(self._writer, b"%d\n" % process)

    def end(self) -> None:
        """Let it clean up, and wait until it has."""
        os.close(self._writer)
        os.waitpid(self._process, 0)
        shutil.rmtree(self._folder, ignore_errors=True)  # if somebody has killed the guard

    def _wait(self, reader: int) -> None:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        os.setsid()
        told = b""
        data = b"0"
        while data:  # the end comes when no process holds the other end any more
            data = os.read(reader, 4096)
            told = (told + data)[-4096:]
        watched = int(told.split()[-1]) if told else 0
        if watched:
            kill_group(watched)
        shutil.rmtree(self._folder, ignore_errors=True)


def kill_group(process: int) -> None:
    """Kill the processes of a group; those that are gone need it no more."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def tell(out: int, payload: bytes = b"", **facts: object) -> None:
    """Write a header and what is behind it."""
    facts["bytes"] = len(payload)
    data = memoryview(json.dumps(facts).encode() + b"\n" + payload)
    while data:
        data = data[os.write(out, data) :]


def unpack(line: Line, count: int, folder: str) -> None:
    """Write the files of a tar below *folder*."""
    payload = Payload(line, count)
    with tarfile.open(fileobj=payload, mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            path = Path(folder, member.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            assert content is not None
            with path.open("wb") as file:
                shutil.copyfileobj(content, file)
    while payload.read(1 << 16):  # a tar ends in zeros
        pass


def run(line: Line, folder: str, job: str, guard: Guard) -> int:
    """Run the measuring process on *job* and return its exit code, while the other end is there."""
    environment = dict(os.environ)
    environment["HPMKD_EDGE_CACHE"] = environment["TMPDIR"] = folder  # what runtimes leave behind goes with it
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    worker = subprocess.Popen(  # noqa: S603  our own module, under this interpreter
        [sys.executable, "-m", "hpmkd_edge.bench.worker", job],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    guard.watch(worker.pid)
    ended, ending = os.pipe()

    def wait() -> None:
        worker.wait()
        os.close(ending)

    threading.Thread(target=wait, daemon=True).start()
    try:
        while True:
            # Nothing is looked at in between: on a board with one core that would be measured too.
            ready = select.select([0, ended], [], [], line.patience_s)[0]
            if ended in ready:
                return worker.wait()
            if not ready or not os.read(0, 4096):
                raise Gone
    finally:
        if worker.poll() is None:
            kill_group(worker.pid)
            worker.wait()
        guard.watch(0)
        os.close(ended)


def packed(folder: str, names: List[str]) -> bytes:
    """Return the files *names* of *folder* as a tar."""
    with tempfile.TemporaryFile(dir=folder) as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name in names:
                archive.add(str(Path(folder, name)), name)
        file.seek(0)
        return file.read()


def why(folder: str) -> Dict[str, str]:
    """Return what explains that a process ended without an answer, if that can be seen."""
    if subprocess.call([sys.executable, "-c", "import numpy"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        return {"unfit": "its Python (" + sys.executable + ") cannot import numpy; numpy and a runtime are needed."}
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(1 << 20))  # an answer's size; without room, an OSError
    return {}


def serve(line: Line, out: int, folder: str, guard: Guard) -> None:
    """Unpack what comes, run each job that is named, hand back the files it wrote."""
    while True:
        header = line.header()
        unpack(line, header["bytes"], folder)
        job = header.get("job")
        if not isinstance(job, str):
            continue
        place = Path(folder, job)
        before = set(place.iterdir())
        code = run(line, folder, job, guard)
        names = sorted(path.name for path in set(place.iterdir()) - before)
        found = {} if "answer.json" in names or code < 0 else why(folder)
        tell(out, packed(str(place), names), code=code, **found)


def stop(number: int, _frame: object) -> None:
    """End by an exception, so that what has begun is cleaned up."""
    raise SystemExit(128 + number)


def main() -> None:
    """Answer what comes by standard input until it ends."""
    out = os.dup(1)
    os.dup2(2, 1)  # runtimes print to stdout, which is for answers
    os.write(out, MARK)
    if sys.version_info < LEAST_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        tell(out, unfit="its python3 is Python " + found + "; Python 3.8 or newer is needed.")
        return
    line = Line(60.0)
    try:
        line.patience_s = float(line.header()["patience_s"])
        folder = tempfile.mkdtemp(prefix="hpmkd-edge-")
    except Gone:
        return
    except OSError as error:
        tell(out, full="it has no folder for temporary files that can be written (" + str(error) + ").")
        return
    guard = Guard(folder)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), stop)
    try:
        tell(out, ready=folder)
        serve(line, out, folder, guard)
    except (Gone, BrokenPipeError):
        pass
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        tell(out, full="it has no room left in " + str(Path(folder).parent) + " (" + str(error.strerror) + ").")
    finally:
        guard.end()


if __name__ == "__main__":
    main()
