"""One target's turns: probe an untrained size, train and judge a chain, time a student beside its teacher."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hpmkd_edge import __version__
from hpmkd_edge.bench.measurement import compare, measure
from hpmkd_edge.bench.profile import Profile, read_profile, write_profile
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench.scoring import answer, score
from hpmkd_edge.distill.candidates import Race
from hpmkd_edge.distill.curriculum import train_best
from hpmkd_edge.errors import BadConfiguration, ConversionFailed, Interrupted, MeasurementFailed
from hpmkd_edge.export.conversion import convert, export_teacher, save_graph, student_graph
from hpmkd_edge.plan.chain import Chain, Step, fits
from hpmkd_edge.preparation import Preparation
from hpmkd_edge.progress import hidden
from hpmkd_edge.record import ProbeRecord
from hpmkd_edge.recording import Round, SideBySide
from hpmkd_edge.students.family import Size
from hpmkd_edge.targets import Target
from hpmkd_edge.teachers.teacher import OnnxGraph, TorchGraph
from hpmkd_edge.verdict import Judgement, Outcome, Provenance, Verdict, judge, judge_cost

PARITY_ROWS: Final = 512

log = logging.getLogger(__name__)


@contextmanager
def _announced(what: str) -> Iterator[None]:
    """Show on a terminal what a child process is busy with; it must not be disturbed for the sake of a bar."""
    with tqdm(total=1, desc=what, bar_format="{desc} …", disable=hidden(), leave=False):
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What a target's turns share.

    Attributes:
        runtime: the one that is timed here.
        state: the folder for files that a resumed run takes up.
        probes: grows with each size that is probed; *refused* with each that does not fit.
    """

    target: Target
    runtime: str
    protocol: str
    state: Path
    preparation: Preparation
    run_id: str
    probes: list[ProbeRecord] = field(default_factory=list)
    refused: set[Size] = field(default_factory=set)

    @property
    def row(self) -> dict[str, NDArray[Any]]:
        """One real row, as the shipped file takes it."""
        return self.preparation.task.validation.inputs.take(np.zeros(1, np.int64)).feeds()

    def cost_of(self, profile: Profile, file_bytes: int) -> Verdict:
        """Judge what a size costs; beside the budgets, the file against the least compression where bytes decide it."""
        verdict = judge_cost(self.target, profile=profile, model_bytes=file_bytes)
        most = self.preparation.allowance.most_bytes
        if most is None:
            return verdict
        found, limit = file_bytes / 1e6, most / 1e6
        over = found > limit
        judgement = Judgement(
            budget="--compression",
            outcome=Outcome.BROKEN if over else Outcome.MET,
            provenance=Provenance.MEASURED,
            value=found,
            limit=limit,
            warn=None,
            unit="MB",
            here=None,
            reason=f"{found:.4g} MB is {'above' if over else 'at most'} {limit:.4g}, the teacher's file over it",
        )
        return replace(verdict, judgements=(*verdict.judgements, judgement))

    def facts(self) -> dict[str, str]:
        """Return the metadata that makes the file alone enough on the board."""
        task = self.preparation.task
        return {
            "hpmkd_edge.version": __version__,
            "hpmkd_edge.run_id": self.run_id,
            "hpmkd_edge.task": task.name,
            "hpmkd_edge.data_sha256": task.digest,
            "hpmkd_edge.classes": json.dumps(task.classes, ensure_ascii=False),
            "hpmkd_edge.preprocessing": json.dumps(self.preparation.inlet.facts(), ensure_ascii=False),
        }

    def measured(self, path: Path) -> Profile:
        """Measure the file at *path*, or read back the measurement of the very same file that lies beside it.

        Raises:
            Interrupted: the user asked to stop; the measurement is saved.
        """
        kept = path.with_suffix(".json")
        if kept.exists():
            profile = read_profile(kept)
            if profile.model_sha256 == sha256(path.read_bytes()).hexdigest():
                return profile
        with _announced(f"measure {path.stem}"):
            profile = measure(
                path,
                runtime=self.runtime,
                feeds=self.row,
                sampling=SAMPLINGS[self.protocol],
                threads=self.target.threads,
                precision="fp32",
            )
        write_profile(profile, kept)
        if self.preparation.workshop.stop():
            raise Interrupted(f"stopped after {path.stem} was measured; the state is saved.")
        return profile

    def probe(self, size: Size) -> Verdict:
        """Build *size* untrained, export it, measure it and judge what it costs."""
        workshop = self.preparation.workshop
        path = self.state / f"{self.target.name}-probe-{size.width}x{size.depth}.onnx"
        module = workshop.family.build(size, workshop.shape, workshop.seed)
        save_graph(student_graph(module, self.preparation.inlet), path, self.facts())
        profile, file_bytes = self.measured(path), path.stat().st_size
        verdict = self.cost_of(profile, file_bytes)
        fitting, reason = fits(verdict), "; ".join(judgement.reason for judgement in verdict.judgements)
        if not fitting:
            self.refused.add(size)
        log.info("probed %s: %s", size.label, reason)
        self.probes.append(
            ProbeRecord(
                size=size.label,
                parameters=size.parameters,
                file_bytes=file_bytes,
                p90_bound_ms=profile.percentile_bound_ms(90),
                peak_memory_mb=profile.peak_memory_mb,
                fits=fitting,
                reason=reason,
            )
        )
        return verdict

    def turn(self, step: Step, number: int) -> Round:
        """Train the rivals for a chain, export the winner, measure it and judge it on validation rows."""
        preparation, rows = self.preparation, self.preparation.task.validation
        log.info("round %d: %s", number, step.reason)
        race = self.race(step.chain)
        path = self.state / f"{self.target.name}-round-{number}.onnx"
        artifact = convert(
            race.winner.trained.module,
            preparation.inlet,
            rows.take(np.arange(min(len(rows), PARITY_ROWS))),
            path,
            facts=self.facts(),
            answer=answer,
        )
        profile = self.measured(path)
        accuracy = score(path, rows.inputs.feeds(), rows.labels).accuracy
        verdict = judge(
            self.target,
            profile=profile,
            model_bytes=artifact.file_bytes,
            accuracy=accuracy,
            teacher_accuracy=preparation.best.accuracy,
        )
        return Round(
            number=number,
            step=step,
            race=race,
            artifact=artifact,
            profile=profile,
            validation_accuracy=accuracy,
            verdict=verdict,
        )

    def race(self, chain: Chain) -> Race:
        """Let all ways to train the chain's end compete."""
        return train_best(chain.end, chain.sizes[:-1], self.preparation.curriculum)

    def beside_teacher(self, student: Path) -> SideBySide:
        """Time the best teacher and the student interleaved in one process; the teacher only where that can be done.

        A teacher that cannot be exported or run costs its ratio, with a note, and not the finished student.
        """
        try:
            graph = self.preparation.best.teacher.graph()
            if isinstance(graph, TorchGraph):
                path, feeds = export_teacher(graph, self.state / "teacher.onnx"), {"input": graph.example.numpy()}
            elif isinstance(graph, OnnxGraph):
                path, feeds = graph.path, graph.feeds
            else:
                return SideBySide(student=self.compared([student], [self.row])[0], teacher=None, note=None)
            beside, teacher = self.compared([student, path], [self.row, feeds])
        except (ConversionFailed, MeasurementFailed, BadConfiguration) as error:
            note = f"The teacher could not be timed beside the student: {error}"
            return SideBySide(student=self.compared([student], [self.row])[0], teacher=None, note=note)
        return SideBySide(student=beside, teacher=teacher, note=None)

    def compared(self, paths: list[Path], feeds: list[dict[str, NDArray[Any]]]) -> tuple[Profile, ...]:
        """Measure files interleaved in one process, as long as the protocol says."""
        with _announced("measure teacher and student in turn"):
            return compare(
                paths,
                runtime=self.runtime,
                feeds=feeds,
                sampling=SAMPLINGS[self.protocol],
                threads=self.target.threads,
            )
