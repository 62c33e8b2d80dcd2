"""One target's turns: probe an untrained size, train and judge a chain, time a student beside what taught it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.bench.scoring import answer
from hpmkd_edge.delivery import Delivery, Made, NotMade, chosen
from hpmkd_edge.desk import Desk, Fed
from hpmkd_edge.distill.candidates import Race
from hpmkd_edge.distill.curriculum import train_best
from hpmkd_edge.entrance import parity_rows
from hpmkd_edge.errors import BadConfiguration, ConversionFailed, MeasurementFailed
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.export.conversion import TEXT, convert, export_teacher, needs_cut, save_student
from hpmkd_edge.plan.chain import Chain, Step
from hpmkd_edge.plan.sizing import SHORT, excess
from hpmkd_edge.preparation import Preparation
from hpmkd_edge.probing import Prober
from hpmkd_edge.record import ProbeRecord
from hpmkd_edge.recording import SideBySide
from hpmkd_edge.rounds import Round, Timed
from hpmkd_edge.students.family import Size
from hpmkd_edge.targets import Target
from hpmkd_edge.teachers.teacher import OnnxGraph, TorchGraph
from hpmkd_edge.verdict import Verdict

log = logging.getLogger(__name__)

TOKENIZER_OUTSIDE: Final = (
    "The teacher's file takes ids: its times are without its tokenizer, and those of the student with one."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What a target's turns share.

    Attributes:
        desk: measures its files.
        state: the folder for files that a resumed run takes up.
        probes: grows with each size that is probed; *refused* with each that does not fit.
    """

    target: Target
    desk: Desk
    state: Path
    preparation: Preparation
    run_id: str
    probes: list[ProbeRecord] = field(default_factory=list)
    refused: set[Size] = field(default_factory=set)

    @property
    def cut_for(self) -> str | None:
        """The target's runtime where the student is cut in two files because of it, else None."""
        return self.target.runtime if needs_cut(self.preparation.inlet, self.target.runtime) else None

    def facts(self) -> dict[str, str]:
        """Return the metadata that makes the file alone enough on the board."""
        return self.preparation.facts(self.run_id)

    @property
    def prober(self) -> Prober:
        """What measures sizes before they are trained; it fills *probes* and *refused*."""
        preparation, workshop = self.preparation, self.preparation.workshop
        return Prober(
            target=self.target,
            desk=self.desk,
            state=self.state,
            family=workshop.family,
            shape=workshop.shape,
            inlet=preparation.inlet,
            seed=workshop.seed,
            rows=preparation.task.train,
            facts=self.facts(),
            cut_for=self.cut_for,
            most_bytes=preparation.allowance.most_bytes,
            probes=self.probes,
            refused=self.refused,
        )

    @property
    def delivery(self) -> Delivery:
        """What makes the precisions of a trained student."""
        return Delivery(
            target=self.target,
            preparation=self.preparation,
            facts=self.facts(),
            cut_for=self.cut_for,
        )

    def probe(self, size: Size) -> Verdict:
        """Measure *size* untrained and judge what it costs; see `Prober.probe`."""
        return self.prober.probe(size)

    def turn(self, step: Step, number: int) -> Round:
        """Train the rivals for a chain, export the winner in every precision, measure all, and judge them."""
        preparation = self.preparation
        log.info("round %d: %s", number, step.reason)
        race = self.race(step.chain)
        exported = convert(
            race.winner.trained.module,
            preparation.inlet,
            parity_rows(preparation.task.validation),
            self.state / f"{self.target.name}-round-{number}-{step.chain.end.width}x{step.chain.end.depth}.onnx",
            facts=self.facts(),
            answer=answer,
            cut_for=self.cut_for,
        )
        made, not_made = self.delivery.files(exported, race.winner, race.settings)
        made, profiles, refused = self._timed(made)
        weighed = self.delivery.weigh(made, profiles)
        ships = chosen(weighed)
        if ships.profile.flags and _too_dear(ships.verdict) and step.chain.end not in self.refused:
            # It fitted untrained, and this measurement is not valid by its own flags: another may be.
            log.info("round %d is measured again: %s", number, " ".join(ships.profile.flags))
            weighed = self.delivery.weigh(made, self.desk.in_turn([one.artifact for one in made], again=True))
            ships = chosen(weighed)
        return Round(
            number=number,
            step=step,
            race=race,
            exported=ships.made.plain,
            module=ships.made.module,
            artifact=ships.made.artifact,
            profile=ships.profile,
            validation_accuracy=ships.made.score.accuracy,
            verdict=ships.verdict,
            weighed=weighed,
            not_made=(*not_made, *refused),
        )

    def _timed(self, made: list[Made]) -> tuple[list[Made], tuple[Profile, ...], list[NotMade]]:
        """Time in turn the files that the runtime takes; return them, their profiles, and why it refuses others.

        Raises:
            MeasurementFailed: it takes none.
        """
        try:
            return made, self.desk.in_turn([one.artifact for one in made]), []
        except MeasurementFailed as error:
            reasons = [self.desk.refusal(one.artifact) for one in made]
            if all(reasons):
                raise
            refused = [
                NotMade(precision=one.artifact.precision, reason=f"{reason} (of all: {error})")
                for one, reason in zip(made, reasons, strict=True)
                if reason
            ]
            taken = [one for one, reason in zip(made, reasons, strict=True) if not reason]
            return taken, self.desk.in_turn([one.artifact for one in taken]), refused

    def race(self, chain: Chain) -> Race:
        """Let all ways to train the chain's end compete."""
        return train_best(chain.end, chain.sizes[:-1], self.preparation.curriculum)

    def beside_teacher(self, shipped: Round) -> SideBySide:
        """Time the student, its intermediates and the best teacher in turn in one process, as far as that can be done.

        What cannot be exported or run costs its own figures, a teacher's with a note, and not the finished student.
        """
        between = self._intermediates(shipped)
        note = None
        try:
            teacher, lacks = self._teacher()
        except (ConversionFailed, BadConfiguration) as error:
            teacher, lacks, note = None, None, _not_timed(error)
        ways: list[tuple[dict[Size, Artifact], Fed | None]] = [(between, teacher)]
        if between and teacher:  # one file that fails takes all of a process with it
            ways += [({}, teacher), (between, None)]
        for sizes, above in ways:
            if not sizes and above is None:
                continue
            try:
                student, *rest = self.desk.beside(shipped.artifact, larger=list(sizes.values()), teacher=above)
            except (MeasurementFailed, BadConfiguration) as error:
                log.warning("not timed beside the student, %s: %s", _named(sizes, above), error)
                note = note if above is None else _not_timed(error)
                continue
            return SideBySide(
                student=student,
                teacher=rest[-1] if above else None,
                note=lacks if above else note,
                intermediates={
                    size: Timed(file_bytes=artifact.file_bytes, profile=profile)
                    for (size, artifact), profile in zip(sizes.items(), rest, strict=False)
                },
            )
        return SideBySide(student=shipped.profile, teacher=None, note=note)

    def _teacher(self) -> tuple[Fed | None, str | None]:
        """Return the best teacher as a file, on the student's own sentence, and what its times lack of that.

        The file is None where the teacher is no graph.
        """
        graph = self.preparation.best.teacher.graph()
        if isinstance(graph, TorchGraph):
            path = export_teacher(graph, self.state / "teacher.onnx")
            if graph.tokenizer is None:
                return Fed(path=path, feeds={"input": graph.example.numpy()}), None
            before = self.state / "teacher-tokenizer.json"
            before.write_text(graph.tokenizer, encoding="utf-8")
            return Fed(path=path, feeds=self.desk.row, preprocessing=before), None
        if isinstance(graph, OnnxGraph):
            feeds = graph.feeds if graph.read is None else graph.read(list(self.desk.row[TEXT]))
            return Fed(path=graph.path, feeds=feeds), TOKENIZER_OUTSIDE if graph.tokenized else None
        return None, None

    def _intermediates(self, shipped: Round) -> dict[Size, Artifact]:
        """Export a file of each size that was trained between teacher and student; its time hangs on no weight."""
        files: dict[Size, Artifact] = {}
        for one in shipped.race.intermediates:
            path = self.state / f"{self.target.name}-intermediate-{one.size.width}x{one.size.depth}.onnx"
            if one.size in files:
                continue
            try:
                module, inlet = one.trained.module, self.preparation.inlet
                files[one.size] = save_student(module, inlet, path, facts=self.facts(), cut_for=self.cut_for)
            except ConversionFailed as error:
                log.warning("%s is not timed beside the student: %s", one.size.label, error)
        return files


def _not_timed(error: Exception) -> str:
    return f"The teacher could not be timed beside the student: {error}"


def _named(sizes: Iterable[Size], teacher: Fed | None) -> str:
    return ", ".join([*(size.label for size in sizes), *(["the teacher"] if teacher else [])])


def _too_dear(verdict: Verdict) -> bool:
    """Tell whether a cost is over its limit, whatever the accuracy is."""
    return any(excess(judgement) for judgement in verdict.judgements if judgement.budget not in SHORT)
