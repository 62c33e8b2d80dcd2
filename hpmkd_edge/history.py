"""The history of measurements: what each model took, when, where and with which versions, in the memory's database."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from sqlalchemy import Column, Engine, MetaData, String, Table, Text, func, insert, select

from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.errors import EdgeError
from hpmkd_edge.store.database import create_tables, prune_oldest, reading, writing
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.targets import Target
from hpmkd_edge.verdict import Provenance, provenance_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

log = logging.getLogger(__name__)

SCHEMA: Final = "hpmkd-edge/history/1"
_TABLES: Final = MetaData()
_MEASUREMENTS: Final = Table(
    "measurements",
    _TABLES,
    Column("key", String(64), primary_key=True),
    Column("taken_at", String(40), nullable=False, index=True),
    Column("model", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("content", Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One measurement without its samples.

    Attributes:
        model: what it is called: a file's name, or a run's student.
        model_sha256: of the file that was measured.
        target: for which it was measured; *provenance* is what its times are worth there.
        host: the machine's model; *host_name* what it calls itself.
        shapes: what was fed, as "ids=1,128 mask=1,128"; empty where the profile does not say.
        relative: the median over that of the fixed reference model, timed in turn.
        flags: why the latencies are not valid for a gate.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    model: str
    model_sha256: str
    model_bytes: int
    target: str
    provenance: Provenance
    runtime: str
    runtime_version: str
    precision: str
    threads: int
    batch: int
    shapes: str
    host: str
    host_name: str
    protocol: str
    taken_at: str
    p50_ms: float | None
    p90_bound_ms: float | None
    relative: float | None
    peak_memory_mb: float | None
    tool_version: str
    flags: tuple[str, ...]

    @property
    def subject(self) -> tuple[str, str, str, str]:
        """What has a trend of its own: the model, the target, and the machine with what its times are worth there."""
        return self.model, self.target, self.host, self.provenance.value

    @property
    def feed(self) -> tuple[str, int, str]:
        """What of a subject is never compared: the precision, and what was fed."""
        return self.precision, self.batch, self.shapes

    @property
    def series(self) -> tuple[str | int, ...]:
        """What is one line of a trend."""
        return (*self.subject, *self.feed, self.runtime)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRecord:
    """Measurements as `report --history --format json` prints them, oldest first."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/history/1"] = SCHEMA
    measurements: tuple[Entry, ...]


def entry_of(profile: Profile, *, target: Target, model: str | None = None) -> Entry:
    """Return the summary of *profile*.

    Args:
        profile: any measurement.
        target: for which it was taken.
        model: what the measured file is called; None for its own name.
    """
    return Entry(
        model=model or profile.model,
        model_sha256=profile.model_sha256,
        model_bytes=profile.model_bytes,
        target=target.name,
        provenance=provenance_of(profile, target),
        runtime=profile.runtime,
        runtime_version=profile.runtime_version,
        precision=profile.precision,
        threads=profile.threads,
        batch=profile.batch,
        shapes=" ".join(f"{one.name}={','.join(map(str, one.sizes))}" for one in profile.fed),
        host=profile.host.model,
        host_name=profile.host.name,
        protocol=profile.protocol,
        taken_at=profile.taken_at,
        p50_ms=profile.p50_ms,
        p90_bound_ms=profile.percentile_bound_ms(90),
        relative=profile.relative,
        peak_memory_mb=profile.peak_memory_mb,
        tool_version=profile.tool_version,
        flags=profile.flags,
    )


class History:
    """The measurements of all runs, in the database of `open_database`; any number of processes may write at once."""

    def __init__(self, engine: Engine) -> None:
        """Open the history in *engine*.

        Raises:
            BadOutput: the database cannot be written.
        """
        self.engine = engine
        create_tables(engine, _TABLES)

    def add(self, *entries: Entry) -> int:
        """Keep *entries*, all of them or none and each once; return how many are new.

        Raises:
            BadOutput: the database cannot be written.
            ValueError: a number in it is not finite.
        """
        rows = {row["key"]: row for row in map(_row, entries)}
        with writing(self.engine) as connection:
            known = set(connection.scalars(select(_MEASUREMENTS.c.key).where(_MEASUREMENTS.c.key.in_(rows))))
            new = [row for key, row in rows.items() if key not in known]
            if new:
                connection.execute(insert(_MEASUREMENTS), new)
        return len(new)

    def entries(self, *, model: str | None = None, target: str | None = None) -> tuple[Entry, ...]:
        """Return the measurements of a model, of a target, or all, oldest first.

        Those of another version are left out, with a warning.

        Raises:
            BadOutput: the database cannot be read.
        """
        from pydantic import TypeAdapter

        query = select(_MEASUREMENTS.c.content).order_by(_MEASUREMENTS.c.taken_at, _MEASUREMENTS.c.key)
        for column, wanted in ((_MEASUREMENTS.c.model, model), (_MEASUREMENTS.c.target, target)):
            query = query if wanted is None else query.where(column == wanted)
        with reading(self.engine) as connection:
            contents = list(connection.scalars(query))
        kind = TypeAdapter(Entry)
        found = tuple(entry for content in contents if (entry := _entry(kind, content)) is not None)
        if len(found) < len(contents):
            log.warning(
                "%d of %d measurements of the history are of another version and left out; `hpmkd-edge memory prune"
                " --records 0` empties it.",
                len(contents) - len(found),
                len(contents),
            )
        return found

    def __len__(self) -> int:
        """Return how many measurements are kept."""
        with reading(self.engine) as connection:
            return connection.scalar(select(func.count()).select_from(_MEASUREMENTS)) or 0

    def prune(self, most: int) -> int:
        """Remove the oldest measurements until at most *most* are left, and return how many went."""
        return prune_oldest(self.engine, _MEASUREMENTS, by=_MEASUREMENTS.c.taken_at, most=most)


def keep(*entries: Entry) -> None:
    """Keep *entries* in the user's memory; where it cannot be written, warn: a measurement is never lost for it."""
    if not entries:
        return
    try:
        History(open_store().engine).add(*entries)
    except EdgeError as error:
        log.warning("the measurement is not in the history: %s", error)


def open_history() -> History:
    """Open the user's history.

    Raises:
        EdgeError: as `open_store`.
    """
    return History(open_store().engine)


def _entry(kind: TypeAdapter[Entry], content: str) -> Entry | None:
    """Return what a row holds; None where that is of another version."""
    from pydantic import ValidationError

    try:
        return kind.validate_json(content)
    except ValidationError as error:
        log.debug("left out: %s", error)
        return None


def _row(entry: Entry) -> dict[str, str]:
    content = json.dumps(asdict(entry), sort_keys=True, allow_nan=False)
    return {
        "key": hashlib.sha256(content.encode()).hexdigest(),
        "taken_at": entry.taken_at,
        "model": entry.model,
        "target": entry.target,
        "content": content,
    }
