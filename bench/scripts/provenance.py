"""Where a result came from, and results that grow by a row at a time, so that a stopped script goes on where it was."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.checkout import commit_of
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.json_file import write_json

RESULTS: Final = Path(__file__).parents[1] / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A result in the making.

    Attributes:
        head: the command, the commits that rows were made at, machine and versions.
        rows: grows.
    """

    path: Path
    head: Mapping[str, Any]
    rows: list[dict[str, Any]]

    def add(self, row: dict[str, Any]) -> None:
        """Keep one more row, and write all of them.

        Raises:
            BadOutput: the file cannot be written.
        """
        self.rows.append(row)
        self.finish({})

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write head, *summary* and rows."""
        write_json({**self.head, **summary, "rows": self.rows}, self.path)


def open_result(path: Path, script: Path, given: Sequence[str], *, libraries: Sequence[str]) -> Result:
    """Begin the result of a *script* that was *given* these arguments, or take up the one at *path*.

    Raises:
        BadConfiguration: what is there cannot be read, or another command or machine made it.
        BadOutput: the folder cannot be written.
    """
    command = shlex.join(["python", f"bench/scripts/{script.name}", *given])
    host = describe_host()
    machine = {
        "cpu": host.model,
        "cores": host.cores,
        "memory_mb": round(host.memory_mb),
        "system": host.system,
    }
    rows: list[dict[str, Any]] = []
    commits = [commit_of(script)]
    if path.exists():
        found = _read(path)
        if (found["command"], found["machine"]) != (command, machine):
            raise BadConfiguration(
                f"{path} was made by `{found['command']}` on {found['machine']}, and `{command}` on {machine} is asked"
                " for; give another --output, or remove it."
            )
        rows, commits = found["rows"], list(dict.fromkeys([*found["commits"], *commits]))
    path.parent.mkdir(parents=True, exist_ok=True)
    versions = {"python": platform.python_version(), **{name: version(name) for name in libraries}}
    return Result(
        path=path,
        head={"command": command, "commits": commits, "machine": machine, "versions": versions},
        rows=rows,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadConfiguration(f"{path} is not JSON: {error}; give another --output, or remove it.") from error
    if not isinstance(found, dict) or not {"command", "commits", "machine", "rows"} <= found.keys():
        raise BadConfiguration(f"{path} is no result of a script of ours; give another --output, or remove it.")
    return found
