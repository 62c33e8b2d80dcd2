"""Measure model files, in fresh processes that hold nothing but the runtime and the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from statistics import fmean, median
from typing import Final

from hpmkd_edge import __version__
from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.bench.job import Job
from hpmkd_edge.bench.process import Visit, visit
from hpmkd_edge.bench.profile import Host, Preprocessing, Profile
from hpmkd_edge.bench.protocol import Sampling
from hpmkd_edge.bench.runtimes.choose import choose_runtime
from hpmkd_edge.bench.runtimes.runtime import Feeds, check_file
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.export.artifact import PREPROCESSING_RUNTIME

# An engine may take ten minutes to build, and MLPerf's sampling takes ten more.
TIMEOUT_S: Final = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What all processes of one measurement share."""

    runtime: str
    threads: int
    sampling: Sampling
    timeout_s: float

    def visit(self, models: Sequence[_Model], *, timed: bool) -> Visit:
        """Send *models* into one fresh process."""
        job = Job(
            runtime=self.runtime,
            threads=self.threads,
            models=tuple(model.path.resolve() for model in models),
            preprocessing=tuple(model.preprocessing and model.preprocessing.resolve() for model in models),
            names=tuple(tuple(model.feeds) for model in models),
            sampling=self.sampling if timed else None,
        )
        return visit(job, tuple(model.feeds for model in models), self.timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """A file to measure, what runs before it, and on what."""

    path: Path
    preprocessing: Path | None
    feeds: Feeds
    precision: str


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
) -> Profile:
    """Measure one model file: latency beside the reference model, memory, load, first run, warm-up.

    Args:
        path: of the model file.
        runtime: a key of `RUNTIMES`.
        feeds: one batch, usually of one row, by input name; strings as objects.
        sampling: how long, and in how many processes.
        threads: within an operator, on a CPU.
        precision: what the record calls the file's.
        preprocessing: the file that ONNX Runtime runs before it, in the same timed call; *feeds* are then that file's.
        timeout_s: for each process.

    Raises:
        BadConfiguration: there is no such runtime or file, or fewer threads than one.
        RuntimeUnavailable: the runtime cannot run here.
        MeasurementFailed: the file cannot be loaded or run, or a process crashed or took too long.
    """
    plan = _Plan(runtime=runtime, threads=threads, sampling=sampling, timeout_s=timeout_s)
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
    timeout_s: float = TIMEOUT_S,
) -> tuple[Profile, ...]:
    """Measure several model files, run by run in turn in one process, so that their ratios hold.

    The memory of each is taken in a process of its own. All are recorded as fp32. Otherwise as `measure`.

    Args:
        paths: of the model files.
        feeds: one batch for each.
        runtime: a key of `RUNTIMES`.
        sampling: how long, and in how many processes.
        threads: within an operator, on a CPU.
        preprocessing: for each model the file that runs before it, or None; None where none has one.
        timeout_s: for each process.

    Returns:
        A profile for each, in order.

    Raises:
        BadConfiguration, RuntimeUnavailable, MeasurementFailed: as `measure`.
    """
    plan = _Plan(runtime=runtime, threads=threads, sampling=sampling, timeout_s=timeout_s)
    before = preprocessing or [None] * len(paths)
    models = [
        _Model(path=path, preprocessing=first, feeds=one, precision="fp32")
        for path, first, one in zip(paths, before, feeds, strict=True)
    ]
    return _measure(plan, models)


def _measure(plan: _Plan, models: Sequence[_Model]) -> tuple[Profile, ...]:
    choose_runtime(plan.runtime)
    if plan.threads < 1:
        raise BadConfiguration(f"{plan.threads} threads were asked for; at least 1 is needed.")
    for path in (path for model in models for path in (model.path, model.preprocessing) if path is not None):
        check_file(path)
    host = describe_host()
    visits = [plan.visit(models, timed=True) for _ in range(plan.sampling.processes)]
    profiles = []
    for i, model in enumerate(models):
        # A process that held only this model has taken its memory already.
        alone = visits if len(models) == 1 else [plan.visit([model], timed=False)]
        profiles.append(_pooled(plan, model, i, visits, _peak_memory_mb(alone), host))
    return tuple(profiles)


def _peak_memory_mb(visits: Sequence[Visit]) -> float | None:
    peaks = [one.seen[0].peak_memory_mb for one in visits]
    known = [peak for peak in peaks if peak is not None]
    return max(known) if len(known) == len(peaks) else None


def _pooled(
    plan: _Plan, model: _Model, i: int, visits: Sequence[Visit], peak_memory_mb: float | None, host: Host
) -> Profile:
    """Join what all processes saw of the i-th model: their samples in a row, the median of their times."""
    seen = [one.seen[i] for one in visits]
    content, before = model.path.read_bytes(), _described(model.preprocessing)
    builds = [one.engine_build_s for one in seen if one.engine_build_s is not None]
    shares = [one.enqueue_share for one in seen if one.enqueue_share is not None]
    return Profile(
        model=model.path.name,
        model_sha256=sha256(content).hexdigest(),
        model_bytes=len(content) + (before.bytes if before else 0),
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
        peak_memory_mb=peak_memory_mb,
        # A provider that is alone executes the whole graph; how several share it was not taken.
        placement_share=1.0 if all(len(one.providers) == 1 for one in seen) else None,
        host=host,
        tool_version=__version__,
        taken_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _described(preprocessing: Path | None) -> Preprocessing | None:
    if preprocessing is None:
        return None
    content = preprocessing.read_bytes()
    return Preprocessing(
        file=preprocessing.name,
        sha256=sha256(content).hexdigest(),
        bytes=len(content),
        runtime=PREPROCESSING_RUNTIME,
        runtime_version=choose_runtime(PREPROCESSING_RUNTIME).version(),
    )


def _batch(feeds: Feeds) -> int:
    """Return the rows of the first input; 1 where a file takes none, or a scalar."""
    shape = next(iter(feeds.values())).shape if feeds else ()
    return int(shape[0]) if shape else 1
