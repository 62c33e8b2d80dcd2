"""What longer sentences take, as rows."""

from __future__ import annotations

from collections.abc import Sequence

from hpmkd_edge.bench.profile import LengthLatency
from hpmkd_edge.report.figures import quantity
from hpmkd_edge.report.rows import Grid


def by_length(lengths: Sequence[LengthLatency]) -> Grid:
    """List the latencies of a text student by the pieces of a sentence; no rows of others."""
    return Grid(
        title="Latency by length",
        header=("pieces", "p50", "p90", "runs"),
        numbers=("pieces", "p50", "p90", "runs"),
        rows=tuple(
            (f"{one.pieces:,}", quantity(one.p50_ms, " ms"), quantity(one.p90_ms, " ms"), f"{one.runs:,}")
            for one in lengths
        ),
    )
