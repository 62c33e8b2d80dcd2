"""A line to a board by the OpenSSH client, with its own configuration and known hosts; the far end is `board_runner`.

No shell sees anything but `COMMAND`: the runner, files and names all go through standard input.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from hpmkd_edge.bench import board_runner
from hpmkd_edge.bench.address import Address
from hpmkd_edge.bench.refusal import Ending, explain
from hpmkd_edge.errors import EdgeError, RuntimeUnavailable

CONNECT_S: Final = 10
# A board that answers nothing for a minute is gone; the runner thinks the same of us.
ALIVE_S: Final = 15
PATIENCE_S: Final = 60.0
BEAT_S: Final = 10.0
GRACE_S: Final = 10.0  # for the runner to clean up
MOST_NOISE: Final = 1 << 20
COMMAND: Final = (
    "exec python3 -I -c 'import base64; exec(base64.b64decode(open(0, \"rb\", 0, closefd=False).readline()))'"
)
_OPTIONS: Final = (
    "BatchMode=yes",  # nobody is there to type a password
    f"ServerAliveInterval={ALIVE_S}",
    f"ServerAliveCountMax={round(PATIENCE_S / ALIVE_S)}",
    "LogLevel=ERROR",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
)


class Line:
    """An open line to the runner on a board; `close` it, and the board is as it was before."""

    def __init__(self, address: Address) -> None:
        """Connect, and wait until the runner has made its folder.

        Raises:
            RuntimeUnavailable: the board cannot be reached or entered, or has no Python that suffices.
            MeasurementFailed: the board has no room, or the line broke.
        """
        program = shutil.which("ssh")
        if program is None:
            raise RuntimeUnavailable("there is no ssh here; the OpenSSH client is needed to reach a board.")
        self.address = address
        self._ready = False
        self._said: list[str] = []
        self._answers: queue.Queue[tuple[dict[str, Any], bytes] | None] = queue.Queue()
        self._writing, self._closing = threading.Lock(), threading.Event()
        self._process = subprocess.Popen(  # noqa: S603  every argument is fixed or was matched by `parse_address`
            _command(program, address),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never"},  # a host in between is not told BatchMode
            start_new_session=True,  # a Ctrl-C in the terminal is for us to answer
        )
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._listen, self._overhear, self._beat)
        ]
        for thread in self._threads:
            thread.start()
        try:
            self._write(b64encode(Path(board_runner.__file__).read_bytes()) + b"\n")
            self.send({"patience_s": PATIENCE_S})
            self.receive(PATIENCE_S + CONNECT_S)
            self._ready = True
        except BaseException:
            self.close()
            raise

    def send(self, header: dict[str, object], payload: IO[bytes] | None = None, size: int = 0) -> None:
        """Send a header and the *size* bytes of *payload*.

        Raises:
            MeasurementFailed: the line broke.
        """
        self._write(json.dumps({**header, "bytes": size}).encode() + b"\n", payload)

    def receive(self, timeout_s: float) -> tuple[dict[str, Any], bytes] | None:
        """Return the next header and what is behind it; None when none came in time.

        Raises:
            RuntimeUnavailable: the board is not fit.
            MeasurementFailed: the line broke, or the board has no room.
        """
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            if self._ready:
                return None
            raise self._broken(silent=True) from None
        if answer is None:
            raise self._broken()
        for kind in (Ending.UNFIT, Ending.FULL):
            if kind.value in answer[0]:
                raise explain(self.address, kind, answer[0][kind.value])
        return answer

    @property
    def last_words(self) -> str:
        """The last line that came from the board's side by stderr."""
        return next((line for line in reversed(self._said) if line.strip()), "").strip()

    def close(self) -> None:
        """Let the runner clean up, and wait until it has."""
        self._closing.set()
        try:
            # The runner takes the end of its input as the end; a thread that is stuck in a write would never let go.
            if self._writing.acquire(timeout=1):
                self._pipe(self._process.stdin).close()
                self._writing.release()
                self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            for thread in self._threads:
                # A connection that OpenSSH shares and keeps may hold the pipes longer than we need them.
                thread.join(1)

    def _broken(self, *, silent: bool = False) -> EdgeError:
        """Return what became of the line, from what ssh said of it."""
        self.close()
        ending = Ending.LOST if self._ready else Ending.SILENT if silent else Ending.REFUSED
        return explain(self.address, ending, "\n".join(self._said), self._process.returncode)

    def _write(self, data: bytes, payload: IO[bytes] | None = None) -> None:
        stdin = self._pipe(self._process.stdin)
        try:
            with self._writing:
                while data:
                    left = memoryview(data)
                    while left:
                        left = left[stdin.write(left) :]
                    data = payload.read(1 << 18) if payload else b""
        except (BrokenPipeError, ConnectionResetError):
            # Why is in what it said before it went.
            while True:
                self.receive(GRACE_S)

    def _listen(self) -> None:
        """Pass on the runner's answers, behind whatever a login shell printed first."""
        stdout = self._pipe(self._process.stdout)
        try:
            with open(stdout.fileno(), "rb", closefd=False) as answers:
                seen = b""
                while not seen.endswith(board_runner.MARK) and len(seen) < MOST_NOISE:
                    line = answers.readline()
                    if not line:
                        return
                    seen += line
                while line := answers.readline():
                    header = json.loads(line)
                    self._answers.put((header, answers.read(header["bytes"])))
        except (OSError, ValueError):
            pass  # of a line that broke in the middle: the None says so
        finally:
            self._answers.put(None)

    def _overhear(self) -> None:
        """Keep what ssh says until it is through, and show what the board says then."""
        with open(self._pipe(self._process.stderr).fileno(), "rb", closefd=False) as words:
            for line in words:
                text = line.decode(errors="replace").rstrip()
                self._said = [*self._said, text][-100:]
                if self._ready and not self._closing.is_set():
                    print(text, file=sys.stderr, flush=True)

    def _beat(self) -> None:
        """Show the runner that this end is there: a connection can end without a word."""
        with suppress(OSError, ValueError):  # the line is gone, or closed: others say so
            while not self._closing.wait(BEAT_S):
                with self._writing:
                    self._pipe(self._process.stdin).write(b"\n")

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


def _command(program: str, address: Address) -> list[str]:
    options = [part for option in (*_OPTIONS, f"ConnectTimeout={CONNECT_S}") for part in ("-o", option)]
    port = ["-p", str(address.port)] if address.port else []
    user = ["-l", address.user] if address.user else []
    return [program, *options, *port, *user, "--", address.host, COMMAND]
