"""The shared optimization memory: what was trained on which task, and what came of it (HPM-KD, arXiv 2512.09886)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Column, Engine, Float, MetaData, String, Table, Text, delete, insert, select

from hpmkd_edge.store.database import create_tables, prune_oldest, reading, writing
from hpmkd_edge.store.index import Usage
from hpmkd_edge.store.objects import Store

_TABLES: Final = MetaData()
# Named anew when a trial came to hold what was measured alone: older rows, in "trials", hold what was expected.
_TRIALS: Final = Table(
    "outcomes",
    _TABLES,
    Column("key", String(64), primary_key=True),
    Column("task", String(64), nullable=False, index=True),
    Column("kind", String(40), nullable=False, index=True),
    Column("created", Float(53), nullable=False, index=True),
    Column("content", Text, nullable=False),
)
# What differs when the very same training is done, or only read back, once more; a later prediction has seen the
# outcome of the first.
_INCIDENTAL: Final = ("seconds", "created", "predicted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training and its outcome, as it was measured.

    Attributes:
        component: that learns from it: "configuration", which compares settings, or "temperature", which compares
            schedules and keeps the one that won.
        run: that it belongs to, as text; accuracies of one run can be compared.
        task: digest of the task, in hex.
        kind: of the task: "images", "table", or "values", a table whose label is one.
        family: of the student.
        traits: meta-features of task, teacher and student; finite.
        settings: the training's, by name: numbers, texts, truth values.
        schedule: name of the temperature's schedule.
        accuracy: of the student on validation rows, of values its R², 0 where the training diverged;
            teacher_accuracy of its teacher, above 0.
        epochs: of this training; *full_epochs* of one that is not cut short.
        predicted: the retention that was expected before the training, None where nothing was.
        created: seconds since 1970.
        version: of hpmkd-edge.
    """

    component: str
    run: str
    task: str
    task_name: str
    kind: str
    family: str
    traits: Mapping[str, float]
    settings: Mapping[str, Any]
    schedule: str
    loss: str
    accuracy: float
    teacher_accuracy: float
    epochs: int
    full_epochs: int
    seconds: float
    predicted: float | None
    seed: int
    created: float
    version: str

    @property
    def retention(self) -> float:
        """The share of the teacher's accuracy that the student has reached; above 1 where it is better."""
        return self.accuracy / self.teacher_accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionError:
    """How far predicted retentions were from what came of it.

    Attributes:
        mean: of the absolute differences, None before the first prediction.
        predictions: how many it is the mean of.
    """

    mean: float | None
    predictions: int


class Memory:
    """The trials of all runs, in the database of `open_database`; any number of processes may write at once."""

    def __init__(self, engine: Engine) -> None:
        """Open the memory in *engine*.

        Raises:
            BadOutput: the database cannot be written.
        """
        self.engine = engine
        create_tables(engine, _TABLES)

    def remember(self, *trials: Trial) -> None:
        """Keep *trials*, all of them or none, and each once: one that differs in time or prediction alone is known.

        Raises:
            BadOutput: the database cannot be written.
            ValueError: a number in it is not finite.
        """
        rows = [
            {
                "key": _key_of(trial),
                "task": trial.task,
                "kind": trial.kind,
                "created": trial.created,
                "content": json.dumps(asdict(trial), allow_nan=False),
            }
            for trial in trials
        ]
        with writing(self.engine) as connection:
            for row in rows:
                if connection.scalar(select(_TRIALS.c.key).where(_TRIALS.c.key == row["key"])) is None:
                    connection.execute(insert(_TRIALS).values(**row))

    def trials(self, kind: str | None = None, excluding: Collection[str] = ()) -> tuple[Trial, ...]:
        """Return the trials, oldest first.

        Args:
            kind: of the task, or None for all.
            excluding: digests of tasks whose trials are left out, to predict a task from others alone.

        Raises:
            BadOutput: the database cannot be read.
        """
        query = select(_TRIALS.c.content).order_by(_TRIALS.c.created, _TRIALS.c.key)
        if kind is not None:
            query = query.where(_TRIALS.c.kind == kind)
        if excluding:
            query = query.where(_TRIALS.c.task.not_in(sorted(set(excluding))))
        with reading(self.engine) as connection:
            return tuple(Trial(**json.loads(content)) for content in connection.scalars(query))

    def prediction_error(self) -> PredictionError:
        """Return how well outcomes were predicted so far."""
        errors = [abs(trial.predicted - trial.retention) for trial in self.trials() if trial.predicted is not None]
        return PredictionError(mean=sum(errors) / len(errors) if errors else None, predictions=len(errors))

    def forget(self, task: str) -> int:
        """Remove the trials of the task with this digest, and return how many there were."""
        with writing(self.engine) as connection:
            return connection.execute(delete(_TRIALS).where(_TRIALS.c.task == task)).rowcount

    def prune(self, most: int) -> int:
        """Remove the oldest trials until at most *most* are left, and return how many went."""
        return prune_oldest(self.engine, _TRIALS, by=_TRIALS.c.created, most=most)


def _key_of(trial: Trial) -> str:
    """Return the hash of what was tried and what came of it."""
    content = {name: value for name, value in asdict(trial).items() if name not in _INCIDENTAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is kept between runs, and where.

    Attributes:
        usage: files and bytes by kind.
        most_bytes: the bound on them.
        trials: how many are remembered, by the name of their task.
    """

    folder: str
    usage: tuple[Usage, ...]
    most_bytes: int
    trials: Mapping[str, int]
    prediction_error: PredictionError


def summarize(store: Store) -> Summary:
    """Say what *store*, and the memory in its database, hold."""
    memory = Memory(store.engine)
    return Summary(
        folder=str(store.folder),
        usage=store.usage(),
        most_bytes=store.most_bytes,
        trials=dict(sorted(Counter(trial.task_name for trial in memory.trials()).items())),
        prediction_error=memory.prediction_error(),
    )
