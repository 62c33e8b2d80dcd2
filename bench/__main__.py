"""`python -m hpmkd_edge.bench MODEL`: measure a file where there is no more than numpy and a runtime."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hpmkd_edge.bench.measurement import measure
from hpmkd_edge.bench.profile import Profile, write_profile
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench.runtimes.choose import RUNTIMES
from hpmkd_edge.bench.runtimes.feeds import feeds_of_student, parse_shapes
from hpmkd_edge.errors import EdgeError
from hpmkd_edge.export.artifact import PREPROCESSING_RUNTIME


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as the command line asks, write the profile, print it; return the exit code."""
    asked = _parser().parse_args(arguments)
    # The inputs are read here: TensorRT may be on the board alone.
    here = asked.runtime if asked.host is None else PREPROCESSING_RUNTIME
    try:
        profile = measure(
            asked.model,
            runtime=asked.runtime,
            feeds=feeds_of_student(
                asked.model, asked.preprocessing, runtime=here, shapes=parse_shapes(asked.shape), text=asked.text
            ),
            sampling=SAMPLINGS[asked.protocol],
            threads=asked.threads,
            precision=asked.precision,
            preprocessing=asked.preprocessing,
            host=asked.host,
        )
        write_profile(profile, asked.output)
    except EdgeError as error:
        print(f"hpmkd_edge.bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    print("\n".join(_lines(profile)))
    print(f"\nwritten to {asked.output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hpmkd_edge.bench", description="Measure a model file on made-up inputs of one row."
    )
    parser.add_argument("model", type=Path, help="the ONNX file")
    parser.add_argument("--preprocessing", type=Path, metavar="FILE", help="run before it on the CPU")
    parser.add_argument("--runtime", choices=sorted(RUNTIMES), default="onnxruntime")
    parser.add_argument("--protocol", choices=list(SAMPLINGS), default="standard")
    parser.add_argument("--threads", type=int, default=1, help="within an operator, on a CPU")
    parser.add_argument("--host", metavar="ssh://USER@BOARD[:PORT]", help="measure there; it needs no more than here")
    parser.add_argument(
        "--shape", action="append", default=[], metavar="NAME=SIZES", help="of an input whose axes are open; repeatable"
    )
    parser.add_argument("--text", help="the sentence for a tokenizer.json; default: 32 pieces of its words")
    parser.add_argument("--precision", default="fp32", help="what the record calls the file's")
    parser.add_argument("--output", type=Path, default=Path("profile.json"))
    return parser


def _lines(profile: Profile) -> list[str]:
    rows: list[tuple[str, float | None, str]] = [
        ("p50", profile.p50_ms, "ms"),
        ("p90", profile.p90_ms, "ms"),
        ("p90, upper bound at 99 %", profile.percentile_bound_ms(90), "ms"),
        ("p99", profile.p99_ms, "ms"),
        ("mean", profile.mean_ms, "ms"),
        ("least", profile.min_ms, "ms"),
        ("first run", profile.first_run_ms, "ms"),
        ("load", profile.load_ms, "ms"),
        ("engine build", profile.engine_build_s, "s"),
        ("p50 over the reference's", profile.relative, ""),
        ("peak memory", profile.peak_memory_mb, "MB"),
        ("file" if profile.preprocessing is None else "both files", profile.model_bytes / 1e6, "MB"),
    ]
    before = profile.preprocessing
    behind = f" behind {before.file} in {before.runtime} {before.runtime_version}" if before else ""
    title = f"{profile.model} on {profile.host.model}, {profile.runtime} {profile.runtime_version}{behind}"
    table = [f"  {name:<26}{_number(value):>12} {unit}".rstrip() for name, value, unit in rows]
    flags = [f"  not valid for a gate: {flag}" for flag in profile.flags]
    return [
        title,
        f"  {len(profile.samples_ns)} runs, {profile.protocol}, {profile.threads} threads",
        *table,
        *flags,
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
