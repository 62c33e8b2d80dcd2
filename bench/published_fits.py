"""What a table of published latencies can predict, and how far off that is: whatever is judged is left out."""

# Shape suffixes: N = rows, F = features.

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.additive import Fit, coefficients_of, fit, range_of
from hpmkd_edge.bench.published_table import NAMES, Row

Floats = NDArray[np.float64]

POINTS: Final = 8  # that a device's predictor is calibrated on
TAILS: Final = (0.05, 0.95)
LEAST_MODELS: Final = 9
LEAST_BOARDS: Final = 3  # to leave one out and have an interval of others
_TURNS: Final = 4  # of speeds and coefficients


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One model of one device, predicted by a fit on others.

    Attributes:
        calibrated_on: the family of the points.
        error: log(measured / predicted); infinite where 0 was predicted.
        factor: the interval reaches from predicted / factor to predicted · factor.
        inside: whether the model lies in the points' range.
    """

    device: str
    precision: str
    calibrated_on: str
    family: str
    model: str
    error: float
    factor: float
    inside: bool

    @property
    def held(self) -> bool:
        """Whether the interval holds the measured latency."""
        return abs(self.error) <= math.log(self.factor)

    @property
    def relative(self) -> float:
        """How far the prediction is off, relative to what was measured."""
        return abs(math.exp(-self.error) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Coefficients of many machines, or of one: what a device without records is given.

    Attributes:
        board: None where they are of a typical machine of the *kind*.
        coefficients: ms for one of each of `NAMES`.
        low, high: factors on the prediction between which 90 % of what was left out lies.
        lower, upper: the range, as in `Range`.
        coverage: the share of a left-out machine's latencies that an interval from others holds, mean over machines.
        boards: machines that were left out in turn.
        models, points: that the coefficients are from.
        sources: where the figures were published.
    """

    kind: str
    precision: str
    board: str | None
    coefficients: tuple[float, ...]
    low: float
    high: float
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    coverage: float
    boards: int
    models: int
    points: int
    sources: tuple[str, ...]


def in_family(rows: Sequence[Row], seed: int = 0, points: int = POINTS) -> tuple[Trial, ...]:
    """Leave each model out of its family, device by device, and predict it from *points* others drawn at random."""
    generator = np.random.default_rng(seed)
    trials = []
    for group in _groups(rows, lambda row: (row.device, row.precision, row.family), points + 1):
        for row in group:
            others = [other for other in group if other is not row]
            drawn = _drawn(others, points, generator)
            trials.append(_trial(row, _fitted(drawn), row.family))
    return tuple(trials)


def out_of_family(rows: Sequence[Row], seed: int = 0, points: int = POINTS) -> tuple[Trial, ...]:
    """Predict every model of other families from *points* of one, device by device."""
    generator = np.random.default_rng(seed)
    trials = []
    for device in _groups(rows, lambda row: (row.device, row.precision), points + 1):
        for group in _groups(device, lambda row: row.family, points + 1):
            fitted = _fitted(_drawn(group, points, generator))
            family = group[0].family
            trials += [_trial(row, fitted, family) for row in device if row.family != family]
    return tuple(trials)


def pools_of(rows: Sequence[Row]) -> tuple[Pool, ...]:
    """Return what can be said of a machine without records: by kind and precision, and of single machines.

    Of a machine that is in the table, other runtimes and releases are left out in turn; of one that isn't, machines.
    """
    found = []
    for group in _groups(rows, lambda row: (row.kind, row.precision), LEAST_MODELS):
        boards = sorted({row.board for row in group})
        if len(boards) >= LEAST_BOARDS:
            errors = _errors_by_board(group)
            coverage = float(np.mean([_nested_coverage(group, board) for board in boards]))
            found.append(_pool(group, None, coefficients_of_many(group), errors, coverage))
        found += _single_machines(group)
    return tuple(found)


def coefficients_of_many(rows: Sequence[Row]) -> Floats:
    """Return the coefficients of a machine of median speed; each machine counts the same, however many its rows."""
    features_NF, ms_N = _arrays(rows)
    boards = {row.device: row.board for row in rows}
    devices_N = np.array([row.device for row in rows])
    places = {device: devices_N == device for device in boards}
    count = Counter(row.board for row in rows)
    weights_N, speeds_N = np.array([1 / count[row.board] for row in rows]), np.ones(len(rows))
    for _ in range(_TURNS):
        coefficients = coefficients_of(features_NF, ms_N / speeds_N, weights_N)
        logs_N = np.log(ms_N / (features_NF @ coefficients))
        medians: dict[str, list[float]] = defaultdict(list)
        for device, place in places.items():
            medians[boards[device]].append(float(np.median(logs_N[place])))
            speeds_N[place] = math.exp(medians[boards[device]][-1])
        typical = math.exp(float(np.median([np.median(one) for one in medians.values()])))
        speeds_N /= typical
    return coefficients * typical


def _single_machines(group: Sequence[Row]) -> list[Pool]:
    """Return the coefficients of each machine with several runtimes or releases among which one could be left out."""
    errors: dict[str, Floats] = {}
    for rows in _groups(group, lambda row: row.board, LEAST_MODELS):
        left_out = []
        for stack in sorted({row.stack for row in rows}):
            others = [row for row in rows if row.stack != stack]
            if len({row.model for row in others}) >= LEAST_MODELS:
                features_NF, ms_N = _arrays(others)
                coefficients, span = coefficients_of(features_NF, ms_N), range_of(NAMES, features_NF)
                left_out += [
                    _error(row, coefficients) for row in rows if row.stack == stack and not span.outside(row.vector)
                ]
        if left_out:
            errors[rows[0].board] = np.array(left_out)
    if len(errors) < LEAST_BOARDS:
        return []
    held = [
        _held(errors[board], _tails({other: one for other, one in errors.items() if other != board}))
        for board in errors
    ]
    return [
        _pool(rows, rows[0].board, coefficients_of(*_arrays(rows)), errors, float(np.mean(held)))
        for rows in _groups(group, lambda row: row.board, LEAST_MODELS)
        if len({row.model for row in rows}) >= LEAST_MODELS
    ]


def _pool(
    rows: Sequence[Row], board: str | None, coefficients: Floats, errors: dict[str, Floats], coverage: float
) -> Pool:
    low, high = _tails(errors)
    span = range_of(NAMES, _arrays(rows)[0])
    return Pool(
        kind=rows[0].kind,
        precision=rows[0].precision,
        board=board,
        coefficients=tuple(map(float, coefficients)),
        low=math.exp(low),
        high=math.exp(high),
        lower=span.lower,
        upper=span.upper,
        coverage=coverage,
        boards=len(errors),
        models=len({row.model for row in rows}),
        points=len(rows),
        sources=tuple(sorted({_publication(row.source) for row in rows})),
    )


def _errors_by_board(rows: Sequence[Row]) -> dict[str, Floats]:
    """Return the errors of each machine by the coefficients of the others."""
    errors = {}
    for board in sorted({row.board for row in rows}):
        coefficients = coefficients_of_many([row for row in rows if row.board != board])
        errors[board] = np.array([_error(row, coefficients) for row in rows if row.board == board])
    return errors


def _nested_coverage(rows: Sequence[Row], board: str) -> float:
    """Return the share of a machine's latencies within an interval that knows nothing of it."""
    others = [row for row in rows if row.board != board]
    coefficients = coefficients_of_many(others)
    errors = np.array([_error(row, coefficients) for row in rows if row.board == board])
    return _held(errors, _tails(_errors_by_board(others)))


def _tails(errors: dict[str, Floats]) -> tuple[float, float]:
    """Return the 5 % and 95 % quantiles, each machine counting the same."""
    values = np.concatenate(list(errors.values()))
    weights = np.concatenate([np.full(len(one), 1 / len(one)) for one in errors.values()]) / len(errors)
    order = np.argsort(values)
    shares = np.cumsum(weights[order])
    low, high = (float(values[order][min(int(np.searchsorted(shares, tail)), len(values) - 1)]) for tail in TAILS)
    return low, high


def _held(errors: Floats, tails: tuple[float, float]) -> float:
    return float(np.mean((errors >= tails[0]) & (errors <= tails[1])))


def _error(row: Row, coefficients: Floats) -> float:
    predicted = float(np.dot(row.vector, coefficients))
    return math.log(row.ms / predicted) if predicted > 0 else math.inf


def _trial(row: Row, fitted: Fit, calibrated_on: str) -> Trial:
    return Trial(
        device=row.device,
        precision=row.precision,
        calibrated_on=calibrated_on,
        family=row.family,
        model=row.model,
        error=_error(row, np.asarray(fitted.coefficients)),
        factor=fitted.factor,
        inside=fitted.range.outside(row.vector) is None,
    )


def _fitted(rows: Sequence[Row]) -> Fit:
    return fit(NAMES, *_arrays(rows))


def _drawn(rows: Sequence[Row], count: int, generator: np.random.Generator) -> list[Row]:
    return [rows[place] for place in generator.choice(len(rows), count, replace=False)]


def _arrays(rows: Sequence[Row]) -> tuple[Floats, Floats]:
    return np.array([row.vector for row in rows]), np.array([row.ms for row in rows])


def _groups(rows: Sequence[Row], key: Callable[[Row], Any], least: int) -> Iterator[list[Row]]:
    """Yield the rows of each key, where there are enough of them."""
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    yield from (group for group in found.values() if len(group) >= least)


def _publication(source: str) -> str:
    """Return the repository of a source, with the release or page."""
    return re.split(r" (?:open|closed|benchmarks|results|qai_hub_models|docs)/|@", source)[0].strip()
