"""One database for what is kept between runs: SQLite in a file, or PostgreSQL by URL."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from hpmkd_edge.errors import BadConfiguration, BadOutput, RuntimeUnavailable

log = logging.getLogger(__name__)

# Of all tables together; raised when one of them is laid out anew.
VERSION: Final = 1
BUSY_S: Final = 30.0
# Any number that no other program of the same PostgreSQL server takes: "hpmkd" in ASCII.
POSTGRES_LOCK: Final = 0x68706D6B64

_TABLES: Final = MetaData()
_VERSION: Final = Table("hpmkd_edge_version", _TABLES, Column("version", Integer, nullable=False))


def open_database(url: str) -> Engine:
    """Return the database at *url*, made if there is none.

    SQLite runs in WAL mode and waits up to 30 s for another process; its file must lie on a local disk, since WAL
    does not work over NFS. Every transaction has a connection of its own, so an engine survives a fork.

    Args:
        url: the path of an SQLite file, or a URL: `sqlite:///path`, `postgresql://user:password@host/name`.

    Raises:
        BadConfiguration: *url* is not one of these, or a newer version has written the database.
        BadOutput: it cannot be opened or written.
        RuntimeUnavailable: the driver of PostgreSQL is not installed.
    """
    place = _place(url)
    if place.get_backend_name() == "sqlite":
        _prepare_file(Path(place.database or ""))
        engine = create_engine(place, poolclass=NullPool, connect_args={"timeout": BUSY_S})
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _begin)
    else:
        try:
            engine = create_engine(place, poolclass=NullPool)
        except ModuleNotFoundError as error:
            raise RuntimeUnavailable(
                f"the database {place.render_as_string()} needs the package {error.name}, which is not installed:"
                f" pip install {error.name}."
            ) from error
    _check_version(engine)
    return engine


def create_tables(engine: Engine, tables: MetaData) -> None:
    """Make those of *tables* that are not there; several processes may do so at once."""
    with writing(engine) as connection:
        tables.create_all(connection)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that reads.

    Raises:
        BadOutput: the database cannot be used.
    """
    with _as_sentence(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open the one transaction that may write: while it lasts, every other process waits at this line.

    Files that go with rows are therefore moved and removed inside it.

    Raises:
        BadOutput: the database cannot be used, or another process has held it for 30 s.
    """
    with _as_sentence(engine), engine.connect() as connection:
        connection.execution_options(writing=True)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(POSTGRES_LOCK)))
            yield connection


def prune_oldest(engine: Engine, table: Table, *, by: Column[Any], most: int) -> int:
    """Remove the rows of *table* that come first in *by*, until at most *most* are left; return how many went.

    Args:
        table: with a primary key called "key", which decides between equals.

    Raises:
        BadOutput: the database cannot be written.
    """
    with writing(engine) as connection:
        count = connection.scalar(select(func.count()).select_from(table)) or 0
        oldest = select(table.c.key).order_by(by, table.c.key).limit(max(0, count - most))
        return connection.execute(delete(table).where(table.c.key.in_(oldest))).rowcount


def _place(url: str) -> URL:
    if "://" not in url:
        return URL.create("sqlite", database=str(Path(url).expanduser().absolute()))
    needed = "the path of an SQLite file or postgresql://user:password@host/name is needed."
    try:
        place = make_url(url)
        backend = place.get_backend_name()
        place.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:  # ValueError: a port that is no number
        raise BadConfiguration(f"the database's URL cannot be read; {needed}") from error
    if backend == "sqlite":
        if place.database in (None, "", ":memory:"):
            raise BadConfiguration(f"the database {url} would lie in memory and be lost; {needed}")
        return URL.create("sqlite", database=str(Path(str(place.database)).absolute()))
    if backend != "postgresql":
        raise BadConfiguration(f"the database {place.render_as_string()} is of another kind; {needed}")
    return place.set(drivername="postgresql+psycopg") if place.drivername == "postgresql" else place


def _prepare_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _unusable(str(path), reason) from error
    if mode != "wal":
        log.warning("%s cannot be switched to WAL (it stays in %s mode), so readers wait for writers.", path, mode)


def _leave_transactions_to_us(connection: sqlite3.Connection, _record: object) -> None:
    # Python's own would begin as a reader and fail at once, timeout or not, where another process wrote since.
    connection.isolation_level = None
    # After a power cut the last commits may be gone, but the file is whole; a file's checksum covers the rest.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writing") else "BEGIN")


def _check_version(engine: Engine) -> None:
    with writing(engine) as connection:
        _TABLES.create_all(connection)
        found = connection.scalar(select(_VERSION.c.version))
        if found is None:
            connection.execute(insert(_VERSION).values(version=VERSION))
    if found is not None and found > VERSION:
        raise BadConfiguration(
            f"the database {_name_of(engine)} has the layout {found}, and this version of hpmkd-edge knows {VERSION};"
            " install a newer hpmkd-edge, or set HPMKD_EDGE_MEMORY to another database."
        )


@contextmanager
def _as_sentence(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _unusable(_name_of(engine), error.orig) from error


def _unusable(name: str, reason: Any) -> BadOutput:
    # PostgreSQL's messages go on for lines, with hints.
    first = str(reason).strip().split("\n", 1)[0].rstrip(".")
    return BadOutput(f"the database {name} cannot be used: {first}; set HPMKD_EDGE_MEMORY to one that can.")


def _name_of(engine: Engine) -> str:
    if engine.dialect.name == "sqlite":
        return str(engine.url.database)
    return engine.url.render_as_string()  # without the password
