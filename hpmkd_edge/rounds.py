"""One turn of the loop, with everything that it made, and what a record keeps of it and of its race."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from torch import nn

from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.delivery import NotMade, Weighed
from hpmkd_edge.distill.candidates import Duel, Finish, Intermediate, Race
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.plan.chain import Chain, Step
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.record import (
    ComponentRecord,
    GainRecord,
    MemberRecord,
    PrecisionRecord,
    RivalRecord,
    RoundRecord,
)
from hpmkd_edge.students.family import Size
from hpmkd_edge.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A file's size and times."""

    file_bytes: int
    profile: Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One turn of the loop, with everything that it made.

    Attributes:
        exported: the student's file in fp32; *artifact* is what would ship, *module* the weights behind both.
        weighed: its files in all precisions; *not_made* are those that it cannot have.
    """

    number: int
    step: Step
    race: Race
    exported: Artifact
    module: nn.Module
    artifact: Artifact
    profile: Profile
    validation_accuracy: float
    verdict: Verdict
    weighed: tuple[Weighed, ...] = ()
    not_made: tuple[NotMade, ...] = ()

    @property
    def chain(self) -> Chain:
        """The sizes that were trained."""
        return self.step.chain

    def record(self, timed: Mapping[Size, Timed] | None = None) -> RoundRecord:
        """Return what a report keeps of it; *timed* are its intermediates, as far as they were, by size."""
        parity = self.exported.parity
        assert parity is not None
        return RoundRecord(
            number=self.number,
            reason=self.step.reason,
            chain=tuple(size.label for size in self.chain.sizes),
            **race_record(self.race),
            parity_agreement=parity.agreement,
            parity_max_error=parity.max_error,
            precisions=(
                *(_precision_record(one, ships=self.artifact.precision) for one in self.weighed),
                *(PrecisionRecord(precision=one.precision, how=f"not made: {one.reason}") for one in self.not_made),
            ),
            members=tuple(_member_record(one, (timed or {}).get(one.size)) for one in self.race.intermediates),
            verdict=self.verdict,
        )


def _precision_record(weighed: Weighed, *, ships: str) -> PrecisionRecord:
    made, change, profile = weighed.made, weighed.change, weighed.profile
    parity = made.artifact.parity
    return PrecisionRecord(
        precision=made.artifact.precision,
        how=made.how,
        file_bytes=made.artifact.file_bytes,
        accuracy=made.score.accuracy,
        loss=made.score.loss,
        agreement=parity.agreement if parity else None,
        max_error=parity.max_error if parity else None,
        p50_ms=profile.p50_ms,
        p90_bound_ms=profile.percentile_bound_ms(90),
        over_fp32=change.ratio if change else None,
        low=change.low if change else None,
        high=change.high if change else None,
        broken=tuple(one.budget for one in weighed.verdict.judgements if one.outcome is Outcome.BROKEN),
        lossy=weighed.lossy,
        slower=weighed.slower,
        ships=made.artifact.precision == ships,
        host=profile.host.name,
    )


def _member_record(one: Intermediate, timed: Timed | None) -> MemberRecord:
    return MemberRecord(
        size=one.size.label,
        parameters=one.size.parameters,
        validation_accuracy=one.trained.accuracy,
        taught=one.taught,
        rival=one.rival,
        file_bytes=timed.file_bytes if timed else None,
        p50_ms=timed.profile.p50_ms if timed else None,
        p90_bound_ms=timed.profile.percentile_bound_ms(90) if timed else None,
        host=timed.profile.host.name if timed else None,
    )


class RaceFields(TypedDict):
    """What every record of a race has."""

    rivals: tuple[RivalRecord, ...]
    gains: tuple[GainRecord, ...]
    components: tuple[ComponentRecord, ...]
    settings: tuple[tuple[str, str], ...]


def race_record(race: Race) -> RaceFields:
    """Return what a record keeps of *race*."""
    return RaceFields(
        rivals=tuple(
            RivalRecord(
                name=finish.rival.name,
                method=_method_of(finish, race.settings),
                epochs=finish.trained.epochs,
                validation_accuracy=finish.trained.accuracy,
                validation_loss=finish.trained.loss,
                seconds=finish.trained.seconds,
                won=finish is race.winner,
                began=finish.rival.start.source if finish.rival.start else "random",
                temperatures=finish.trained.temperatures,
                losses=finish.trained.losses,
                accuracies=finish.trained.accuracies,
            )
            for finish in race.finishes
        ),
        gains=tuple(_gain_record(duel) for duel in race.duels),
        components=tuple(
            ComponentRecord(
                component=finding.component,
                sentence=finding.sentence,
                gain=None if finding.duel is None else _gain_record(finding.duel),
            )
            for finding in race.findings
        ),
        settings=race.settings.as_text(),
    )


def _method_of(finish: Finish, shared: Settings) -> str:
    if not finish.rival.lesson.guides:
        return "labels"
    return finish.rival.method or (finish.rival.settings or shared).method


def _gain_record(duel: Duel) -> GainRecord:
    return GainRecord(
        of=duel.of,
        over=duel.over,
        points=duel.gain.points,
        low=duel.gain.low,
        high=duel.gain.high,
        verdict=duel.gain.verdict,
    )
