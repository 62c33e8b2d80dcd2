"""Which commit a file of ours is of, where it lies in a checkout."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 10.0


def commit_of(path: Path) -> str | None:
    """Return the commit that *path* is of, with "-dirty" where tracked files have changed; None outside a checkout.

    A package that is installed somewhere below another project's checkout is not of that: git does not track it.
    """
    git = shutil.which("git")
    if git is None or _answer(git, path, "ls-files", "--error-unmatch", path.name) is None:
        return None
    return _answer(git, path, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


def _answer(git: str, path: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  a fixed command, found on the PATH
            [git, "-C", str(path.parent), *arguments], capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
