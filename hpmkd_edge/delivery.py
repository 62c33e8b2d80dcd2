"""One trained student in every precision that its target takes: made, compared, weighed, and one of them chosen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from torch import nn

from hpmkd_edge.accuracy_curve import least_at
from hpmkd_edge.bench.change import Change, change_between
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.bench.scoring import Score, answer, score
from hpmkd_edge.distill.candidates import Finish
from hpmkd_edge.distill.quantization_link import train_quantized
from hpmkd_edge.entrance import entering, evenly, form_for, parity_rows
from hpmkd_edge.errors import BadConfiguration, BadStudent, ConversionFailed, MeasurementFailed, TrainingFailed
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.export.conversion import convert
from hpmkd_edge.export.parity import compare_files
from hpmkd_edge.export.passes.calibration import told
from hpmkd_edge.export.passes.half import halve
from hpmkd_edge.export.precision import Int8, best_int8
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.preparation import Preparation
from hpmkd_edge.targets import AccuracyLimit, Precision, Target
from hpmkd_edge.verdict import TOLERANCE, Judgement, Outcome, Provenance, Verdict, judge, provenance_of

CALIBRATION_ROWS: Final = 512
# What int8 may lose against fp32 where the budget leaves more room: it is a rounding, and not another model.
MOST_LOST: Final = 0.005

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file of the student in one precision.

    Attributes:
        plain: the fp32 file that it was made from; itself where that is it.
        module: the weights behind it.
        how: a phrase: "exported", "calibrated by entropy", …
        score: on validation rows.
    """

    artifact: Artifact
    plain: Artifact
    module: nn.Module
    how: str
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMade:
    """A precision that this student cannot have."""

    precision: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A file with what it costs, and whether it may ship.

    Attributes:
        change: its median time against the fp32 file's, timed in turn; None for that file itself.
        verdict: on validation rows.
        lossy: whether it loses more against fp32 than int8 may; see `Delivery.most_lost`.
        slower: whether it is slower than fp32 on the target, as far as that was measured.
    """

    made: Made
    profile: Profile
    change: Change | None
    verdict: Verdict
    lossy: bool
    slower: bool

    @property
    def broken(self) -> int:
        """How many budgets it breaks."""
        return sum(one.outcome is Outcome.BROKEN for one in self.verdict.judgements)


def in_order(target: Target) -> tuple[Precision, ...]:
    """Return the precisions to try, as the target lists them; fp32, which runs everywhere, last where it is not."""
    return target.precisions if "fp32" in target.precisions else (*target.precisions, "fp32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What every student of a target is delivered with.

    Attributes:
        facts: of each file's metadata.
        cut_for: the runtime of the second of two files, or None for one file.
    """

    target: Target
    preparation: Preparation
    facts: Mapping[str, str]
    cut_for: str | None

    def files(self, fp32: Artifact, finish: Finish, shared: Settings) -> tuple[list[Made], list[NotMade]]:
        """Return the student's files in the order in which they are tried, and the precisions that it cannot have.

        Args:
            fp32: its export.
            finish: how it was trained; *shared* are the settings of its race.

        Raises:
            ParityBroken: a file does not answer as the fp32 file does.
            Interrupted: the user asked to stop; the state is saved.
        """
        module = finish.trained.module
        exported = Made(artifact=fp32, plain=fp32, module=module, how="exported", score=self._scored(fp32))
        made: list[Made] = []
        failed: list[NotMade] = []
        for precision in in_order(self.target):
            one = exported if precision == "fp32" else self._made(precision, exported, finish, shared)
            if isinstance(one, NotMade):
                failed.append(one)
            else:
                made.append(one)
        return made, failed

    def _made(self, precision: Precision, exported: Made, finish: Finish, shared: Settings) -> Made | NotMade:
        try:
            return self._halved(exported) if precision == "fp16" else self._int8(exported, finish, shared)
        except (ConversionFailed, MeasurementFailed) as error:
            log.warning("%s is not made: %s", precision, error)
            return NotMade(precision=precision, reason=str(error))

    def _halved(self, exported: Made) -> Made:
        path = _beside(exported.artifact, "fp16")
        halve(exported.artifact.path, path)
        return self._compared(exported, path, "fp16", "weights and inner values in float16")

    def _int8(self, exported: Made, finish: Finish, shared: Settings) -> Made:
        """Return the int8 file after calibration; where that loses too much, the better of it and a trained one."""
        path, most = _beside(exported.artifact, "int8"), self.most_lost(exported)
        found = self._calibrated(exported, path, most)
        calibrated = self._compared(exported, path, "int8", _how(found))
        if not found.kept and exported.score.accuracy - found.accuracy <= most:
            return calibrated
        try:
            aware = self._aware(exported, finish, shared, most)
        except (BadStudent, TrainingFailed) as error:
            log.warning("the student is not trained for int8: %s", error)
            return calibrated
        return max(calibrated, aware, key=lambda one: (one.score.accuracy, -one.score.loss))

    def _aware(self, exported: Made, finish: Finish, shared: Settings, most: float) -> Made:
        workshop, rival = self.preparation.workshop, finish.rival
        path = _beside(exported.artifact, "aware-int8")
        trained = train_quantized(
            finish.trained.module,
            rival.lesson,
            rival.settings or shared,
            form=form_for(self.target),
            seed=workshop.seed,
            # Of these weights: a resumed run may come to others in a round of the same number.
            saved=path.with_name(f"{path.stem}-{exported.artifact.sha256[:12]}.pt"),
            stop=workshop.stop,
            label=f"{rival.name}, for int8",
            calibration_rows=evenly(self.preparation.task.train, CALIBRATION_ROWS),
            tell=workshop.teller(f"{rival.name}, for int8", exported.artifact.sha256),
        )
        plain = convert(
            trained.module,
            self.preparation.inlet,
            parity_rows(self.preparation.task.validation),
            _beside(exported.artifact, "aware"),
            facts=self.facts,
            answer=answer,
            cut_for=self.cut_for,
        )
        source = Made(artifact=plain, plain=plain, module=trained.module, how="", score=self._scored(plain))
        found = self._calibrated(source, path, most - (exported.score.accuracy - source.score.accuracy))
        return self._compared(source, path, "int8", f"trained for int8, {_how(found)}")

    def _calibrated(self, source: Made, path: Path, most_drop: float) -> Int8:
        return best_int8(
            source.artifact.path,
            path,
            feeds=entering(source.artifact, evenly(self.preparation.task.train, CALIBRATION_ROWS)),
            form=form_for(self.target),
            loss_of=lambda tried: _of(self._scored(replace(source.artifact, path=tried))),
            most_drop=most_drop,
        )

    def _compared(self, exported: Made, path: Path, precision: Precision, how: str) -> Made:
        """Compare a file with the fp32 file that it was made from on real rows, and score it."""
        origin, rows = exported.artifact, self.preparation.task.validation
        parity = compare_files(
            path,
            origin.path,
            entering(origin, parity_rows(rows)),
            precision=precision,
            answer=answer,
            scale=self.preparation.inlet.scale,
        )
        artifact = replace(origin, path=path, precision=precision, parity=parity)
        return Made(artifact=artifact, plain=origin, module=exported.module, how=how, score=self._scored(artifact))

    def most_lost(self, exported: Made) -> float:
        """Return how much accuracy, or R², int8 may lose: half a point, and no more than the budgets leave.

        Of `accuracy_for_size` it is the least at the size of *exported*: the int8 file, which is not made yet, will be
        smaller, and of a smaller file no more is asked.
        """
        limit, best = self._quality_limit(), self.preparation.best.accuracy
        floors = [] if limit is None else [limit.min, None if limit.max_drop is None else best - limit.max_drop]
        if (curve := self.target.budgets.accuracy_for_size) is not None:
            floors.append(least_at(curve, exported.artifact.file_bytes / 1e6))
        spare = exported.score.accuracy - max((floor for floor in floors if floor is not None), default=0.0)
        # A student that misses the budget anyway is not asked for more than others.
        return min(MOST_LOST, spare) if spare >= 0 else MOST_LOST

    def _quality_limit(self) -> AccuracyLimit | None:
        """Return the limit on accuracy that the verdict will judge by, whatever the size; of values it is R²'s."""
        budgets = self.target.budgets
        if self.preparation.task.goal == "classes":
            return budgets.accuracy
        if budgets.r2 is not None:
            return budgets.r2
        drop = budgets.accuracy.max_drop if budgets.accuracy else None
        return None if drop is None else AccuracyLimit(max_drop=drop)

    def _scored(self, artifact: Artifact) -> Score:
        rows = self.preparation.task.validation
        return score(artifact.path, rows.inputs.feeds(), rows.labels, preprocessing=artifact.preprocessing)

    def weigh(self, made: Sequence[Made], profiles: Sequence[Profile]) -> tuple[Weighed, ...]:
        """Judge each file on validation rows.

        Args:
            made: the fp32 file among them, unless the runtime refuses it.
            profiles: of the files, timed in turn, or handed in.
        """
        pairs = list(zip(made, profiles, strict=True))
        plain = next((pair for pair in pairs if pair[0].artifact.precision == "fp32"), None)
        return tuple(self._weighed(*pair, plain) for pair in pairs)

    def _weighed(self, made: Made, profile: Profile, plain: tuple[Made, Profile] | None) -> Weighed:
        scored = made.score
        change = None if plain is None or made is plain[0] else _change(plain[1], profile)
        # What is slower on this machine may be faster on another.
        there = provenance_of(profile, self.target) is not Provenance.UNKNOWN
        verdict = judge(
            self.target,
            profile=profile,
            model_bytes=made.artifact.file_bytes,
            accuracy=scored.accuracy,
            teacher_accuracy=self.preparation.best.accuracy,
            goal=self.preparation.task.goal,
            mae=scored.misses.mae if scored.misses else None,
        )
        return Weighed(
            made=made,
            profile=profile,
            change=change,
            verdict=with_compression(verdict, made.artifact.file_bytes, self.preparation.allowance.most_bytes),
            lossy=plain is not None
            and plain[0].score.accuracy - scored.accuracy > self.most_lost(plain[0]) + TOLERANCE,
            slower=there and change is not None and change.low > 1,
        )


def chosen(weighed: Sequence[Weighed]) -> Weighed:
    """Return what ships: fewest broken budgets, then what loses little, then what is not slower, then the first."""
    return min(weighed, key=lambda one: (one.broken, one.lossy, one.slower))


def with_compression(verdict: Verdict, file_bytes: int, most_bytes: float | None) -> Verdict:
    """Judge the file against the least compression too, where bytes decide it.

    Args:
        most_bytes: that the file may have; None where parameters decide.
    """
    if most_bytes is None:
        return verdict
    found, limit = file_bytes / 1e6, most_bytes / 1e6
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


def _change(plain: Profile, profile: Profile) -> Change | None:
    """Compare times; None where the records are not of one machine, as where one was handed in."""
    try:
        return change_between(plain, profile)
    except BadConfiguration:
        return None


def _how(found: Int8) -> str:
    kept = f", {', '.join(found.kept)} kept in float32" if found.kept else ""
    return f"{told(found.calibration)}{kept}"


def _of(scored: Score) -> tuple[float, float]:
    return scored.accuracy, scored.loss


def _beside(artifact: Artifact, ending: str) -> Path:
    return artifact.path.with_name(f"{artifact.path.stem}-{ending}.onnx")
