"""A prediction, and the check of a table of latencies, as text."""

from __future__ import annotations

from collections.abc import Sequence

from hpmkd_edge.bench.prediction import Prediction
from hpmkd_edge.bench.published_fits import Pool
from hpmkd_edge.bench.table_check import Score, TableCheck


def prediction_as_text(prediction: Prediction, target: str) -> str:
    """Return the latency with its interval and provenance, or why there is none."""
    if prediction.ms is None:
        return f"unknown on {target}: {prediction.reason}"
    return (
        f"{prediction.provenance} on {target}: p50 {prediction.ms:.4g} ms,"
        f" 90 % interval {prediction.low_ms:.4g} to {prediction.high_ms:.4g} ms\n{prediction.reason}"
    )


def table_check_as_text(check: TableCheck) -> str:
    """Return what was found in a table of latencies, by left-out family member, family and machine."""
    pools = dict.fromkeys(map(_pool, check.pools))
    unused = check.incomplete + check.larger + check.repeated
    lines = [
        f"{check.table}: {check.rows:,} latencies of {check.models} models on {check.devices} devices,"
        f" {check.boards} machines.",
        f"{unused} rows were not used: {check.incomplete} without MACs or parameters, {check.larger} of another batch"
        f" than 1, {check.repeated} repeated.",
        "",
        f"One model left out of its family, {check.points} others of it drawn, device by device:",
        *_columns(
            [
                ("family", "predictions", "median error", "worst tenth", "interval holds", "interval"),
                *map(_score, check.known),
            ]
        ),
        f"{_percent(check.answered)} lie within the range of the points drawn, the others are unknown; with those,"
        f" median error {_percent(check.everywhere.median_error)}, interval holds"
        f" {_percent(check.everywhere.coverage)}.",
        "",
        f"From one family to the others of a device, {check.abroad.predictions:,} times: the interval would miss"
        f" {_percent(check.abroad.missed)}; of those the family's name makes {_percent(check.abroad.unknown)} unknown,"
        f" the range of the points alone {_percent(check.abroad.unknown_by_range)}.",
        "",
        "For a device without records, by what was left out:",
        *_columns([("kind", "precision", "of", "90 % interval", "holds", "left out"), *pools]),
    ]
    return "\n".join(lines)


def _score(score: Score) -> tuple[str, ...]:
    return (
        score.of,
        f"{score.predictions:,}",
        _percent(score.median_error),
        _percent(score.large_error),
        _percent(score.coverage),
        "–" if score.factor is None else f"× or / {score.factor:.2f}",
    )


def _pool(pool: Pool) -> tuple[str, ...]:
    # The machines of a kind that are known by name share one interval, and so one line.
    what = "machines" if pool.board is None else "machines' runtimes"
    return (
        pool.kind,
        pool.precision,
        "any machine" if pool.board is None else "one in the table",
        f"× {pool.low:.2f} to {pool.high:.2f}",
        _percent(pool.coverage),
        f"{pool.boards} {what}",
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
