"""The precisions of a student as a table: how each was made, what it costs, and why it ships or not."""

from __future__ import annotations

from hpmkd_edge.record import PrecisionRecord, RoundRecord
from hpmkd_edge.report.figures import NONE, SCORES, megabytes, quantity, score
from hpmkd_edge.report.rows import Grid
from hpmkd_edge.verdict import Goal


def precisions(turn: RoundRecord, goal: Goal) -> Grid:
    """List a round's precisions in the order in which they were tried."""
    numbers = (SCORES[goal], "MB", "p50 ms", "over fp32")
    return Grid(
        title="Precisions, on validation rows",
        header=("precision", *numbers, "how it was made", ""),
        numbers=numbers,
        rows=tuple(
            (
                one.precision,
                NONE if one.accuracy is None else score(one.accuracy, goal),
                quantity(megabytes(one.file_bytes), ""),
                quantity(one.p50_ms, ""),
                _over(one),
                one.how,
                _standing(one),
            )
            for one in turn.precisions
        ),
    )


def _over(one: PrecisionRecord) -> str:
    if one.over_fp32 is None or one.low is None or one.high is None:
        return NONE
    return f"{one.over_fp32:.3g}× ±{(one.high - one.low) / 2:.1g}"


def _standing(one: PrecisionRecord) -> str:
    if one.ships:
        return "ships"
    reasons = [f"breaks {', '.join(one.broken)}"] if one.broken else []
    reasons += ["loses too much"] if one.lossy else []
    return "; ".join([*reasons, "slower than fp32"] if one.slower else reasons)
