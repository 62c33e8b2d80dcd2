"""Flags that mean the same in every command."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Format(str, Enum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"


TargetsFile = Annotated[
    Path | None,
    typer.Option("--targets", help="Your own targets, in the form of targets.yaml.", metavar="FILE"),
]
Output = Annotated[Format, typer.Option("--format", help="For people, or for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no table.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr what is done.")]
