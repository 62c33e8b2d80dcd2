"""What a size costs before it is trained: built, exported, measured, and judged against a target's limits."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.delivery import with_compression
from hpmkd_edge.desk import Desk
from hpmkd_edge.entrance import entering, evenly, form_for
from hpmkd_edge.errors import ConversionFailed, MeasurementFailed
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.export.conversion import preprocessing_of, save_student
from hpmkd_edge.export.passes.half import halve
from hpmkd_edge.export.passes.quantize import quantize
from hpmkd_edge.plan.sizing import fits, strains
from hpmkd_edge.record import ProbeRecord
from hpmkd_edge.students.family import Family, Shape, Size
from hpmkd_edge.students.inlet import ImageInlet, Inlet
from hpmkd_edge.students.stand_in import stand_in
from hpmkd_edge.targets import Target
from hpmkd_edge.tasks.task import Rows
from hpmkd_edge.verdict import Verdict, judge_cost

# An untrained student's ranges need no more.
CALIBRATION_ROWS: Final = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """What probes of one target share.

    Attributes:
        desk: measures its files.
        state: the folder for files and measurements; a resumed run reads them back.
        rows: of training, a few of which int8 is calibrated on.
        facts: of each file's metadata.
        cut_for: the target's runtime where the student is cut in two files because of it, else None.
        most_bytes: of the file, or None where parameters decide the compression.
        probes: grows with each measurement; *refused* holds the sizes that did not fit when they were last measured.
    """

    target: Target
    desk: Desk
    state: Path
    family: Family
    shape: Shape
    inlet: Inlet
    seed: int
    rows: Rows
    facts: Mapping[str, str]
    cut_for: str | None
    most_bytes: float | None
    probes: list[ProbeRecord] = field(default_factory=list)
    refused: set[Size] = field(default_factory=set)

    def cost_of(self, profile: Profile, file_bytes: int) -> Verdict:
        """Judge what a size costs; beside the budgets, the file against the least compression where bytes decide it."""
        verdict = judge_cost(self.target, profile=profile, model_bytes=file_bytes)
        return with_compression(verdict, file_bytes, self.most_bytes)

    def probe(self, size: Size) -> Verdict:
        """Build *size* untrained, export it, measure it and judge what it costs; each call measures anew.

        It is measured in the first precision that the target lists, and in turn in fp32, which ships where fewer bits
        are slower; the one with most room below its limits counts. Where another runtime stands in for the target's,
        fp32 alone is timed, and the smaller file counts.
        """
        before = sum(record.size == size.label for record in self.probes)
        plain = self._again(size, before) if before else self._exported(size)
        files = [*self._cheaper(plain), plain]
        if self.desk.stands_in:
            timed, counted = self.desk.in_turn([plain]), [min(files, key=lambda one: one.file_bytes)]
        else:
            timed, counted = self._timed(files)
        costs = [
            (self.cost_of(profile, one.file_bytes), profile, one) for profile, one in zip(timed, counted, strict=True)
        ]
        # The one with most room below its limits; of equals the first.
        verdict, profile, artifact = min(costs, key=lambda cost: max(strains(cost[0]).values(), default=0.0))
        fitting, reason = fits(verdict), "; ".join(judgement.reason for judgement in verdict.judgements)
        (self.refused.discard if fitting else self.refused.add)(size)
        log.info("probed %s: %s", size.label, reason)
        self.probes.append(
            ProbeRecord(
                size=size.label,
                parameters=size.parameters,
                file_bytes=artifact.file_bytes,
                p90_bound_ms=profile.percentile_bound_ms(90),
                peak_memory_mb=profile.peak_memory_mb,
                fits=fitting,
                reason=reason,
                precision=artifact.precision,
            )
        )
        return verdict

    def _timed(self, files: list[Artifact]) -> tuple[tuple[Profile, ...], list[Artifact]]:
        """Measure *files* in turn; where the runtime refuses the cheaper one, fp32 alone."""
        try:
            return self.desk.in_turn(files), files
        except MeasurementFailed as error:
            if len(files) == 1:
                raise
            log.warning("%s is probed in fp32 alone: %s", files[-1].path.stem, error)
            return self.desk.in_turn(files[-1:]), files[-1:]

    def _cheaper(self, plain: Artifact) -> list[Artifact]:
        """Return the untrained file in the first precision that the target lists, unless that is fp32."""
        precision = self.target.precisions[0]
        if precision == "fp32":
            return []
        path = plain.path.with_name(f"{plain.path.stem}-{precision}.onnx")
        try:
            if precision == "fp16":
                halve(plain.path, path)
            else:
                few = evenly(self.rows, CALIBRATION_ROWS)
                quantize(plain.path, path, feeds=entering(plain, few), form=form_for(self.target), calibration="minmax")
        except ConversionFailed as error:
            log.warning("%s is probed in fp32 alone: %s", plain.path.stem, error)
            return []
        return [replace(plain, path=path, precision=precision)]

    def _path(self, size: Size) -> Path:
        return self.state / f"{self.target.name}-probe-{size.width}x{size.depth}.onnx"

    def _exported(self, size: Size) -> Artifact:
        module = stand_in(self.family, size, self.shape, self.seed)
        return save_student(module, self.inlet, self._path(size), facts=self.facts, cut_for=self.cut_for)

    def _again(self, size: Size, before: int) -> Artifact:
        """Return the same file under another name, beside which there is no measurement yet."""
        first = self._path(size)
        path = first.with_name(f"{first.stem}-{before + 1}.onnx")
        shutil.copyfile(first, path)
        preprocessing = None
        if self.cut_for is not None and not isinstance(self.inlet, ImageInlet):
            preprocessing = first.with_name(f"{first.stem}-{preprocessing_of(self.inlet)}")
        return Artifact(path=path, precision="fp32", parity=None, preprocessing=preprocessing)
