"""Two records of `bench`, cell by cell: what became slower, what faster, and what cannot be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from hpmkd_edge.bench.change import TOLERANCE, change_between
from hpmkd_edge.benched import BenchRecord, Cell, Ratio, ratio_of
from hpmkd_edge.errors import BadConfiguration

SCHEMA: Final = "hpmkd-edge/bench-change/1"
NOT_COMPARED: Final = "cannot be compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChange:
    """What became of one model on one target in one precision.

    Attributes:
        reason: why the two cannot be compared, in a sentence; None where they can.
        p50_before_ms, p50_after_ms: None where that side was not measured, or too briefly.
        change: of the times; None where they cannot be compared.
    """

    model: str
    target: str
    precision: str
    verdict: Literal["slower", "faster", "no change", "inconclusive", "cannot be compared"]
    reason: str | None
    p50_before_ms: float | None
    p50_after_ms: float | None
    change: Ratio | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchChange:
    """What became of a matrix.

    Attributes:
        exit_code: 1 if a cell is slower; else 5 if one may be, or cannot be compared, or there is none in both; else 0.
        only_before, only_after: "MODEL on TARGET in PRECISION", of cells that the other record does not have.
        unmeasured: the same, of cells that were measured in neither.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/bench-change/1"] = SCHEMA
    exit_code: int
    tolerance: float
    cells: tuple[CellChange, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    unmeasured: tuple[str, ...]


def compare_records(before: BenchRecord, after: BenchRecord, *, tolerance: float = TOLERANCE) -> BenchChange:
    """Compare the cells of one name, target and precision.

    Args:
        before, after: of one machine; what differs in its machine, runtime or settings is not compared, and says so.
        tolerance: a change up to this share, in either direction, is none.
    """
    old, new = ({cell.key: cell for cell in record.cells} for record in (before, after))
    both = [key for key in new if key in old]
    measured = [key for key in both if "measured" in (old[key].state, new[key].state)]
    pairs = [_compared(old[key], new[key], tolerance) for key in measured]
    codes = {code for _, code in pairs}
    return BenchChange(
        exit_code=1 if 1 in codes else 5 if 5 in codes or not pairs else 0,
        tolerance=tolerance,
        cells=tuple(change for change, _ in pairs),
        only_before=_named(old[key] for key in old if key not in new),
        only_after=_named(new[key] for key in new if key not in old),
        unmeasured=_named(new[key] for key in both if key not in measured),
    )


def _compared(before: Cell, after: Cell, tolerance: float) -> tuple[CellChange, int]:
    """Return what became of a cell, and the exit code that it alone would give."""
    change, reason = None, None
    if before.profile is None or after.profile is None:
        side, cell = ("before", before) if before.profile is None else ("after", after)
        reason = f"{side} it was {cell.state}: {cell.reason}"
    else:
        try:
            change = change_between(before.profile, after.profile, tolerance=tolerance)
        except BadConfiguration as error:
            reason = str(error)
    found = CellChange(
        model=after.model,
        target=after.target,
        precision=after.precision,
        verdict=change.verdict if change else NOT_COMPARED,
        reason=reason,
        p50_before_ms=before.p50_ms,
        p50_after_ms=after.p50_ms,
        change=ratio_of(change) if change else None,
    )
    return found, change.exit_code if change else 5


def _named(cells: Iterable[Cell]) -> tuple[str, ...]:
    return tuple(f"{cell.model} on {cell.target} in {cell.precision}" for cell in cells)
