"""Files by their content, under keys that name what they depend on; bounded in bytes, least used out first."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine

from hpmkd_edge.errors import BadOutput
from hpmkd_edge.store.database import create_tables, reading, writing
from hpmkd_edge.store.index import TABLES, Content, Index, Usage

log = logging.getLogger(__name__)

BLOCK: Final = 1 << 20
# A use is written down once a minute: the order of eviction needs no more.
TOUCH_EVERY_S: Final = 60.0
# No file takes a day to write: older drafts are those of killed processes.
DRAFT_LIVES_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How often files of a kind were asked for; a miss is work that had to be done."""

    hits: int = 0
    misses: int = 0


class Store:
    """Files of one folder, with their index in a database.

    A key is any text that changes when the content would; keys of two kinds are two keys. Any number of processes and
    threads may use one folder. What this object has put or found is held: it is never evicted by it, so that alone may
    exceed the bound.

    Attributes:
        folder: `objects/` holds the files, `drafts/` those being written.
        engine: of `open_database`.
        most_bytes: the bound on all files.
    """

    def __init__(
        self, folder: Path, engine: Engine, *, most_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the store of *folder*; *clock* gives seconds since 1970.

        Raises:
            BadOutput: the folder or the database cannot be written.
        """
        self.folder, self.engine, self.most_bytes = folder.absolute(), engine, most_bytes
        self._clock = clock
        self._held: set[Content] = set()
        self._verified: set[tuple[Path, int, int]] = set()
        self._counts: dict[str, Counts] = {}
        self._lock = threading.Lock()
        with writable(self.folder):
            for name in ("objects", "drafts"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            _sweep(self.folder / "drafts")
            self._index = Index(place=_place_of(self.folder))
        create_tables(engine, TABLES)

    @property
    def counts(self) -> Mapping[str, Counts]:
        """Hits and misses of this object so far, by kind."""
        return dict(self._counts)

    def find(self, key: str, *, kind: str) -> Path | None:
        """Return the file under *key*, or None if there is none, or if it is damaged; then it is removed.

        A file is hashed once a process, and again when its size or time has changed. Another process may evict it
        before it is opened; what is open or mapped stays.

        Raises:
            BadOutput: the folder or the database cannot be used.
        """
        with reading(self.engine) as connection:
            found = self._index.find(connection, kind, key)
        with writable(self.folder):
            if found is not None and not self._is_sound(found[0]):
                self._remove_unsound(found[0])
                found = None
        with self._lock:
            before = self._counts.get(kind, Counts())
            if found is None:
                self._counts[kind] = Counts(hits=before.hits, misses=before.misses + 1)
                return None
            self._counts[kind] = Counts(hits=before.hits + 1, misses=before.misses)
            content, last_used = found
            self._held.add(content)
        if self._clock() - last_used > TOUCH_EVERY_S:
            with writing(self.engine) as connection:
                self._index.touch(connection, kind, key, self._clock())
        return self._path(content)

    def read_text(self, key: str, *, kind: str) -> str | None:
        """Return the text under *key*, or None if there is none, also where another process evicts it just now.

        Raises:
            BadOutput: the database cannot be used.
        """
        path = self.find(key, kind=kind)
        try:
            return None if path is None else path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def put(self, key: str, write: Callable[[Path], object], *, kind: str, suffix: str) -> Path:
        """Keep the file that *write* makes under *key*, in place of what was there, and evict what is too much.

        Args:
            write: is given a path where nothing is yet, and makes a file there.
            kind: a name for counts and usage, at most 40 characters.
            suffix: of the path, with the dot: ".npy".

        Raises:
            BadOutput: the folder or the database cannot be written.
        """
        # A folder of its own on the same disk: two processes that make one file don't share a draft.
        with writable(self.folder), tempfile.TemporaryDirectory(dir=self.folder / "drafts") as own:
            draft = Path(own, f"draft{suffix}")
            write(draft)
            content = Content(sha256=digest_of_file(draft), suffix=suffix, bytes=draft.stat().st_size)
            path = self._path(content)
            with writing(self.engine) as connection:
                # Even where the file is there already: it may be damaged.
                path.parent.mkdir(exist_ok=True)
                draft.replace(path)
                self._index.enter(connection, kind, key, content, self._clock())
                with self._lock:
                    self._held.add(content)
                    self._verified.add(_stamp(path))
                self._evict(connection, self.most_bytes)
        return path

    def usage(self) -> tuple[Usage, ...]:
        """Return what is on disk by kind, in the order of their names."""
        with reading(self.engine) as connection:
            return self._index.usage(connection)

    def prune(self, most_bytes: int) -> int:
        """Evict until at most *most_bytes* are left, remove files that no key leads to, and return the bytes freed.

        Raises:
            BadOutput: the folder or the database cannot be written.
        """
        freed = 0
        with writable(self.folder), writing(self.engine) as connection:
            known = {self._path(content): content for content in self._index.contents(connection)}
            for path, content in known.items():
                if not path.exists():
                    self._index.remove(connection, content)
            # Files without a row are those of processes that were killed between the two.
            for path in set((self.folder / "objects").glob("*/*")) - set(known):
                freed += path.stat().st_size
                path.unlink()
            return freed + self._evict(connection, most_bytes)

    def _evict(self, connection: Connection, most_bytes: int) -> int:
        excess = self._index.total_bytes(connection) - most_bytes
        freed = 0
        for content in self._index.contents(connection) if excess > 0 else ():
            if freed >= excess:
                break
            if content not in self._held:
                self._index.remove(connection, content)
                self._path(content).unlink(missing_ok=True)
                freed += content.bytes
        return freed

    def _is_sound(self, content: Content) -> bool:
        path = self._path(content)
        try:
            stamp = _stamp(path)
            if stamp not in self._verified:
                if digest_of_file(path) != content.sha256:
                    return False
                with self._lock:
                    self._verified.add(stamp)
        except FileNotFoundError:
            return False
        return True

    def _remove_unsound(self, content: Content) -> None:
        with writing(self.engine) as connection:
            # Asked again, now that nobody else can write: another process may have put it anew.
            if not self._is_sound(content):
                path = self._path(content)
                log.warning("%s is %s; it is made again.", path, "damaged" if path.exists() else "gone")
                self._index.remove(connection, content)
                path.unlink(missing_ok=True)

    def _path(self, content: Content) -> Path:
        return self.folder / "objects" / content.sha256[:2] / f"{content.sha256}{content.suffix}"


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn an error of the file system inside into a sentence about *folder*.

    Raises:
        BadOutput: there was one.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise BadOutput(
            f"the cache {folder.absolute()} cannot be written: {reason}; set HPMKD_EDGE_CACHE to a folder that can."
        ) from error


def digest_of_file(path: Path) -> str:
    """Return the sha256 of a file's bytes in hex, read a block at a time."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
    return state.hexdigest()


def _stamp(path: Path) -> tuple[Path, int, int]:
    status = path.stat()
    return path, status.st_size, status.st_mtime_ns


def _place_of(folder: Path) -> str:
    """Return the random name that a folder has got from the first process that opened it."""
    name = folder / "place"
    if not name.exists():
        with tempfile.TemporaryDirectory(dir=folder / "drafts") as own:
            draft = Path(own, "place")
            draft.write_text(uuid.uuid4().hex, encoding="ascii")
            with suppress(FileExistsError):  # another process was first
                name.hardlink_to(draft)  # whole at once, and never over another
    return name.read_text(encoding="ascii")


def _sweep(drafts: Path) -> None:
    for draft in drafts.iterdir():
        with suppress(FileNotFoundError):  # another process sweeps too
            if time.time() - draft.stat().st_mtime > DRAFT_LIVES_S:
                shutil.rmtree(draft)
