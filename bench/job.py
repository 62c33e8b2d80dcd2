"""What a measuring process is asked, and what it answers: JSON and plain arrays in a folder, no pickles."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.profile import Host, Shape, State
from hpmkd_edge.bench.protocol import Sampling
from hpmkd_edge.bench.runtimes.runtime import Feeds
from hpmkd_edge.bench.strict_json import decode
from hpmkd_edge.json_file import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one process measures.

    Attributes:
        models: absolute paths; those of one process are timed in turn.
        preprocessing: the file that runs before each model, or None.
        sampling: how they are timed; None to take the memory only.
        names: the names of each model's inputs; their arrays lie beside the job.
        tokenized: whether the library that runs a tokenizer must be here, also where there is no model yet.
    """

    runtime: str
    threads: int
    models: tuple[Path, ...]
    preprocessing: tuple[Path | None, ...]
    names: tuple[tuple[str, ...], ...]
    sampling: Sampling | None
    tokenized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one process saw of one model; its samples lie beside as arrays.

    Attributes:
        preprocessing_version: of the runtime that runs before the model; None where nothing does.
        shapes: what the model itself was fed, behind its preprocessing.
        off_macs: multiply-adds that other providers than the first execute; None where it is alone, or was not asked.
    """

    runtime_version: str
    preprocessing_version: str | None = None
    providers: tuple[str, ...]
    load_ms: float
    first_run_ms: float
    warmup_ms: float
    warmup_settled: bool
    engine_build_s: float | None
    enqueue_share: float | None
    peak_memory_mb: float | None
    sampled_memory_mb: float | None = None
    baseline_memory_mb: float | None = None
    shapes: tuple[Shape, ...] = ()
    io: str = "copied"
    off_macs: int | None = None
    all_macs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one process saw; without models, *failure* is the name of an error class and its sentence.

    Attributes:
        host: the machine that the process ran on; None beside a failure.
        states: that machine before and after the timing.
    """

    models: tuple[Seen, ...]
    failure: tuple[str, ...]
    host: Host | None = None
    states: tuple[State, ...] = ()


def write_job(folder: Path, job: Job, feeds: tuple[Feeds, ...]) -> None:
    """Write *job* and the feeds of its models into *folder*."""
    for i, one in enumerate(feeds):
        # Names of inputs can be anything, "file" or "a/b" too; the archive's are numbers.
        # Strings as fixed-width unicode: an array of objects could only be pickled.
        arrays = [array.astype(np.str_) if array.dtype == np.object_ else array for array in one.values()]
        np.savez(folder / f"feeds-{i}.npz", *arrays)
    text = json.dumps(asdict(job), default=str)
    (folder / "job.json").write_text(text, encoding="utf-8")


def read_job(folder: Path) -> tuple[Job, tuple[Feeds, ...]]:
    """Read back what `write_job` wrote; strings become objects again, as runtimes take them."""
    job = decode(Job, parse((folder / "job.json").read_text(encoding="utf-8")), "the job")
    return job, tuple(_read_feeds(folder / f"feeds-{i}.npz", names) for i, names in enumerate(job.names))


def _read_feeds(path: Path, names: tuple[str, ...]) -> Feeds:
    with np.load(path, allow_pickle=False) as archive:
        arrays = [archive[f"arr_{i}"] for i in range(len(names))]
    return {
        name: array.astype(np.object_) if array.dtype.kind == "U" else array
        for name, array in zip(names, arrays, strict=True)
    }


def write_answer(folder: Path, answer: Answer, samples: tuple[NDArray[np.int64], ...] = ()) -> None:
    """Write what was seen, and the samples of each model and, last, of the reference."""
    for i, one in enumerate(samples):
        np.save(folder / f"samples-{i}.npy", one, allow_pickle=False)
    (folder / "answer.json").write_text(json.dumps(asdict(answer)), encoding="utf-8")


def read_answer(folder: Path) -> tuple[Answer, tuple[NDArray[np.int64], ...]] | None:
    """Read back what `write_answer` wrote; None if the process did not come that far."""
    path = folder / "answer.json"
    if not path.exists():
        return None
    answer = decode(Answer, parse(path.read_text(encoding="utf-8")), "the answer")
    count = len(list(folder.glob("samples-*.npy")))
    samples: list[NDArray[Any]] = [np.load(folder / f"samples-{i}.npy", allow_pickle=False) for i in range(count)]
    return answer, tuple(samples)
