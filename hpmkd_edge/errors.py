"""Every way to stop early: one class a cause, one exit code each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class EdgeError(Exception):
    """A stop with a sentence for the user: what was found, then what is needed."""

    exit_code: ClassVar[int] = 4


class BadConfiguration(EdgeError):
    """A flag, a target or a targets file cannot be used."""

    exit_code = 2


class BadData(EdgeError):
    """The data set cannot be read, or cannot be learned from."""

    exit_code = 2


class BadTeacher(EdgeError):
    """A teacher cannot be read, or does not fit the task."""

    exit_code = 2


class BadStudent(EdgeError):
    """A student family cannot be read, or does not fit the task."""

    exit_code = 2


class BadReport(EdgeError):
    """A report or a profile file cannot be read."""

    exit_code = 2


class BadOutput(EdgeError):
    """The output folder cannot be written."""

    exit_code = 2


class RuntimeUnavailable(EdgeError):
    """The device, its driver or its runtime is not here."""

    exit_code = 3


class ConversionFailed(EdgeError):
    """A trained model could not be turned into a file of the runtime."""

    exit_code = 4


class ParityBroken(EdgeError):
    """An exported file does not answer as the model that it came from."""

    exit_code = 4


class MeasurementFailed(EdgeError):
    """A model file could not be run or timed."""

    exit_code = 4


class TrainingFailed(EdgeError):
    """A training diverged."""

    exit_code = 4


class Interrupted(EdgeError):
    """The user stopped the run; what was finished is saved."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that offers the known name nearest to *name*, and lists them all."""
    names = sorted(known, key=_natural)
    close = get_close_matches(name, names, n=1)
    offer = f"Did you mean {close[0]!r}? " if close else ""
    return f"{offer}Known: {', '.join(names)}."


def _natural(name: str) -> list[tuple[int, str]]:
    """Order numbers inside names as numbers: 8x1 before 16x1."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def unknown(kind: str, name: str, known: Iterable[str]) -> BadConfiguration:
    """Return the error for a *name* of a *kind* that does not exist."""
    return BadConfiguration(f"there is no {kind} {name!r}. {nearest(name, known)}")
