"""A run with all that a page can show: two rounds, members of a chain, curves, precisions, answers, many candidates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sample_records import HERE, make_answers, make_profile, make_report, make_target

from hpmkd_edge.record import MemberRecord, PrecisionRecord, Report, RivalRecord, RoundRecord
from hpmkd_edge.verdict import Outcome

CANDIDATES = 6


def samples(count: int = 4000, ms: float = 1.0) -> tuple[int, ...]:
    """Return times of *count* runs: most near *ms*, a few far slower."""
    drawn = np.random.default_rng(0).lognormal(0, 0.04, count) * ms
    drawn[:: max(1, count // 12)] *= 4
    return tuple(int(1e6 * one) for one in drawn)


def make_rival(name: str, accuracy: float, *, won: bool = False, epochs: int = 12) -> RivalRecord:
    climb = [accuracy * (1 - 0.3 * 0.7**epoch) for epoch in range(1, epochs + 1)]
    return RivalRecord(
        name=name,
        method="response",
        epochs=epochs,
        validation_accuracy=accuracy,
        validation_loss=1 - accuracy,
        seconds=61.25,
        won=won,
        losses=tuple(2.5 * (1.05 - one) for one in climb),
        accuracies=tuple(climb),
    )


def make_run(candidates: int = CANDIDATES, **changes: Any) -> Report:
    """Return a run of two rounds, the first of which broke a budget, with *candidates* that lost in the second."""
    samples_ns = changes.pop("samples_ns", samples())
    report = make_report(make_target(device=HERE), make_profile(samples_ns=samples_ns, reference_ns=samples_ns))
    last = report.rounds[0]
    small = report.student.size
    rivals = [make_rival(f"plain KD {place}", 0.88 + 0.02 * (place % 17) / 17) for place in range(candidates)]
    made = tuple(
        PrecisionRecord(
            precision=precision,
            how=how,
            file_bytes=size,
            accuracy=accuracy,
            loss=0.3,
            p50_ms=0.9 * ms,
            p90_bound_ms=ms,
            over_fp32=None if precision == "fp32" else ms,
            low=None if precision == "fp32" else 0.95 * ms,
            high=None if precision == "fp32" else 1.05 * ms,
            ships=precision == "fp32",
        )
        for precision, how, size, accuracy, ms in (
            ("int8", "calibrated by entropy", 300_000, 0.911, 1.3),
            ("fp32", "exported", 1_000_000, report.student.validation_accuracy, 1.0),
        )
    )
    first = replace(last, number=1, chain=("cnn-64x3",), precisions=(), verdict=_broken(last))
    second = replace(
        last,
        number=2,
        reason="cnn-64x3 took 9.1 ms p90, at most 8 is needed: the next smaller size",
        chain=("cnn-48x3", small),
        rivals=(*rivals, make_rival(report.student.won_by, report.student.validation_accuracy, won=True)),
        precisions=made,
        members=(
            _member("cnn-48x3", 310_000, 0.921, 3.1, taught=True),
            _member("cnn-40x3", 170_000, 0.89, 1.9, taught=False),
        ),
    )
    values: dict[str, Any] = {"rounds": (first, second), "answers": make_answers()}
    return replace(report, **(values | changes))


def _member(size: str, parameters: int, accuracy: float, ms: float, *, taught: bool) -> MemberRecord:
    return MemberRecord(
        size=size,
        parameters=parameters,
        validation_accuracy=accuracy,
        taught=taught,
        file_bytes=4 * parameters,
        p50_ms=0.9 * ms,
        p90_bound_ms=ms,
    )


def _broken(turn: RoundRecord) -> Any:
    one, *rest = turn.verdict.judgements
    over = replace(one, outcome=Outcome.BROKEN, value=9.1, reason="9.1 ms p90 is above 8")
    return replace(turn.verdict, judgements=(over, *rest))
