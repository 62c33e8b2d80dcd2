"""Measure model files, in fresh processes that hold nothing but the runtime and the models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, median
from typing import Final

from hpmkd_edge import __version__
from hpmkd_edge.bench.job import Job, Seen
from hpmkd_edge.bench.placement import share_on
from hpmkd_edge.bench.process import Visit, visit
from hpmkd_edge.bench.profile import Preprocessing, Profile, Shape
from hpmkd_edge.bench.protocol import Sampling
from hpmkd_edge.bench.runtimes.choose import RUNTIMES, choose_runtime
from hpmkd_edge.bench.runtimes.runtime import Feeds, check_file
from hpmkd_edge.errors import BadConfiguration, unknown
from hpmkd_edge.export.artifact import bytes_of, is_tokenizer, runtime_before
from hpmkd_edge.export.graph_costs import arena_bytes, node_costs

# An engine may take ten minutes to build, and MLPerf's sampling takes ten more.
TIMEOUT_S: Final = 1800.0

_Send = Callable[[Job, tuple[Feeds, ...], float], Visit]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What all processes of one measurement share."""

    runtime: str
    threads: int
    sampling: Sampling
    timeout_s: float
    host: str | None

    def visit(self, models: Sequence[_Model], send: _Send, *, timed: bool) -> Visit:
        """Send *models* into one fresh process."""
        job = Job(
            runtime=self.runtime,
            threads=self.threads,
            models=tuple(model.path.resolve() for model in models),
            preprocessing=tuple(model.preprocessing and model.preprocessing.resolve() for model in models),
            names=tuple(tuple(model.feeds) for model in models),
            sampling=self.sampling if timed else None,
        )
        return send(job, tuple(model.feeds for model in models), self.timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """A file to measure, what runs before it, and on what."""

    path: Path
    preprocessing: Path | None
    feeds: Feeds
    precision: str
    with_memory: bool = True


def measure(
    path: Path,
    *,
    runtime: str,
    feeds: Feeds,
    sampling: Sampling,
    threads: int = 1,
    precision: str = "fp32",
    preprocessing: Path | None = None,
    timeout_s: float = TIMEOUT_S,
    host: str | None = None,
) -> Profile:
    """Measure one model file: latency beside the reference model, memory, load, first run, warm-up.

    Args:
        path: of the model file.
        runtime: a key of `RUNTIMES`.
        feeds: one batch, usually of one row, by input name; strings as objects.
        sampling: how long, and in how many processes.
        threads: within an operator, on a CPU.
        precision: what the record calls the file's.
        preprocessing: the file that runs before it, in the same timed call; *feeds* are then that file's.
        timeout_s: for each process.
        host: `ssh://user@board[:port]` to measure there; None for here.

    Raises:
        BadConfiguration: there is no such runtime or file, or fewer threads than one.
        RuntimeUnavailable: the runtime cannot run here.
        MeasurementFailed: the file cannot be loaded or run, or a process crashed or took too long.
    """
    plan = _Plan(runtime=runtime, threads=threads, sampling=sampling, timeout_s=timeout_s, host=host)
    model = _Model(path=path, preprocessing=preprocessing, feeds=feeds, precision=precision)
    (profile,) = _measure(plan, [model])
    return profile


def compare(
    paths: Sequence[Path],
    *,
    feeds: Sequence[Feeds],
    runtime: str,
    sampling: Sampling,
    threads: int = 1,
    preprocessing: Sequence[Path | None] | None = None,
    precisions: Sequence[str] | None = None,
    with_memory: Sequence[bool] | None = None,
    timeout_s: float = TIMEOUT_S,
    host: str | None = None,
) -> tuple[Profile, ...]:
    """Measure several model files, run by run in turn in one process, so that their ratios hold.

    The memory of each is taken in a process of its own. Otherwise as `measure`.

    Args:
        paths: of the model files.
        feeds: one batch for each.
        runtime: a key of `RUNTIMES`.
        sampling: how long, and in how many processes.
        threads: within an operator, on a CPU.
        preprocessing: for each model the file that runs before it, or None; None where none has one.
        precisions: what the record calls each file's; None where all are fp32.
        with_memory: whether the memory of each is taken, which costs a process; None where that of all is.
        timeout_s: for each process.
        host: `ssh://user@board[:port]` to measure there; None for here.

    Returns:
        A profile for each, in order.

    Raises:
        BadConfiguration, RuntimeUnavailable, MeasurementFailed: as `measure`.
    """
    plan = _Plan(runtime=runtime, threads=threads, sampling=sampling, timeout_s=timeout_s, host=host)
    count = len(paths)
    told = zip(
        paths,
        preprocessing or [None] * count,
        feeds,
        precisions or ["fp32"] * count,
        with_memory or [True] * count,
        strict=True,
    )
    models = [
        _Model(path=path, preprocessing=before, feeds=one, precision=precision, with_memory=memory)
        for path, before, one, precision, memory in told
    ]
    return _measure(plan, models)


def _measure(plan: _Plan, models: Sequence[_Model]) -> tuple[Profile, ...]:
    if plan.host is None:
        choose_runtime(plan.runtime)
    elif plan.runtime not in RUNTIMES:
        raise unknown("runtime", plan.runtime, RUNTIMES)
    if plan.threads < 1:
        raise BadConfiguration(f"{plan.threads} threads were asked for; at least 1 is needed.")
    for path in (path for model in models for path in (model.path, model.preprocessing) if path is not None):
        check_file(path)
    with _sender(plan.host) as send:
        visits = [plan.visit(models, send, timed=True) for _ in range(plan.sampling.processes)]
        # A process that held only one model has taken its memory already.
        alone = [
            visits if len(models) == 1 else [plan.visit([model], send, timed=False)] if model.with_memory else []
            for model in models
        ]
    return tuple(_pooled(plan, model, i, visits, alone[i]) for i, model in enumerate(models))


@contextmanager
def _sender(host: str | None) -> Iterator[_Send]:
    """Lend what carries out jobs: here, or on the board at *host*, which is connected to as long."""
    if host is None:
        yield visit
        return
    from hpmkd_edge.bench.remote import connect

    with connect(host) as board:
        yield board.visit


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known, default=None) if len(known) == len(values) else None


def _pooled(plan: _Plan, model: _Model, i: int, visits: Sequence[Visit], alone: Sequence[Visit]) -> Profile:
    """Join what all processes saw of the i-th model: their samples in a row, the median of their times."""
    seen = [one.seen[i] for one in visits]
    before = _described(model.preprocessing, seen[0].preprocessing_version)
    builds = [one.engine_build_s for one in seen if one.engine_build_s is not None]
    memory = [one.seen[0] for one in alone]
    shares = [one.enqueue_share for one in seen if one.enqueue_share is not None]
    return Profile(
        model=model.path.name,
        model_sha256=sha256(model.path.read_bytes()).hexdigest(),
        model_bytes=bytes_of(model.path.resolve()) + (before.bytes if before else 0),
        preprocessing=before,
        runtime=plan.runtime,
        runtime_version=seen[0].runtime_version,
        providers=seen[0].providers,
        precision=model.precision,
        batch=_batch(model.feeds),
        threads=plan.threads,
        protocol=plan.sampling.name,
        processes=len(visits),
        load_ms=median(one.load_ms for one in seen),
        first_run_ms=median(one.first_run_ms for one in seen),
        warmup_ms=median(one.warmup_ms for one in seen),
        warmup_settled=all(one.warmup_settled for one in seen),
        engine_build_s=median(builds) if builds else None,
        enqueue_share=fmean(shares) if shares else None,
        samples_ns=tuple(int(ns) for one in visits for ns in one.samples_ns[i]),
        reference_ns=tuple(int(ns) for one in visits for ns in one.samples_ns[-1]),
        peak_memory_mb=_largest([one.peak_memory_mb for one in memory]),
        placement_share=_placement_share(model, seen),
        host=visits[0].host,
        tool_version=__version__,
        taken_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        shapes=tuple(Shape(name=name, sizes=array.shape) for name, array in model.feeds.items()),
        io=seen[0].io,
        runs=tuple(len(one.samples_ns[i]) for one in visits),
        states=tuple(state for one in visits for state in one.states),
        sampled_memory_mb=_largest([one.sampled_memory_mb for one in memory]),
        baseline_memory_mb=_largest([one.baseline_memory_mb for one in memory]),
        activation_bytes=_counted(model.path, seen[0].shapes, arena_bytes),
        entering=seen[0].shapes if model.preprocessing and is_tokenizer(model.preprocessing) else (),
    )


def _placement_share(model: _Model, seen: Sequence[Seen]) -> float | None:
    """Return the least share of the multiply-adds on the intended provider; None where it was not taken."""
    # A provider that is alone executes the whole graph.
    if all(len(one.providers) == 1 for one in seen):
        return 1.0
    taken = [(one.off_macs, one.all_macs or 0) for one in seen if one.off_macs is not None]
    if len(taken) < len(seen):
        return None
    # What a provider compiled whole shows no multiply-adds in the profile: the graph itself has them.
    listed = _counted(model.path, seen[0].shapes, lambda *asked: sum(cost.macs for cost in node_costs(*asked)))
    shares = [share_on(off, max(every, listed or 0)) for off, every in taken]
    known = [share for share in shares if share is not None]
    return min(known) if known else None


def _counted(
    path: Path, shapes: Sequence[Shape], count: Callable[[Path, Mapping[str, tuple[int, ...]]], int]
) -> int | None:
    """Return what *count* says of the graph at *path*, or None where it cannot be known here."""
    if find_spec("onnx") is None or not shapes:
        return None
    try:
        return count(path, {shape.name: shape.sizes for shape in shapes})
    except BadConfiguration:
        # An engine, or a graph whose shapes hang on values: a measurement is not lost for it.
        return None


def _described(preprocessing: Path | None, version: str | None) -> Preprocessing | None:
    if preprocessing is None:
        return None
    assert version is not None
    return Preprocessing(
        file=preprocessing.name,
        sha256=sha256(preprocessing.read_bytes()).hexdigest(),
        bytes=bytes_of(preprocessing.resolve()),
        runtime=runtime_before(preprocessing),
        runtime_version=version,
    )


def _batch(feeds: Feeds) -> int:
    """Return the rows of the first input; 1 where a file takes none, or a scalar."""
    shape = next(iter(feeds.values())).shape if feeds else ()
    return int(shape[0]) if shape else 1
