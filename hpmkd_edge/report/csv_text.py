"""Records as CSV, for spreadsheets and data frames: numbers in full, an empty cell where there is none."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from typing import Any

from hpmkd_edge.record import Report
from hpmkd_edge.report.points import points_of


def records_to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return *records*, which all have the keys of the first, as a header and a line each."""
    text = StringIO()
    if records:
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return text.getvalue()


def points_to_csv(reports: Sequence[Report]) -> str:
    """Return every model of *reports* as a line: its run and target, and the fields of `Point`."""
    return records_to_csv(
        [
            {"run_id": report.run_id, "target": report.target, **asdict(point)}
            for report in reports
            for point in points_of(report)
        ]
    )
