"""Where a board is: `ssh://user@board[:port]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hpmkd_edge.errors import BadConfiguration

_ADDRESS: Final = re.compile(
    r"ssh://(?:(?P<user>[\w.][\w.-]*)@)?(?P<host>[\w][\w.-]*|\[[0-9A-Fa-f:.]+(?:%\w+)?\])(?::(?P<port>\d{1,5}))?/?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a board is; what is None is left to OpenSSH's own configuration.

    Attributes:
        host: a name, an address, or an alias of that configuration.
    """

    user: str | None
    host: str
    port: int | None

    @property
    def destination(self) -> str:
        """As a person would type it after `ssh`."""
        user = f"{self.user}@" if self.user else ""
        port = f"-p {self.port} " if self.port else ""
        return f"{port}{user}{self.host}"

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host


def parse_address(text: str) -> Address:
    """Read `ssh://user@board[:port]`; the user may be left out.

    Raises:
        BadConfiguration: it has another form.
    """
    found = _ADDRESS.fullmatch(text)
    port = found and found["port"] and int(found["port"])
    if not found or port == "" or (port and port > 65535):
        raise BadConfiguration(f"the host is {text!r}; ssh://user@board[:port] is needed.")
    return Address(user=found["user"], host=found["host"].strip("[]"), port=port or None)
