"""Which file each key leads to, as rows of the database; whoever writes them has the files move with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Float,
    MetaData,
    String,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)

TABLES: Final = MetaData()
_ROWS: Final = Table(
    "objects",
    TABLES,
    # The folder that the file lies in: machines can share a database and not their disks.
    Column("place", String(32), primary_key=True),
    Column("kind", String(40), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("suffix", String(20), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("last_used", Float(53), nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a file holds: two keys of one content share a file.

    Attributes:
        sha256: in hex.
        suffix: of the file, with the dot.
    """

    sha256: str
    suffix: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the files of a kind take on disk; a file of two kinds is counted in both."""

    kind: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The rows of one *place*; keys are any text, times are seconds since 1970."""

    place: str

    def find(self, connection: Connection, kind: str, key: str) -> tuple[Content, float] | None:
        """Return what a key leads to, and when it was last used."""
        query = select(_ROWS.c.sha256, _ROWS.c.suffix, _ROWS.c.bytes, _ROWS.c.last_used)
        row = connection.execute(query.where(self._is(kind, key))).one_or_none()
        if row is None:
            return None
        return Content(sha256=row.sha256, suffix=row.suffix, bytes=row.bytes), row.last_used

    def enter(self, connection: Connection, kind: str, key: str, content: Content, now: float) -> None:
        """Let a key lead to *content*, in place of what it led to."""
        connection.execute(delete(_ROWS).where(self._is(kind, key)))
        connection.execute(
            insert(_ROWS).values(
                place=self.place,
                kind=kind,
                key=_hash_of(key),
                sha256=content.sha256,
                suffix=content.suffix,
                bytes=content.bytes,
                created=now,
                last_used=now,
            )
        )

    def touch(self, connection: Connection, kind: str, key: str, now: float) -> None:
        """Write down that a key was used."""
        connection.execute(update(_ROWS).where(self._is(kind, key)).values(last_used=now))

    def remove(self, connection: Connection, content: Content) -> None:
        """Forget every key that leads to *content*."""
        same = and_(_ROWS.c.sha256 == content.sha256, _ROWS.c.suffix == content.suffix)
        connection.execute(delete(_ROWS).where(_ROWS.c.place == self.place, same))

    def contents(self, connection: Connection) -> tuple[Content, ...]:
        """Return each file once, the least recently used first."""
        columns = (_ROWS.c.sha256, _ROWS.c.suffix, _ROWS.c.bytes)
        query = select(*columns).where(_ROWS.c.place == self.place).group_by(*columns)
        rows = connection.execute(query.order_by(func.max(_ROWS.c.last_used), _ROWS.c.sha256))
        return tuple(Content(sha256=row.sha256, suffix=row.suffix, bytes=row.bytes) for row in rows)

    def total_bytes(self, connection: Connection) -> int:
        """Return what all files take, each counted once."""
        columns = (_ROWS.c.sha256, _ROWS.c.suffix, _ROWS.c.bytes)
        files = select(*columns).where(_ROWS.c.place == self.place).distinct().subquery()
        return int(connection.scalar(select(func.sum(files.c.bytes))) or 0)

    def usage(self, connection: Connection) -> tuple[Usage, ...]:
        """Return what is on disk by kind, in the order of their names."""
        columns = (_ROWS.c.kind, _ROWS.c.sha256, _ROWS.c.suffix, _ROWS.c.bytes)
        files = select(*columns).where(_ROWS.c.place == self.place).distinct().subquery()
        query = select(files.c.kind, func.count(), func.sum(files.c.bytes)).group_by(files.c.kind)
        rows = connection.execute(query.order_by(files.c.kind))
        return tuple(Usage(kind=kind, files=count, bytes=int(total)) for kind, count, total in rows)

    def _is(self, kind: str, key: str) -> ColumnElement[bool]:
        return and_(_ROWS.c.place == self.place, _ROWS.c.kind == kind, _ROWS.c.key == _hash_of(key))


def _hash_of(key: str) -> str:
    # A key names all that the content depends on, which can be pages.
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
