"""Which databases there are, and what is said of those that cannot be used."""

import sys

import pytest
from sqlalchemy import select, text, update

from hpmkd_edge.errors import BadConfiguration, BadOutput, RuntimeUnavailable
from hpmkd_edge.store import database
from hpmkd_edge.store.database import open_database, reading, writing


def test_a_path_and_its_url_are_one_database(tmp_path, monkeypatch):
    """In WAL mode; folders on the way are made, and a later change of directory does not lose it."""
    monkeypatch.chdir(tmp_path)
    relative = open_database("new/folder/memory.sqlite")
    with writing(relative) as connection:
        connection.execute(text("CREATE TABLE mine (number INTEGER)"))
        connection.execute(text("INSERT INTO mine VALUES (7)"))
    monkeypatch.chdir("/")
    absolute = open_database(f"sqlite:///{tmp_path}/new/folder/memory.sqlite")
    with reading(relative) as first, reading(absolute) as second:
        found = [connection.scalar(text("SELECT number FROM mine")) for connection in (first, second)]
        mode = first.scalar(text("PRAGMA journal_mode"))

    assert found == [7, 7]
    assert mode == "wal"


def test_a_writer_that_fails_has_written_nothing(tmp_path):
    """Tables included."""
    engine = open_database(str(tmp_path / "memory.sqlite"))

    def fail():
        with writing(engine) as connection:
            connection.execute(text("CREATE TABLE mine (number INTEGER)"))
            raise KeyError("oh")

    with pytest.raises(KeyError, match="oh"):
        fail()

    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM sqlite_master WHERE name = 'mine'")) == 0


def test_two_writers_take_turns_and_readers_do_not_wait(tmp_path, monkeypatch):
    """A reader sees what was there before; a second writer gives up after its time."""
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    path = str(tmp_path / "memory.sqlite")
    first, second = open_database(path), open_database(path)
    version = select(database._VERSION.c.version)
    with writing(first) as connection:
        connection.execute(update(database._VERSION).values(version=0))
        with reading(second) as reader:
            seen = reader.scalar(version)
        with pytest.raises(BadOutput, match=r"memory.sqlite cannot be used: database is locked; set"), writing(second):
            pass

    assert seen == database.VERSION
    with reading(second) as reader:
        assert reader.scalars(version).all() == [0]


def test_a_database_of_a_newer_version_is_left_alone(tmp_path):
    """With what to do about it."""
    path = str(tmp_path / "memory.sqlite")
    with writing(open_database(path)) as connection:
        connection.execute(update(database._VERSION).values(version=99))

    with pytest.raises(BadConfiguration, match=r"memory.sqlite has the layout 99, and .* knows 1; install a newer"):
        open_database(path)


def test_a_file_that_is_no_database_is_named(tmp_path):
    """And is not written over."""
    path = tmp_path / "memory.sqlite"
    path.write_text("a diary " * 100)

    with pytest.raises(BadOutput, match=r"memory.sqlite cannot be used: file is not a database; set HPMKD_EDGE_MEMORY"):
        open_database(str(path))
    assert path.read_text() == "a diary " * 100


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """A file stands in its place."""
    (tmp_path / "folder").write_text("")

    with pytest.raises(BadOutput, match=r"memory.sqlite cannot be used: File exists; set HPMKD_EDGE_MEMORY"):
        open_database(str(tmp_path / "folder" / "memory.sqlite"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root:secret@host/name", r"database mysql://root:\*\*\*@host/name is of another kind; the path of an"),
        ("nonsense://host", "URL cannot be read; the path of an SQLite file or postgresql://user:password@host/name"),
        ("postgresql://host:port/name", "URL cannot be read; the path of an SQLite file"),
        ("sqlite://", "sqlite:// would lie in memory and be lost; the path of an SQLite file"),
        ("sqlite:///:memory:", "would lie in memory and be lost"),
    ],
)
def test_other_urls_are_refused(url, message):
    """Without printing a password."""
    with pytest.raises(BadConfiguration, match=message):
        open_database(url)


def test_a_missing_driver_is_named(monkeypatch):
    """PostgreSQL's is not among the dependencies; the password is not printed."""
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(RuntimeUnavailable, match=r"database postgresql\+psycopg://me:\*\*\*@host/db needs .* psycopg"):
        open_database("postgresql://me:secret@host/db")
