"""The file that ships, and what is known of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How an exported file answers beside the model that it came from, on real rows.

    Attributes:
        rows: how many were compared.
        agreement: share of rows with the same class.
        max_error: largest difference of a probability.
    """

    rows: int
    agreement: float
    max_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A model file; *precision* is carried in its graph."""

    path: Path
    precision: str
    parity: Parity | None

    @property
    def file_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    @property
    def sha256(self) -> str:
        """Of the file's bytes, in hex."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()
