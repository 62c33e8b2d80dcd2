"""The formats in which a record is laid out."""

from __future__ import annotations

from enum import Enum


class Layout(str, Enum):
    """How a record is laid out."""

    HTML = "html"
    MARKDOWN = "markdown"
    JSON = "json"
    CSV = "csv"
