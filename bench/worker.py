"""The process that measures: it holds a runtime and the models of one job, and nothing else.

Started as `python -m hpmkd_edge.bench.worker FOLDER` by `measurement`.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench import footprint
from hpmkd_edge.bench.job import Answer, Job, Seen, read_job, write_answer
from hpmkd_edge.bench.reference import reference_feeds, reference_file
from hpmkd_edge.bench.runtimes.chain import open_model
from hpmkd_edge.bench.runtimes.choose import choose_runtime
from hpmkd_edge.bench.runtimes.runtime import Feeds, Runtime, Session
from hpmkd_edge.bench.timing import Turn, Warmup, sample, time_run, warm_up
from hpmkd_edge.errors import EdgeError
from hpmkd_edge.export.artifact import PREPROCESSING_RUNTIME

# Buffers have their final size by then. The warm-up proper comes after the memory was read: its list of
# times alone would add 5 MB to a model of 7 µs.
MEMORY_RUNS = 20
_UNTIMED = Warmup(runs=0, ms=0.0, settled=True)


def main(folder: Path) -> int:
    """Carry out the job in *folder* and write the answer there."""
    job, feeds = read_job(folder)
    try:
        seen, samples = _carry_out(job, feeds)
    except EdgeError as error:
        write_answer(folder, Answer(models=(), failure=(type(error).__name__, str(error))))
        return error.exit_code
    write_answer(folder, Answer(models=seen, failure=()), samples)
    return 0


def _carry_out(job: Job, feeds: tuple[Feeds, ...]) -> tuple[tuple[Seen, ...], tuple[NDArray[np.int64], ...]]:
    runtime = choose_runtime(job.runtime)
    version = runtime.version()  # imports the library: it belongs to the baseline
    if any(job.preprocessing):
        choose_runtime(PREPROCESSING_RUNTIME).version()
    gc.collect()
    countable = footprint.reset_high_water()
    baseline = footprint.resident_bytes()
    turns, seen = [], []
    for path, preprocessing, one in zip(job.models, job.preprocessing, feeds, strict=True):
        turn, load_ms = _loaded(runtime, path, job.threads, one, preprocessing)
        first_run_ms = time_run(turn) / 1e6
        for _ in range(MEMORY_RUNS):
            time_run(turn)
        peak_bytes = footprint.high_water_bytes() - baseline + turn.session.device_bytes
        warmup = warm_up(turn, job.sampling) if job.sampling else _UNTIMED
        turns.append(turn)
        seen.append(
            Seen(
                runtime_version=version,
                providers=turn.session.providers,
                load_ms=load_ms,
                first_run_ms=first_run_ms,
                warmup_ms=warmup.ms,
                warmup_settled=warmup.settled,
                engine_build_s=turn.session.engine_build_s,
                enqueue_share=turn.session.enqueue_share(),
                # Of several models in a process none has a memory of its own.
                peak_memory_mb=peak_bytes / 1e6 if countable and len(job.models) == 1 else None,
            )
        )
    if job.sampling is None:
        return tuple(seen), ()
    with reference_file() as path:
        reference, _ = _loaded(runtime, path, job.threads, reference_feeds())
        warm_up(reference, job.sampling)
        return tuple(seen), sample([*turns, reference], job.sampling)


def _loaded(
    runtime: Runtime, path: Path, threads: int, feeds: Feeds, preprocessing: Path | None = None
) -> tuple[Turn, float]:
    """Load a model; return it and the milliseconds of that, without what building an engine took."""
    began = perf_counter_ns()
    session: Session = open_model(runtime, path, threads, feeds, preprocessing=preprocessing)
    ms = (perf_counter_ns() - began) / 1e6
    return Turn(session=session, feeds=feeds), ms - 1000 * (session.engine_build_s or 0.0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
