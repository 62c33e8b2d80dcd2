"""Verdicts, targets and a report as JSON on stdout, for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, ClassVar, Final, Literal

from hpmkd_edge.baseline import Comparison
from hpmkd_edge.json_file import lay_out
from hpmkd_edge.record import Report
from hpmkd_edge.report.gate import ExitCode, Gated, exit_code_of
from hpmkd_edge.report.points import Role
from hpmkd_edge.verdict import Judgement, Outcome, Verdict

SCHEMA: Final = "hpmkd-edge/gate/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRecord:
    """A verdict with its outcome."""

    target: str
    judgements: tuple[Judgement, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class DominatedRecord:
    """A model of a run, and another of it, *by*, that is no worse in accuracy, time and size, and better in one.

    Attributes:
        round, by_round: None for what ships, and for a teacher.
    """

    target: str
    run_id: str
    name: str
    role: Role
    round: int | None
    by: str
    by_role: Role
    by_round: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRecord:
    """What the gate prints, and what a judgement of a profile prints too.

    Attributes:
        verdicts: in the order in which reports were given.
        baseline: each report beside its baseline; empty where none was given.
        dominated: candidates, and students that ship.
    """

    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }

    schema: Literal["hpmkd-edge/gate/1"] = SCHEMA
    exit_code: ExitCode
    verdicts: tuple[VerdictRecord, ...]
    baseline: tuple[Comparison, ...]
    dominated: tuple[DominatedRecord, ...]


def gated_to_json(judged: Sequence[Gated]) -> str:
    """Return verdicts, comparisons and dominated models of *judged*, and the exit code of all of them together."""
    dominated = tuple(
        DominatedRecord(
            target=gated.report.target,
            run_id=gated.report.run_id,
            name=point.name,
            role=point.role,
            round=point.round,
            by=by.name,
            by_role=by.role,
            by_round=by.round,
        )
        for gated in judged
        for point, by in gated.dominated
    )
    comparisons = tuple(gated.comparison for gated in judged if gated.comparison is not None)
    return to_json(_record([gated.verdict for gated in judged], comparisons, dominated))


def verdicts_to_json(verdicts: Sequence[Verdict]) -> str:
    """Return *verdicts*, their outcomes and the exit code of all of them together."""
    return to_json(_record(verdicts))


def _record(
    verdicts: Sequence[Verdict],
    baseline: tuple[Comparison, ...] = (),
    dominated: tuple[DominatedRecord, ...] = (),
) -> GateRecord:
    return GateRecord(
        exit_code=exit_code_of(verdicts),
        verdicts=tuple(
            VerdictRecord(target=one.target, judgements=one.judgements, outcome=one.outcome) for one in verdicts
        ),
        baseline=baseline,
        dominated=dominated,
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
