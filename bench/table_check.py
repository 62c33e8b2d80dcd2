"""What a table of published latencies is good for: its predictors refitted, each judged on what it has not seen."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hpmkd_edge.bench.published_fits import POINTS, Pool, Trial, in_family, out_of_family, pools_of
from hpmkd_edge.bench.published_table import NAMES, read_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Predictions of models that were left out, of one family or of all.

    Attributes:
        median_error, large_error: relative; the latter is that of the worst tenth's best. None without predictions.
        coverage: the share of the 90 % intervals that hold what was measured.
        factor: the median interval reaches from the prediction / factor to the prediction · factor.
    """

    of: str
    predictions: int
    median_error: float | None
    large_error: float | None
    coverage: float | None
    factor: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Abroad:
    """Predictions across families, from points of one for all others of the same device.

    Attributes:
        missed: the share of the intervals that do not hold what was measured.
        unknown_by_range: of those, the share whose answer the range of the points alone makes unknown.
        unknown: of those, the share whose answer is unknown, since the family is another.
    """

    predictions: int
    missed: float | None
    unknown_by_range: float | None
    unknown: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCheck:
    """What was found in a table.

    Attributes:
        incomplete, larger, repeated: rows that were not used, as in `Table`.
        features: what the predictors see.
        answered: the share of the models left out that lie within the range of the points drawn.
        known: of those, all families first. everywhere: without regard to the range.
        pools: for devices without records.
    """

    table: str
    table_sha256: str
    rows: int
    incomplete: int
    larger: int
    repeated: int
    devices: int
    boards: int
    models: int
    features: tuple[str, ...]
    points: int
    answered: float | None
    known: tuple[Score, ...]
    everywhere: Score
    abroad: Abroad
    pools: tuple[Pool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What ships of a table: coefficients and how far off they were, not the table.

    Attributes:
        command: that made it.
        names: of the features, in the order of the coefficients.
    """

    schema: Literal["hpmkd-edge/transferred/1"] = "hpmkd-edge/transferred/1"
    command: str
    table_sha256: str
    rows: int
    names: tuple[str, ...]
    pools: tuple[Pool, ...]


def check_table(path: Path, *, points: int = POINTS, seed: int = 0) -> TableCheck:
    """Refit the predictors on the table at *path*, and judge each on what was left out.

    Args:
        path: a CSV in the form of `read_table`.
        points: that a device's predictor is calibrated on.
        seed: of which points are drawn.

    Raises:
        BadData: the file cannot be read, or a line of it is wrong.
    """
    table = read_table(path)
    rows = table.rows
    trials, abroad = in_family(rows, seed, points), out_of_family(rows, seed, points)
    inside = [trial for trial in trials if trial.inside]
    families = sorted({trial.family for trial in inside})
    missed = [trial for trial in abroad if not trial.held]
    return TableCheck(
        table=path.name,
        table_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        rows=len(rows),
        incomplete=table.incomplete,
        larger=table.larger,
        repeated=table.repeated,
        devices=len({row.device for row in rows}),
        boards=len({row.board for row in rows}),
        models=len({row.model for row in rows}),
        features=NAMES,
        points=points,
        answered=_share(len(inside), len(trials)),
        known=(
            score_of("all families", inside),
            *(score_of(family, [trial for trial in inside if trial.family == family]) for family in families),
        ),
        everywhere=score_of("all families", trials),
        abroad=Abroad(
            predictions=len(abroad),
            missed=_share(len(missed), len(abroad)),
            unknown_by_range=_share(sum(not trial.inside for trial in missed), len(missed)),
            unknown=_share(sum(trial.family != trial.calibrated_on for trial in missed), len(missed)),
        ),
        pools=pools_of(rows),
    )


def score_of(of: str, trials: Sequence[Trial]) -> Score:
    """Return what predictions were worth."""
    errors = sorted(trial.relative for trial in trials)
    return Score(
        of=of,
        predictions=len(trials),
        median_error=statistics.median(errors) if errors else None,
        large_error=errors[int(0.9 * len(errors))] if errors else None,
        coverage=_share(sum(trial.held for trial in trials), len(trials)),
        factor=statistics.median(trial.factor for trial in trials) if trials else None,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
