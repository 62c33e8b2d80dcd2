"""Latency by the length of a sentence: one text student, timed in turn on rows of more and more pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hpmkd_edge.bench.measurement import compare
from hpmkd_edge.bench.profile import LengthLatency
from hpmkd_edge.bench.protocol import Sampling
from hpmkd_edge.bench.runtimes import tokenizer
from hpmkd_edge.errors import MeasurementFailed

LENGTHS: Final = (8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence of so many pieces."""

    text: str
    pieces: int


def sentences_by_length(path: Path, words: Iterable[str]) -> tuple[Sentence, ...]:
    """Return sentences of 8, 16, 32, 64 and 128 pieces, as far as the tokenizer at *path* reads, and of the most.

    Where the words do not suffice there are fewer sentences: each has another number of pieces, and one at least.

    Args:
        path: of a tokenizer.json that truncates.
        words: real ones; see `tokenizer.sentence_of`.

    Raises:
        RuntimeUnavailable, BadConfiguration, MeasurementFailed: as `tokenizer.load`.
    """
    native = tokenizer.load(path, tokenizer.feeds_of([])).native
    most = native.truncation["max_length"] if native.truncation is not None else max(LENGTHS)
    native.no_truncation()
    words = list(words)
    made = [tokenizer.sentence_of(native, words, one) for one in sorted({*LENGTHS, most}) if one <= most]
    texts = {pieces: text for text, pieces in made if pieces}
    return tuple(Sentence(text=texts[pieces], pieces=pieces) for pieces in sorted(texts))


def latency_by_length(
    path: Path,
    *,
    preprocessing: Path,
    sentences: Sequence[Sentence],
    runtime: str,
    sampling: Sampling,
    threads: int = 1,
    host: str | None = None,
) -> tuple[LengthLatency, ...]:
    """Time a student on each of *sentences*, run by run in turn in one process, so that their ratios hold.

    Args:
        path: of the model file, and *preprocessing* of its tokenizer.json.
        sentences: one row each.
        runtime: a key of `RUNTIMES`.
        sampling: how long, and in how many processes.
        threads: within an operator, on a CPU.
        host: `ssh://user@board[:port]` to measure there; None for here.

    Raises:
        BadConfiguration, RuntimeUnavailable, MeasurementFailed: as `compare`.
    """
    count = len(sentences)
    profiles = compare(
        [path] * count,
        feeds=[tokenizer.feeds_of([one.text]) for one in sentences],
        preprocessing=[preprocessing] * count,
        with_memory=[False] * count,
        runtime=runtime,
        sampling=sampling,
        threads=threads,
        host=host,
    )
    found = []
    for one, profile in zip(sentences, profiles, strict=True):
        if profile.p50_ms is None or profile.p90_ms is None:
            raise MeasurementFailed(f"{path.name} was timed without a single run; one at least is needed.")
        runs = len(profile.samples_ns)
        found.append(LengthLatency(pieces=one.pieces, p50_ms=profile.p50_ms, p90_ms=profile.p90_ms, runs=runs))
    return tuple(found)
