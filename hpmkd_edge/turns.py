"""One target's turns: probe an untrained size, train and judge a chain, time a student beside its teacher."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hpmkd_edge.bench.measurement import compare, measure
from hpmkd_edge.bench.profile import Profile, read_profile, write_profile
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench.scoring import answer, score
from hpmkd_edge.distill.candidates import Race
from hpmkd_edge.distill.curriculum import train_best
from hpmkd_edge.errors import BadConfiguration, ConversionFailed, Interrupted, MeasurementFailed
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.export.conversion import convert, export_teacher, needs_cut, save_student
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
        """One real row, as what ships takes it."""
        return self.preparation.task.validation.inputs.take(np.zeros(1, np.int64)).feeds()

    @property
    def cut_for(self) -> str | None:
        """The target's runtime where the student is cut in two files because of it, else None."""
        return self.target.runtime if needs_cut(self.preparation.inlet, self.target.runtime) else None

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
        return self.preparation.facts(self.run_id)

    def measured(self, artifact: Artifact) -> Profile:
        """Measure *artifact*, or read back the measurement of the very same files that lies beside them.

        Raises:
            Interrupted: the user asked to stop; the measurement is saved.
        """
        path = artifact.path
        kept = path.with_suffix(".json")
        if kept.exists():
            profile = read_profile(kept)
            # The digest of a preprocessing file is in the metadata of what runs behind it.
            if profile.model_sha256 == artifact.sha256:
                return profile
        with _announced(f"measure {path.stem}"):
            profile = measure(
                path,
                runtime=self.runtime,
                feeds=self.row,
                sampling=SAMPLINGS[self.protocol],
                threads=self.target.threads,
                precision=artifact.precision,
                preprocessing=artifact.preprocessing,
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
        artifact = save_student(module, self.preparation.inlet, path, facts=self.facts(), cut_for=self.cut_for)
        profile, file_bytes = self.measured(artifact), artifact.file_bytes
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
            cut_for=self.cut_for,
        )
        profile = self.measured(artifact)
        scored = score(path, rows.inputs.feeds(), rows.labels, preprocessing=artifact.preprocessing)
        verdict = judge(
            self.target,
            profile=profile,
            model_bytes=artifact.file_bytes,
            accuracy=scored.accuracy,
            teacher_accuracy=preparation.best.accuracy,
            goal=preparation.task.goal,
            mae=scored.misses.mae if scored.misses else None,
        )
        return Round(
            number=number,
            step=step,
            race=race,
            artifact=artifact,
            profile=profile,
            validation_accuracy=scored.accuracy,
            verdict=verdict,
        )

    def race(self, chain: Chain) -> Race:
        """Let all ways to train the chain's end compete."""
        return train_best(chain.end, chain.sizes[:-1], self.preparation.curriculum)

    def beside_teacher(self, student: Artifact) -> SideBySide:
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
                return SideBySide(student=self.compared(student)[0], teacher=None, note=None)
            beside, teacher = self.compared(student, (path, feeds))
        except (ConversionFailed, MeasurementFailed, BadConfiguration) as error:
            note = f"The teacher could not be timed beside the student: {error}"
            return SideBySide(student=self.compared(student)[0], teacher=None, note=note)
        return SideBySide(student=beside, teacher=teacher, note=None)

    def compared(self, student: Artifact, *teacher: tuple[Path, dict[str, NDArray[Any]]]) -> tuple[Profile, ...]:
        """Measure the student, and the teacher's file and feeds, interleaved in one process, as the protocol says."""
        with _announced("measure teacher and student in turn"):
            return compare(
                [student.path, *(path for path, _ in teacher)],
                runtime=self.runtime,
                feeds=[self.row, *(feeds for _, feeds in teacher)],
                preprocessing=[student.preprocessing, *(None for _ in teacher)],
                sampling=SAMPLINGS[self.protocol],
                threads=self.target.threads,
            )
