"""What the commands do before, around and after their work, as users of a terminal expect it."""

from __future__ import annotations

import codecs
import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.flags import is_typed
from hpmkd_edge.progress import hide_bars


def escape_unencodable() -> None:
    """Let stdout take every letter: one that its encoding lacks is written as in JSON, which stays whole."""
    codecs.register_error("json", _escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="json")


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Let the reader of stdout close it, as `| head` does, without a complaint and without another exit code."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich turns the one into the other
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def before_a_run(context: typer.Context, resume: Path | None, *, quiet: bool, verbose: bool) -> None:
    """Refuse flags beside --resume, and set what is shown while the run goes on."""
    if resume is not None:
        _refuse_beside_resume(context)
    if quiet:
        hide_bars()
    logging.basicConfig(level=logging.WARNING, format="hpmkd-edge: %(message)s")
    if verbose:
        logging.getLogger("hpmkd_edge").setLevel(logging.INFO)


@contextmanager
def stopped_at_once(folder: Path) -> Iterator[None]:
    """Say how to take up what a second Ctrl-C has stopped."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"hpmkd-edge: stopped at once; what was saved can be taken up: --resume {folder}", file=sys.stderr)
        raise typer.Exit(130) from None


def folder_of(output: Path, resume: Path | None) -> Path:
    """Return where a run will lie: at *output*, or where the interrupted one that is taken up was to lie."""
    from hpmkd_edge.request import PARTIAL

    return output if resume is None else Path(str(resume).removesuffix(PARTIAL))


def refuse_targets(context: typer.Context, command: str) -> None:
    """Stop where a flag is given that *command* would not look at."""
    names = ("target", "targets", "rounds", "protocol", "host", "profile_from", "records")
    refuse(context, command, names, "which fits no target and measures no latency")


def refuse(context: typer.Context, command: str, names: Sequence[str], reason: str) -> None:
    """Stop where one of the flags *names* is given that *command* would not look at, for a *reason*."""
    idle = [f"--{name.replace('_', '-')}" for name in names if is_typed(context, name)]
    if idle:
        raise BadConfiguration(f"{', '.join(idle)} cannot go with {command}, {reason}; leave it out.")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _refuse_beside_resume(context: typer.Context) -> None:
    """Stop where a flag of the run is given again: it would be ignored for the one that the run was started with."""
    free = {"resume", "strict", "format", "quiet", "verbose"}
    given = [f"--{name.replace('_', '-')}" for name in context.params if name not in free and is_typed(context, name)]
    if given:
        raise BadConfiguration(
            f"{', '.join(given)} cannot go with --resume, which takes up a run as it was asked for; start a new run."
        )
