"""Verdicts, reports and targets as JSON on stdout, for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, Final

from hpmkd_edge.json_file import lay_out
from hpmkd_edge.record import Report
from hpmkd_edge.report.gate import exit_code_of
from hpmkd_edge.verdict import Verdict

SCHEMA: Final = "hpmkd-edge/gate/1"


def verdicts_to_json(verdicts: Sequence[Verdict]) -> str:
    """Return *verdicts*, their outcomes and the exit code of all of them together."""
    return lay_out(
        {
            "schema": SCHEMA,
            "exit_code": exit_code_of(verdicts),
            "verdicts": [{**asdict(verdict), "outcome": verdict.outcome} for verdict in verdicts],
        }
    )


def reports_to_json(reports: Sequence[Report]) -> str:
    """Return a list of *reports*, each as in its report.json."""
    return to_json(reports)


def to_json(value: Any) -> str:
    """Return a dataclass, or a mapping or sequence of them, as indented JSON."""
    return lay_out(_plain(value))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
