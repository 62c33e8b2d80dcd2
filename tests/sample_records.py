"""Profiles, targets and a report to judge and show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hpmkd_edge.answers import compare_answers
from hpmkd_edge.bench.prediction import Prediction
from hpmkd_edge.bench.profile import Host, Profile
from hpmkd_edge.foretold import Foretold
from hpmkd_edge.record import (
    AnswersRecord,
    ComponentRecord,
    Cost,
    DataRecord,
    GainRecord,
    MemberRecord,
    PrecisionRecord,
    ProbeRecord,
    Report,
    RivalRecord,
    RoundRecord,
    StudentRecord,
    TeacherRecord,
)
from hpmkd_edge.targets import (
    AccuracyLimit,
    Budgets,
    Device,
    LatencyLimit,
    Limit,
    PlacementLimit,
    Target,
)
from hpmkd_edge.verdict import Judgement, Outcome, Provenance, judge

BOARD = Device(
    name="board",
    description="A board",
    identity=("Board 9",),
    memory_mb=8000.0,
    bandwidth_gb_s=None,
    power_modes=("7W", "15W"),
    status="verified",
    source="this file",
)
TEST_ACCURACY = 4_562 / 5_000
HERE = replace(BOARD, name="host", description="this machine", identity=(), memory_mb=None, power_modes=())


def make_host(**changes: Any) -> Host:
    host = Host(
        name="quiet",
        model="Some CPU at 2 GHz",
        system="Linux 6.1",
        python="3.11.4",
        cores=4,
        memory_mb=7600.0,
        load_average=0.1,
        governor=None,
        power_mode=None,
    )
    return replace(host, **changes)


def make_profile(
    *, ms: float = 1.0, samples_ns: tuple[int, ...] | None = None, host: Host | None = None, **changes: Any
) -> Profile:
    """Return the profile of 1,000 runs of *ms* each, without a flag."""
    profile = Profile(
        model="student.onnx",
        model_sha256="5" * 64,
        model_bytes=1_000_000,
        runtime="onnxruntime",
        runtime_version="1.31.0",
        providers=("CPUExecutionProvider",),
        precision="fp32",
        batch=1,
        threads=1,
        protocol="quick",
        processes=1,
        load_ms=20.0,
        first_run_ms=2.0,
        warmup_ms=1000.0,
        engine_build_s=None,
        samples_ns=samples_ns or (round(ms * 1e6),) * 1000,
        reference_ns=(300_000,) * 1000,
        peak_memory_mb=16.0,
        placement_share=None,
        host=host or make_host(),
        tool_version="0.1.0",
        taken_at="2025-01-01T00:00:00+00:00",
    )
    return replace(profile, **changes)


def make_foretold(low: float | None, ms: float | None, high: float | None, **changes: Any) -> Foretold:
    """Return a prediction of the p90 from eight records."""
    provenance = changes.pop("provenance", "predicted")
    found = Prediction(provenance=provenance, ms=ms, low_ms=low, high_ms=high, reason="from 8 models.")
    return replace(Foretold(percentile="p90", source="8 records", prediction=found), **changes)


def make_target(*, device: Device = HERE, **changes: Any) -> Target:
    """Return a target with a budget of each kind that onnxruntime can answer."""
    budgets = Budgets(
        latency_ms=(LatencyLimit(percentile="p90", limit=Limit(fail=8.0, warn=7.0)),),
        peak_memory_mb=Limit(fail=64.0),
        model_size_mb=Limit(fail=4.0),
        accuracy=AccuracyLimit(max_drop=0.02),
    )
    target = Target(name=device.name, device=device, runtime="onnxruntime", precisions=("fp32",), budgets=budgets)
    return replace(target, **changes)


FULL = Budgets(
    latency_ms=(
        LatencyLimit(percentile="p50", limit=Limit(warn=0.5)),
        LatencyLimit(percentile="p90", limit=Limit(fail=8.0, warn=7.0)),
    ),
    peak_memory_mb=Limit(fail=64.0),
    model_size_mb=Limit(fail=4.0),
    accuracy=AccuracyLimit(min=0.9, max_drop=0.02),
    placement=PlacementLimit(min_macs_share=0.95, warn_macs_share=0.99),
    engine_build_s=Limit(fail=600.0),
)


def make_answers(rows: int = 5_000, right: int = 4_562, **changes: Any) -> AnswersRecord:
    """Return a teacher's and a student's answers to *rows* rows of two classes, of which the student has *right*."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, rows)
    teacher = np.where(np.arange(rows) < 0.93 * rows, labels, 1 - labels)
    student = labels.copy()
    missed = generator.permutation(rows)[right:]
    student[missed] = 1 - labels[missed]
    return replace(compare_answers(labels, teacher, student, ("cat", "dog"), sha256="b" * 64), **changes)


def make_report(target: Target | None = None, profile: Profile | None = None, **changes: Any) -> Report:
    """Return a report whose verdict is that of its numbers."""
    target, profile = target or make_target(), profile or make_profile()
    on_validation, verdict = (
        judge(
            target,
            profile=profile,
            model_bytes=profile.model_bytes,
            accuracy=accuracy,
            teacher_accuracy=teacher,
            foretold=foretold,
        )
        for accuracy, teacher, foretold in ((0.915, 0.935, ()), (TEST_ACCURACY, 0.93, changes.get("foretold", ())))
    )
    report = Report(
        tool_version="0.1.0",
        run_id="3f5a9c1d",
        started_at="2025-01-01T00:00:00+00:00",
        seconds=512.4,
        command="hpmkd-edge compress --data rows.csv --teacher teacher.onnx --output runs/first",
        seed=0,
        target=target.name,
        judged_against=target,
        classes=("cat", "dog"),
        data=DataRecord(
            name="pets [2]",
            source="rows.csv",
            kind="images",
            sha256="d" * 64,
            split_rule="every tenth row is a test row",
            train_rows=40_000,
            validation_rows=5_000,
            test_rows=5_000,
        ),
        teachers=(
            _teacher("resnet56", 0.935, 0.93),
            _teacher("resnet20", 0.92, 0.915, trained_here=True),
        ),
        settings=(("temperature", "4.0"), ("learning rate", "0.01 | cosine")),
        probes=(
            ProbeRecord(
                size="cnn-32x3",
                parameters=98_522,
                file_bytes=401_220,
                p90_bound_ms=1.73,
                peak_memory_mb=17.0,
                fits=True,
                reason="1.73 ms p90 is at most 7",
            ),
        ),
        rounds=(
            RoundRecord(
                number=1,
                reason="The largest size that meets the cost budgets.",
                chain=("cnn-64x3", "cnn-32x3"),
                rivals=(
                    _rival("labels alone", "labels", 0.9),
                    _rival("plain KD", "response", 0.905),
                    _rival("chain of 2", "response", 0.915, won=True, temperatures=(4.0, 3.5, 2.0)),
                ),
                gains=(
                    GainRecord(of="chain of 2", over="labels alone", points=1.5, low=0.7, high=2.3, verdict="gain"),
                    GainRecord(
                        of="chain of 2",
                        over="plain KD",
                        points=1.0,
                        low=-0.1,
                        high=2.1,
                        verdict="inconclusive",
                    ),
                ),
                components=(
                    ComponentRecord(component="configuration", sentence="chosen in 9 short trainings", gain=None),
                    ComponentRecord(
                        component="chain",
                        sentence="through cnn-64x3, begun from cnn-64x3's weights",
                        gain=GainRecord(
                            of="chain of 2",
                            over="plain KD",
                            points=1.0,
                            low=-0.1,
                            high=2.1,
                            verdict="inconclusive",
                        ),
                    ),
                ),
                settings=(("temperature", "4.0"), ("learning rate", "0.01 | cosine")),
                parity_agreement=1.0,
                parity_max_error=3.2e-7,
                precisions=(
                    PrecisionRecord(
                        precision="fp32",
                        how="exported",
                        file_bytes=profile.model_bytes,
                        accuracy=0.915,
                        loss=0.25,
                        p50_ms=profile.p50_ms,
                        p90_bound_ms=profile.percentile_bound_ms(90),
                        ships=True,
                    ),
                    PrecisionRecord(
                        precision="int8",
                        how="calibrated by entropy",
                        file_bytes=300_000,
                        accuracy=0.905,
                        loss=0.31,
                        agreement=0.97,
                        max_error=0.12,
                        p50_ms=1.5,
                        p90_bound_ms=1.625,
                        over_fp32=1.5,
                        low=1.48,
                        high=1.52,
                        lossy=True,
                        slower=True,
                    ),
                    PrecisionRecord(precision="fp16", how="not made: the graph has no half-precision form"),
                ),
                members=(
                    MemberRecord(
                        size="cnn-64x3",
                        parameters=393_482,
                        validation_accuracy=0.925,
                        taught=True,
                        rival="chain of 2",
                        file_bytes=1_580_000,
                        p50_ms=2.5,
                        p90_bound_ms=2.75,
                    ),
                    MemberRecord(size="cnn-48x3", parameters=221_530, validation_accuracy=0.895, taught=False),
                ),
                verdict=on_validation,
            ),
        ),
        student=StudentRecord(
            size="cnn-32x3",
            family="cnn",
            won_by="chain of 2",
            validation_accuracy=0.915,
            test_accuracy=TEST_ACCURACY,
            cost=Cost(
                parameters=98_522,
                file_bytes=profile.model_bytes,
                p50_ms=0.9,
                p90_ms=1.0,
                peak_memory_mb=16.0,
                p90_bound_ms=1.125,
            ),
            p90_bound_ms=profile.percentile_bound_ms(90),
            latency_flags=profile.flags,
            test_standard_error=(TEST_ACCURACY * (1 - TEST_ACCURACY) / 4_999) ** 0.5,
        ),
        student_sha256=profile.model_sha256,
        profile=profile,
        retention=TEST_ACCURACY / 0.93,
        verdict=verdict,
        host=profile.host,
        answers=make_answers(),
        board_command=None,
        notes=("The second teacher was trained on the spot.",),
    )
    return replace(report, **changes)


def _teacher(name: str, validation: float, test: float, *, trained_here: bool = False) -> TeacherRecord:
    return TeacherRecord(
        name=name,
        kind="torch",
        sha256="7" * 64,
        trained_here=trained_here,
        preprocessing="pixels / 255",
        validation_accuracy=validation,
        test_accuracy=test,
        cost=Cost(
            parameters=861_620,
            file_bytes=3_520_000,
            p50_ms=6.25,
            p90_ms=6.5,
            peak_memory_mb=41.5,
            p90_bound_ms=6.75,
        ),
    )


def _rival(name: str, method: str, accuracy: float, *, won: bool = False, **changes: Any) -> RivalRecord:
    return RivalRecord(
        name=name,
        method=method,
        epochs=3,
        validation_accuracy=accuracy,
        validation_loss=1 - accuracy,
        seconds=61.25,
        won=won,
        losses=(1.75, 0.875, 0.5),
        accuracies=(accuracy - 0.25, accuracy - 0.125, accuracy),
        **changes,
    )


def judgement(budget: str, value: float, limit: float, *, known: bool = True) -> Judgement:
    """Return a budget that is met or broken by *value*; where it is not *known*, a value of this host."""
    broken = value > limit if budget != "accuracy" else value < limit
    outcome = (Outcome.BROKEN if broken else Outcome.MET) if known else Outcome.INCONCLUSIVE
    return Judgement(
        budget=budget,
        outcome=outcome,
        provenance=Provenance.MEASURED if known else Provenance.UNKNOWN,
        value=value if known else None,
        limit=limit,
        warn=None,
        unit="ms",
        here=None if known else value,
        reason=f"{budget} is {value:g}, {limit:g} needed",
    )
