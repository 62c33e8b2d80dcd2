"""Why a line to a board could not be had or did not hold, in a sentence: what was found, then what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Final

from hpmkd_edge.bench.address import Address
from hpmkd_edge.errors import EdgeError, MeasurementFailed, RuntimeUnavailable

_NO_PROGRAM: Final = 127


class Ending(Enum):
    """At which point it ended; the first two are keys of what the runner says."""

    UNFIT = "unfit"
    FULL = "full"
    REFUSED = "refused"
    SILENT = "silent"
    LOST = "lost"


def explain(address: Address, ending: Ending, words: str, code: int | None = None) -> EdgeError:
    """Return the error for a line that ended.

    Args:
        address: of the board.
        ending: at which point.
        words: the runner's own sentence, or all that ssh and the board said.
        code: ssh's exit code.
    """
    if ending is Ending.UNFIT:
        return RuntimeUnavailable(f"{address} cannot measure: {words}")
    if ending is Ending.FULL:
        return MeasurementFailed(f"{address} cannot take the files: {words}")
    if ending is Ending.LOST:
        return MeasurementFailed(
            f"the connection to {address} ended before the measurement did{_quoted(words)}; "
            "it must hold, and nobody may end the runner."
        )
    if ending is Ending.SILENT:
        return RuntimeUnavailable(
            f"{address} let us in and then said nothing; a login that runs a command without a terminal is needed."
        )
    for pattern, sentence in _REFUSALS:
        found = re.search(pattern, words)
        if found:
            return RuntimeUnavailable(sentence(address, words))
    if code == _NO_PROGRAM:
        return RuntimeUnavailable(f"{address} has no python3 on the PATH of a login by ssh; Python 3.8 is needed.")
    return RuntimeUnavailable(
        f"{address} cannot be measured on: ssh ended with code {code}{_quoted(words)}; "
        f"`ssh {address.destination} python3 -V` must answer."
    )


def _changed(address: Address, words: str) -> str:
    # ssh names the file that has the old key.
    found = re.search(r"ssh-keygen -f .*", words)
    command = found.group().strip() if found else f"ssh-keygen -R {_known_as(address)}"
    return (
        f"the host key of {address} is not the one that is known: another machine may be answering. "
        f"If the board was set up anew, remove the old key with `{command}`, then `ssh {address.destination}` and "
        "compare the new one."
    )


def _unknown_key(address: Address, _words: str) -> str:
    return (
        f"the host key of {address} is not known here; run `ssh {address.destination}` once and compare the "
        "fingerprint that it shows with the board's."
    )


def _key(address: Address, words: str) -> str:
    return (
        f"{address} does not accept a key of ours ({_last(words)}); a login without a password is needed: "
        f"`ssh-copy-id {address.destination}`."
    )


def _name(address: Address, _words: str) -> str:
    return f"there is no host {address.host!r}: its name cannot be resolved; a name or address of the board is needed."


def _closed(address: Address, _words: str) -> str:
    port = f"port {address.port or 22}"
    return f"{address} refuses connections on {port}; an ssh server that runs there is needed."


def _away(address: Address, words: str) -> str:
    return f"{address} cannot be reached ({_last(words)}); a board that is on and on this network is needed."


_REFUSALS: Final[tuple[tuple[str, Callable[[Address, str], str]], ...]] = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED|HOST KEY .* CHANGED|REVOKED HOST KEY", _changed),
    ("Host key verification failed|No .* host key is known", _unknown_key),
    (r"Permission denied \(|Too many authentication failures", _key),
    ("Could not resolve hostname", _name),
    ("Connection refused", _closed),
    ("timed out|No route to host|is unreachable|not responding", _away),
)


def _known_as(address: Address) -> str:
    return f"'[{address.host}]:{address.port}'" if address.port else address.host


def _last(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else ""


def _quoted(words: str) -> str:
    return f" ({_last(words)})" if _last(words) else ""
