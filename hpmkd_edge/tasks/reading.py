"""What a reader of one kind of data hands on, before the rows are parted."""

from __future__ import annotations

from dataclasses import dataclass

from hpmkd_edge.tasks.labels import Labels
from hpmkd_edge.tasks.splitting import Split
from hpmkd_edge.tasks.task import Identifiers, Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All rows of a source, in its own order.

    Attributes:
        inputs: N rows.
        labels: of the same N rows.
        split: the split that the source brings, or None.
        identifiers: what names the rows, or None.
        notes: sentences for the report: how the source was understood.
        text: the column that holds the sentences, of texts.
    """

    inputs: Inputs
    labels: Labels
    split: Split | None
    identifiers: Identifiers | None = None
    notes: tuple[str, ...] = ()
    text: str | None = None


def cause_of(error: BaseException) -> str:
    """Return the first line of a library's message, without its period."""
    return str(error).split("\n", 1)[0].rstrip(". ") or type(error).__name__
