"""The process that measures: it holds a runtime and the models of one job, and nothing else.

Started as `python -m hpmkd_edge.bench.worker FOLDER` by `measurement`.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench import footprint
from hpmkd_edge.bench.binding import bound_run
from hpmkd_edge.bench.host import describe_host, read_state
from hpmkd_edge.bench.job import Answer, Job, Seen, read_job, write_answer
from hpmkd_edge.bench.placement import nodes_run, off_macs
from hpmkd_edge.bench.profile import Shape
from hpmkd_edge.bench.reference import reference_feeds, reference_file
from hpmkd_edge.bench.runtimes import tokenizer
from hpmkd_edge.bench.runtimes.chain import ChainSession, open_model, version_of_first
from hpmkd_edge.bench.runtimes.choose import choose_runtime
from hpmkd_edge.bench.runtimes.runtime import Feeds, Runtime, Session
from hpmkd_edge.bench.timing import Run, Warmup, sample, time_run, warm_up
from hpmkd_edge.errors import EdgeError
from hpmkd_edge.export.artifact import PREPROCESSING_RUNTIME, TOKENIZER

# Buffers have their final size by then. The warm-up proper comes after the memory was read: its times take some too.
MEMORY_RUNS: Final = 20
# Known to be warm after a fraction of what a model must be given of which nothing is known.
REFERENCE_WARMUP_S: Final = 0.2
_UNTIMED: Final = Warmup(runs=0, ms=0.0, settled=True)


def main(folder: Path) -> int:
    """Carry out the job in *folder* and write the answer there."""
    job, feeds = read_job(folder)
    try:
        answer, samples = _carry_out(job, feeds)
    except EdgeError as error:
        write_answer(folder, Answer(models=(), failure=(type(error).__name__, str(error))))
        return error.exit_code
    write_answer(folder, answer, samples)
    return 0


def _carry_out(job: Job, feeds: tuple[Feeds, ...]) -> tuple[Answer, tuple[NDArray[np.int64], ...]]:
    host = describe_host()
    runtime = choose_runtime(job.runtime)
    version = runtime.version()  # imports the library: it belongs to the baseline
    if job.tokenized:
        tokenizer.check(Path(TOKENIZER))
    firsts = [None if before is None else version_of_first(before) for before in job.preprocessing]
    runs, seen = [], []
    for path, preprocessing, first, one in zip(job.models, job.preprocessing, firsts, feeds, strict=True):
        run, found = _met(job, runtime, path, preprocessing, one)
        runs.append(run)
        seen.append(replace(found, runtime_version=version, preprocessing_version=first))
    if job.sampling is None:
        return Answer(models=tuple(seen), failure=(), host=host), ()
    with reference_file() as path:
        reference, _ = bound_run(_loaded(runtime, path, job.threads, reference_feeds())[0], reference_feeds())
        brief = replace(job.sampling, warmup_seconds=min(REFERENCE_WARMUP_S, job.sampling.warmup_seconds))
        warm_up(reference, brief)
        before = read_state()
        samples = sample([*runs, reference], job.sampling)
        states = before, read_state()
    return Answer(models=tuple(seen), failure=(), host=host, states=states), samples


def _met(job: Job, runtime: Runtime, path: Path, preprocessing: Path | None, feeds: Feeds) -> tuple[Run, Seen]:
    """Load a model, take its memory, warm it up, and see what executes it."""
    gc.collect()
    with footprint.watched() as watch:
        countable = footprint.reset_high_water()
        baseline = footprint.resident_bytes()
        session, load_ms = _loaded(runtime, path, job.threads, feeds, preprocessing)
        began = perf_counter_ns()
        session.run(feeds)
        first_run_ms = (perf_counter_ns() - began) / 1e6
        run, io = bound_run(session, feeds)
        for _ in range(MEMORY_RUNS):
            time_run(run)
    # The kernel counts pages on each CPU and adds them up lazily, so its mark may lag behind what a look has seen.
    peak_bytes = max(footprint.high_water_bytes(), watch.most_bytes) - baseline + session.device_bytes
    # Of several models in a process none has a memory of its own.
    alone = len(job.models) == 1
    warmup = warm_up(run, job.sampling) if job.sampling else _UNTIMED
    own = _own_feeds(session, feeds)
    off = every = None
    if job.sampling and job.runtime == PREPROCESSING_RUNTIME and len(session.providers) > 1:
        ran = nodes_run(path, job.threads, session.providers, own)
        off, every = off_macs(ran, session.providers[0]), sum(node.macs for node in ran)
    return run, Seen(
        runtime_version="",
        providers=session.providers,
        load_ms=load_ms,
        first_run_ms=first_run_ms,
        warmup_ms=warmup.ms,
        warmup_settled=warmup.settled,
        engine_build_s=session.engine_build_s,
        enqueue_share=session.enqueue_share(),
        peak_memory_mb=peak_bytes / 1e6 if countable and alone else None,
        sampled_memory_mb=(watch.most_bytes - baseline + session.device_bytes) / 1e6 if alone else None,
        baseline_memory_mb=baseline / 1e6 if alone else None,
        shapes=tuple(Shape(name=name, sizes=array.shape) for name, array in own.items()),
        io=io,
        off_macs=off,
        all_macs=every,
    )


def _loaded(
    runtime: Runtime, path: Path, threads: int, feeds: Feeds, preprocessing: Path | None = None
) -> tuple[Session, float]:
    """Load a model; return it and the milliseconds of that, without what building an engine took."""
    began = perf_counter_ns()
    session = open_model(runtime, path, threads, feeds, preprocessing=preprocessing)
    ms = (perf_counter_ns() - began) / 1e6
    return session, ms - 1000 * (session.engine_build_s or 0.0)


def _own_feeds(session: Session, feeds: Feeds) -> Feeds:
    """Return what the model itself is fed, behind its preprocessing."""
    if isinstance(session, ChainSession):
        return {session.preprocessing.output: session.preprocessing.run(feeds)}
    return feeds


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
