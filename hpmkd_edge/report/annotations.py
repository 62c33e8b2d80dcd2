"""The gate's findings as workflow commands of GitHub Actions, which it shows beside a job and its pull request.

The commands and their escapes: https://docs.github.com/actions/reference/workflow-commands-for-github-actions and
`packages/core/src/command.ts` of actions/toolkit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, get_args

from hpmkd_edge.report.gate import Gated
from hpmkd_edge.report.gate_text import beaten
from hpmkd_edge.report.rows import headline
from hpmkd_edge.verdict import Outcome

Level = Literal["error", "warning", "notice"]

LEVELS: Final[dict[Outcome, Level]] = {
    Outcome.BROKEN: "error",
    Outcome.INCONCLUSIVE: "warning",
    Outcome.WARNED: "warning",
}


def workflow_commands(judged: Sequence[Gated]) -> tuple[str, ...]:
    """Return a line for each budget that is not met, for each student that is dominated, and for each report.

    Errors come first, then warnings, since GitHub shows ten of a kind.
    """
    found = [one for gated in judged for one in _findings(gated)]
    return tuple(_command(*one) for level in get_args(Level) for one in found if one[0] == level)


def _findings(gated: Gated) -> Iterator[tuple[Level, str, str]]:
    """Yield each finding's level, title and message."""
    where = f"{gated.report.data.name} on {gated.report.target}"
    for judged in gated.verdict.judgements:
        if judged.outcome is not Outcome.MET:
            yield LEVELS[judged.outcome], f"{judged.budget}, {where}", f"{judged.outcome.value}: {judged.reason}"
    if any(point.role == "shipped" for point, _ in gated.dominated):
        yield "warning", f"dominated, {where}", beaten(gated)[0]
    yield "notice", where, headline(gated.verdict)


def _command(level: Level, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
