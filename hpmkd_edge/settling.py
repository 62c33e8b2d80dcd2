"""How to settle on the board what this host could not: the commands to type."""

from __future__ import annotations

import shlex
from pathlib import Path

from hpmkd_edge.export.artifact import PREPROCESSING, STUDENT, TOKENIZER
from hpmkd_edge.targets import HOST, Target
from hpmkd_edge.verdict import Outcome


def board_command(
    target: Target,
    final: Path,
    outcome: Outcome,
    *,
    cut: bool = False,
    sentence: str | None = None,
    targets_file: str | None = None,
) -> str | None:
    """Return the commands that measure the student on the board and judge it again, or None if all is settled here.

    Args:
        cut: whether a preprocessing file runs before the student's.
        sentence: of a text student, whose tokenizer runs before it: the one that it was timed on.
        targets_file: where the target stands, if not among those that ship.
    """
    if outcome is not Outcome.INCONCLUSIVE or target.device.name == HOST:
        return None
    folder = shlex.quote(str(shown(final)))
    record = f"{target.name}-profile.json"
    before = f" --preprocessing {folder}/{PREPROCESSING if sentence is None else TOKENIZER}" if cut else ""
    text = "" if sentence is None else f" --text={shlex.quote(sentence)}"
    known = f" --targets {shlex.quote(targets_file)}" if targets_file else ""
    return "\n".join(
        (
            f"hpmkd-edge profile {folder}/{STUDENT}{before}{text}{known} --target {target.name}"
            f" --host {target.host or 'ssh://USER@BOARD'}"
            f" --protocol standard --output {record}",
            f"hpmkd-edge gate {folder}/report.json --profile {record}",
        )
    )


def shown(path: Path) -> Path:
    """Return *path* as a person would type it here: relative where it lies below the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
