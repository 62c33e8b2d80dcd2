"""Boards to measure on: a real sshd on loopback, with keys, a home, a temporary folder and a python3 of its own."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE_S = 20
_SERVER = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_CLIENT = shutil.which("ssh")
_ENTERED = []  # boards that this account could log in to


@dataclass
class Board:
    """A running sshd.

    `temporary` is the board's folder for temporary files; `programs` is its PATH; `config` is the client's.
    """

    place: Path
    port: int
    server: subprocess.Popen

    @property
    def address(self):
        return f"ssh://{user()}@127.0.0.1:{self.port}"

    @property
    def temporary(self):
        return self.place / "board-tmp"

    @property
    def programs(self):
        return self.place / "board-bin"

    @property
    def config(self):
        return self.place / "config"

    def left(self):
        """Return what lies in the board's folder for temporary files, once nothing runs there any more."""
        wait_until(lambda: not self.sessions())
        return sorted(path.name for path in self.temporary.iterdir())

    def sessions(self):
        """Return the processes that logins have started on the board."""
        mark = f"HOME={self.place}/board-home".encode()
        return [number for number, environment in environments() if mark in environment]

    def restart(self, **limits):
        self.stop()
        self.server = _start(self.place, **limits)

    def stop(self):
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
        self.server.wait(PATIENCE_S)

    def python(self, script):
        """Let *script* be the board's python3; "{python}" in it stands for this one."""
        path = self.programs / "python3"
        path.unlink(missing_ok=True)
        if script:
            path.write_text("#!/bin/sh\n" + script.replace("{python}", sys.executable))
            path.chmod(0o755)


def user():
    return pwd.getpwuid(os.getuid()).pw_name


def environments():
    """Yield each of our processes that is no zombie, with its environment."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            yield int(path.name), (path / "environ").read_bytes().split(b"\0")


def wait_until(true):
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def absent():
    """Say why no sshd can be started here; None if one can."""
    if _SERVER is None:
        return "there is no sshd (the package openssh-server)"
    if _CLIENT is None:
        return "there is no ssh (the package openssh-client)"
    if os.getuid() == 0:
        try:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        except OSError as error:
            return f"sshd needs /run/sshd, and {error}"
    return None


def start_board(place):
    """Start a board whose files lie in *place*; the test is skipped where there is no sshd."""
    reason = absent()
    if reason:
        pytest.skip(reason)
    for name in ("board-tmp", "board-bin", "board-home"):
        (place / name).mkdir()
    for name in ("host", "key"):
        make_key(place / name)
    shutil.copy(place / "key.pub", place / "authorized")
    port = _free_port()
    (place / "sshd_config").write_text(f"""
ListenAddress 127.0.0.1:{port}
HostKey {place}/host
PidFile none
AuthorizedKeysFile {place}/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PermitUserRC no
AllowTcpForwarding yes
Subsystem sftp internal-sftp
SetEnv HOME={place}/board-home TMPDIR={place}/board-tmp PATH={place}/board-bin
""")
    (place / "known_hosts").write_text(f"[127.0.0.1]:{port} {(place / 'host.pub').read_text()}")
    (place / "config").write_text(f"""
Host alias
  HostName 127.0.0.1
  Port {port}
  User {user()}
Host behind
  HostName localhost
  Port {port}
  HostKeyAlias [127.0.0.1]:{port}
  ProxyJump {user()}@127.0.0.1:{port}
Host *
  UserKnownHostsFile {place}/known_hosts
  GlobalKnownHostsFile /dev/null
  IdentityFile {place}/key
  IdentitiesOnly yes
  IdentityAgent none
""")
    client = place / "client-bin"
    client.mkdir()
    (client / "ssh").write_text(f'#!/bin/sh\nexec {_CLIENT} -F {place}/config "$@"\n')
    (client / "ssh").chmod(0o755)
    board = Board(place=place, port=port, server=_start(place))
    board.python('exec {python} "$@"')
    shut = _shut(client / "ssh") if not _ENTERED else None
    if shut:
        board.stop()
        pytest.skip(shut)
    _ENTERED.append(place)
    return board


def _shut(ssh):
    """Say why this account may not log in at all, as where it is locked or has no shell; None if it may."""
    entered = subprocess.run([ssh, "-o", "BatchMode=yes", "alias", ":"], capture_output=True, text=True, check=False)
    return None if entered.returncode == 0 else f"{user()} may not log in by ssh here: {entered.stderr.strip()}"


def make_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def bare_environment(place, *modules):
    """Make an environment of this Python whose packages are only the numpy's of *modules*; return its python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    for module in modules:
        source = Path(module.__file__).parent
        for path in (source, source.with_name(f"{source.name}.libs")):
            if path.exists():
                (packages / path.name).symlink_to(path)
    return place / "bin" / "python"


def _start(place, file_bytes=None):
    """Start sshd in the foreground; nothing on the board may write a file larger than *file_bytes*."""

    def limit():
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    with (place / "sshd.log").open("a") as log:
        server = subprocess.Popen(
            [_SERVER, "-D", "-e", "-f", str(place / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stderr=log,
            preexec_fn=limit,
            start_new_session=True,
        )
    line = next(line for line in (place / "sshd_config").read_text().splitlines() if line.startswith("ListenAddress"))
    port = int(line.rpartition(":")[2])

    def answers():
        assert server.poll() is None, (place / "sshd.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers)
    return server


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
