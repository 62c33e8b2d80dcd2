"""What `bench` found: a cell for each model, target and precision; and what `bench compare` found between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from hpmkd_edge.bench.change import Change, change_between
from hpmkd_edge.bench.change import Verdict as Speed
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.errors import BadConfiguration, BadReport
from hpmkd_edge.json_file import read_json, read_named, write_json
from hpmkd_edge.targets import Precision
from hpmkd_edge.verdict import Outcome, Provenance, Verdict

SCHEMA: Final = "hpmkd-edge/bench/2"
CHANGE_SCHEMA: Final = "hpmkd-edge/change/1"

State = Literal["measured", "unavailable", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times as long one file takes as another; the fields are those of `bench.change.Change`."""

    ratio: float
    low: float
    high: float
    tolerance: float
    interleaved: bool
    verdict: Speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A file as it was handed in.

    Attributes:
        name: its file's name, with as many folders as tell it from the others. Unique in a record.
        precision: that its graph carries, or that it was said to be of.
    """

    name: str
    path: str
    sha256: str
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One model on one target in one precision.

    What follows from *profile* and *verdict* is written beside them, for readers without this package.

    Attributes:
        model: the name of the model as it was handed in.
        made: how its file came about: "as it is", "weights and inner values in float16", …; None where there is none.
        reason: why it was not measured, in a sentence; None where it was.
        outcome: of the cost budgets; None where it was not measured.
        flags: why the latencies are not valid for a gate.
        against_first: its time over that of the target's first measured file; None for that one, and where the two
            cannot be compared.
        provenance: what its times are worth on the target; None in older records.
    """

    target: str
    model: str
    precision: str
    state: State
    made: str | None
    reason: str | None
    outcome: Outcome | None = None
    flags: tuple[str, ...] = ()
    p50_ms: float | None = None
    p90_bound_ms: float | None = None
    against_first: Ratio | None = None
    verdict: Verdict | None = None
    profile: Profile | None = None
    provenance: Provenance | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the other cells of its record."""
        return self.model, self.target, self.precision


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRecord:
    """A matrix of measurements.

    Attributes:
        targets: in the order in which they were asked for; so are the cells.
        precisions: that were asked for; empty where each file was measured as it is.
        exit_code: see `exit_code_of`.
        notes: what a reader must know, in sentences.
    """

    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/bench/2"] = SCHEMA
    tool_version: str
    taken_at: str
    protocol: str
    models: tuple[Model, ...]
    targets: tuple[str, ...]
    precisions: tuple[str, ...]
    exit_code: int
    notes: tuple[str, ...]
    cells: tuple[Cell, ...]

    def of_target(self, target: str) -> tuple[Cell, ...]:
        """Return the cells of one target."""
        return tuple(cell for cell in self.cells if cell.target == target)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecord:
    """Whether a model became slower: two profiles, and the ratio of their times; see `bench.change.Change`."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/change/1"] = CHANGE_SCHEMA
    exit_code: int
    ratio: float
    low: float
    high: float
    tolerance: float
    interleaved: bool
    verdict: Speed
    before: Profile
    after: Profile


def ratio_of(change: Change) -> Ratio:
    """Return *change* with its verdict."""
    return Ratio(**asdict(change), verdict=change.verdict)


def against(first: Profile, profile: Profile) -> Ratio | None:
    """Return the time of *profile* over that of *first*, timed in turn with it; None where they cannot be compared.

    A teacher and a student may take different inputs, but a file of a fixed batch does as many rows' work, and too few
    runs tell nothing.
    """
    try:
        return ratio_of(change_between(first, profile, same_inputs=False))
    except BadConfiguration:
        return None


def measured_cell(
    *,
    target: str,
    model: str,
    made: str,
    profile: Profile,
    verdict: Verdict,
    against_first: Ratio | None,
    provenance: Provenance | None = None,
) -> Cell:
    """Return a cell with all that follows from its measurement."""
    return Cell(
        target=target,
        model=model,
        precision=profile.precision,
        state="measured",
        made=made,
        reason=None,
        outcome=verdict.outcome,
        flags=profile.flags,
        p50_ms=profile.p50_ms,
        p90_bound_ms=profile.percentile_bound_ms(90),
        against_first=against_first,
        verdict=verdict,
        profile=profile,
        provenance=provenance,
    )


def exit_code_of(cells: Sequence[Cell]) -> int:
    """Return 4 if a file failed, 3 if nothing could be measured; else 1 if a budget is broken, 5 if one is open.

    What could not be measured leaves its budgets open.
    """
    states = {cell.state for cell in cells}
    if "failed" in states:
        return 4
    if "measured" not in states:
        return 3
    codes = {cell.verdict.exit_code for cell in cells if cell.verdict is not None}
    return 1 if 1 in codes else 5 if 5 in codes or "unavailable" in states else 0


def change_record(before: Profile, after: Profile, change: Change) -> ChangeRecord:
    """Return both sides with what became of the time."""
    return ChangeRecord(
        exit_code=change.exit_code, **asdict(change), verdict=change.verdict, before=before, after=after
    )


def write_bench(record: BenchRecord, path: Path) -> None:
    """Write *record*, whole or not at all.

    Raises:
        BadOutput: the file cannot be written.
    """
    write_json(asdict(record), path)


def read_bench(path: Path) -> BenchRecord:
    """Read back what `write_bench` wrote.

    Raises:
        BadReport: it cannot be read as one, lacks a cell, or says something that does not follow from its own samples.
    """
    record: BenchRecord = read_json(BenchRecord, SCHEMA, path)
    for cell in record.cells:
        fault = _fault(cell)
        if fault:
            raise BadReport(f"{path} contradicts itself: {cell.model} on {cell.target} in {cell.precision} {fault}.")
    keys = [cell.key for cell in record.cells]
    if len(set(keys)) < len(keys):
        raise BadReport(f"{path} has a model, target and precision twice; each may be there once.")
    wanted = {
        (model.name, target, precision)
        for target in record.targets
        for model in record.models
        for precision in record.precisions or (model.precision,)
    }
    for model, target, precision in sorted(wanted ^ set(keys)):
        found = "no" if (model, target, precision) in wanted else "a"
        raise BadReport(
            f"{path} has {found} cell of {model} on {target} in {precision}; one of every model, target and precision"
            " that it names is needed, and no other."
        )
    if record.exit_code != exit_code_of(record.cells):
        raise BadReport(f"{path} has the exit code {record.exit_code}; its cells say {exit_code_of(record.cells)}.")
    return record


def read_change(path: Path) -> ChangeRecord:
    """Read back a comparison of two profiles.

    Raises:
        BadReport: it cannot be read as one, or its verdict does not follow from its interval.
    """
    record: ChangeRecord = read_json(ChangeRecord, CHANGE_SCHEMA, path)
    change = Change(
        ratio=record.ratio,
        low=record.low,
        high=record.high,
        tolerance=record.tolerance,
        interleaved=record.interleaved,
    )
    if (record.verdict, record.exit_code) != (change.verdict, change.exit_code):
        raise BadReport(f"{path} says {record.verdict!r}; its interval says {change.verdict!r}.")
    return record


def _fault(cell: Cell) -> str | None:
    """Return what in *cell* does not follow from its measurement."""
    if (cell.state == "measured") != (cell.profile is not None and cell.verdict is not None and cell.made is not None):
        return f"is {cell.state}, and its profile and verdict say otherwise"
    if (cell.state == "measured") == (cell.reason is not None):
        return f"is {cell.state}, and its reason says otherwise"
    if cell.profile is None or cell.verdict is None or cell.made is None:
        return None
    again = measured_cell(
        target=cell.target,
        model=cell.model,
        made=cell.made,
        profile=cell.profile,
        verdict=cell.verdict,
        against_first=cell.against_first,
        provenance=cell.provenance,
    )
    return None if again == cell else "has numbers that do not follow from its samples and verdict"


def schema_of(path: Path) -> Any:
    """Return what the JSON file at *path* says that it is; None where it says nothing, or cannot be read."""
    try:
        return read_named(path)[1]
    except BadReport:
        return None
