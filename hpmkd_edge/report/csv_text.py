"""Records as CSV, for spreadsheets and data frames: numbers in full, an empty cell where there is none."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from typing import Any, Final

from hpmkd_edge.record import Report
from hpmkd_edge.report.points import points_of

# A spreadsheet takes a text that begins so for a formula, and runs it.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def records_to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return *records*, which all have the keys of the first, as a header and a line each.

    A text that a spreadsheet would run as a formula has an apostrophe before it.
    """
    text = StringIO()
    if records:
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _inert(item) for key, item in record.items()} for record in records)
    return text.getvalue()


def _inert(item: Any) -> Any:
    return f"'{item}" if isinstance(item, str) and item.startswith(FORMULA) else item


def points_to_csv(reports: Sequence[Report]) -> str:
    """Return every model of *reports* as a line: its run and target, and the fields of `Point`."""
    return records_to_csv(
        [
            {"run_id": report.run_id, "target": report.target, **asdict(point)}
            for report in reports
            for point in points_of(report)
        ]
    )
