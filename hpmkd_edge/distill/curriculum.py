"""All the ways to train one student: component after component, each in a race with what was best before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from numpy.typing import NDArray
from torch import Tensor

from hpmkd_edge.bench.comparison import Gain
from hpmkd_edge.bench.grading import brief, stated
from hpmkd_edge.distill.candidates import Duel, Finding, Finish, Intermediate, Race, Rival, duel, merit, race_of
from hpmkd_edge.distill.configuration import Experience, Settle, Settled
from hpmkd_edge.distill.lesson import Lesson, View
from hpmkd_edge.distill.links import Links, forge
from hpmkd_edge.distill.methods.table import feels_temperature
from hpmkd_edge.distill.mixture import Mixture
from hpmkd_edge.distill.sequential import follow
from hpmkd_edge.distill.stages import StagePlan
from hpmkd_edge.distill.workshop import Assignment, Workshop
from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.plan.chain import Chain, intermediates
from hpmkd_edge.plan.components import Components
from hpmkd_edge.plan.recipe import NEUTRAL
from hpmkd_edge.students.family import Size

# A longer chain costs a training more: it must pay for it (HPM-KD's ε; the paper gives 0.5 to 1 %).
LEAST_GAIN_POINTS: Final = 0.5
LONGEST_CHAIN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """What every student of a run is taught from.

    Attributes:
        untaught: the lesson without a guide.
        teacher: the lesson of the best teacher, by name.
        teachers: name and accuracy on validation rows of each.
        mixtures: of several teachers together.
        labels: of the validation rows, as the lesson has them.
        teacher_parameters: None where the teacher has no such count.
        refuse_weak: whether a teacher that does not beat direct training ends the run, before anything else is trained.
        settle: finds settings for a size; None where the component is off.
        experience: of other tasks, and where what comes of this one is kept.
        schedule: the strategy of the temperature to race with, a name of `distill.temperature.SCHEDULES`.
        stages: of sequential distillation; None where none are asked for.
        maps: gives the best teacher's features for each view, for stages that teach by features.
    """

    workshop: Workshop
    components: Components
    untaught: Lesson
    views: tuple[View, ...]
    teacher: tuple[str, Lesson]
    teachers: tuple[tuple[str, float], ...]
    teacher_parameters: int | None
    refuse_weak: bool
    mixtures: tuple[Mixture, ...]
    labels: NDArray[Any]
    ladder: tuple[Size, ...]
    settle: Settle | None
    experience: Experience
    schedule: str
    stages: StagePlan | None = None
    maps: Callable[[], tuple[Tensor, ...]] = tuple

    @property
    def values(self) -> bool:
        """Whether values are learned."""
        return self.untaught.inlet.scale is not None


def train_best(end: Size, between: Sequence[Size], curriculum: Curriculum) -> Race:
    """Train a student of size *end* in every way that the curriculum has, at equal epochs, and compare them.

    The order is greedy: plain KD against labels alone, then several teachers, then a moving temperature, then a chain
    of intermediates, then stages. Each is built on what was best before it, and competes with it.

    Args:
        between: intermediates that the chain must have; where there are none the chain grows as far as it gains.

    Raises:
        BadTeacher: the teacher is no better than the student trained on labels alone, and that is not accepted.
    """
    return _Course(end, curriculum).run(between)


class _Course:
    """A race in the making."""

    def __init__(self, end: Size, curriculum: Curriculum) -> None:
        self.end, self.curriculum = end, curriculum
        self.workshop = curriculum.workshop
        self.finishes: list[Finish] = []
        self.findings: list[Finding] = []
        self.chains: list[Chain] = []
        self.intermediates: list[Intermediate] = []
        self.recipe = NEUTRAL

    def run(self, between: Sequence[Size]) -> Race:
        curriculum = self.curriculum
        self.check_teachers()
        settled = self.configure()
        alone = Rival(name="direct", lesson=curriculum.untaught, settings=None if settled is None else settled.alone)
        plain = Rival(name=curriculum.teacher[0], lesson=curriculum.teacher[1])
        together = [Rival(name=mixture.name, lesson=mixture.lesson) for mixture in curriculum.mixtures]
        if settled is None:
            self.train([alone, plain, *together])
        else:  # plain KD by the chosen settings is what the last short race trained
            self.train([alone, *together])
            self.finishes.insert(1, Finish(rival=plain, trained=settled.trained))
        self.weigh_teachers()
        self.move_temperature()
        self.grow_chain(between)
        self.follow_stages()
        return race_of(
            self.finishes,
            curriculum.labels,
            seed=self.workshop.seed,
            findings=self.findings,
            settings=self.workshop.settings,
            chains=self.chains,
            intermediates=self.intermediates,
        )

    @property
    def best(self) -> Finish:
        """The best on validation rows of all that have a teacher."""
        return max((finish for finish in self.finishes[1:] if finish.eligible), key=merit)

    def train(self, rivals: Sequence[Rival]) -> None:
        """Train *rivals* side by side."""
        trained = self.workshop.train_all(
            [
                Assignment(
                    size=self.end,
                    lesson=rival.lesson,
                    label=f"{self.end.label}: {rival.name}",
                    settings=rival.settings,
                    start=rival.start,
                )
                for rival in rivals
            ]
        )
        self.finishes += [Finish(rival=rival, trained=one) for rival, one in zip(rivals, trained, strict=True)]

    def say(self, component: str, sentence: str, duel: Duel | None = None) -> None:
        """Keep what a component did."""
        self.findings.append(Finding(component=component, sentence=sentence, duel=duel))

    def compare(self, of: Finish, over: Finish) -> Duel:
        """Compare two finishers on the validation rows."""
        return duel(of, over, self.curriculum.labels, seed=self.workshop.seed)

    def configure(self) -> Settled | None:
        """Let the configuration manager choose the settings that all rivals share; None where it is off."""
        settle = self.curriculum.settle
        if settle is None:
            return None
        settled = settle(self.end, self.curriculum.teacher[1], self.workshop)
        self.workshop, self.recipe = replace(self.workshop, settings=settled.settings), settled.recipe
        self.say("configuration", settled.sentence)
        return settled

    def check_teachers(self) -> None:
        """Refuse teachers that do not beat the student trained on labels alone, by the task's own settings."""
        if not self.curriculum.refuse_weak:
            return
        direct = self.workshop.train(self.end, self.curriculum.untaught, f"{self.end.label}: direct").accuracy
        values, teachers = self.curriculum.values, self.curriculum.teachers
        weak = [f"{name} has {brief(accuracy, values=values)}" for name, accuracy in teachers if accuracy <= direct]
        if weak:
            raise BadTeacher(
                f"{', '.join(weak)} {'on' if values else 'of the'} validation rows, and the student {self.end.label}"
                f" has {brief(direct, values=values)} without a teacher. Leave {'them' if len(weak) > 1 else 'it'} out,"
                " train longer (--epochs), or go on with"
                " --accept-weak-teacher."
            )

    def weigh_teachers(self) -> None:
        """Say what several teachers together are worth beside the best one."""
        together = self.finishes[2:]
        if together:
            best, worth = max(together, key=merit), self.curriculum.mixtures[-1].worth
            shares = ", ".join(f"{share:.0%}" for share in worth.mean_weights) if worth is not None else "equal"
            if self.curriculum.values:
                shares += ", as always for values"
            self.say("attention", f"shares {shares}; {best.rival.name} is best", self.compare(best, self.finishes[1]))

    def move_temperature(self) -> None:
        """Train once more on the best lesson, with a temperature that moves."""
        curriculum, best = self.curriculum, self.best
        settings = best.rival.settings or self.workshop.settings
        if not curriculum.components.uses("temperature"):
            return
        if not feels_temperature(settings.method):
            self.say("temperature", f"the loss {settings.method} has no temperature")
            return
        if curriculum.schedule == settings.schedule:
            self.say("temperature", f"{settings.schedule}, as asked: nothing to race")
            return
        moving = replace(settings, schedule=curriculum.schedule)
        self.train([replace(best.rival, name=f"{best.rival.name}, T by {curriculum.schedule}", settings=moving)])
        moved = self.finishes[-1].trained
        heats = moved.temperatures
        compared = self.compare(self.finishes[-1], best)
        self.say("temperature", f"{moved.schedule}, T from {heats[0]:.2f} to {heats[-1]:.2f}", compared)
        won = moved.schedule if self.best is self.finishes[-1] else settings.schedule
        curriculum.experience.remember(
            self.end,
            self.recipe,
            replace(settings, schedule=won),
            accuracy=self.best.trained.accuracy,
            seconds=moved.seconds,
        )

    def grow_chain(self, between: Sequence[Size]) -> None:
        """Put intermediates between teacher and student, one more as long as the final student gains by it."""
        curriculum, head = self.curriculum, self.best
        if between:
            self.link(tuple(between), head, head)
        elif curriculum.components.uses("chain"):
            shorter = head
            for count in range(1, LONGEST_CHAIN + 1):
                sizes = intermediates(curriculum.ladder, self.end, curriculum.teacher_parameters, count)
                if sizes is None:
                    self.say("chain", f"the ladder has no room for {count} between teacher and student")
                    return
                gain = self.link(sizes, head, shorter)
                if gain is None:
                    return
                if gain.points < LEAST_GAIN_POINTS or gain.low <= 0:
                    # It costs a training more each time: kept only where it gains ε and more than its noise.
                    self.finishes[-1] = replace(self.finishes[-1], eligible=False)
                    return
                shorter = self.finishes[-1]

    def link(self, sizes: tuple[Size, ...], head: Finish, shorter: Finish) -> Gain | None:
        """Train a chain through *sizes*, taught as *head* was; return its gain over *shorter*, None if cut short."""
        direct, curriculum = self.finishes[0].trained.accuracy, self.curriculum
        workshop = replace(self.workshop, settings=head.rival.settings or self.workshop.settings)
        links = forge(sizes, self.end, head.rival.lesson, workshop, least=direct)
        if links.weak is not None:
            weak = links.weak
            self.say(
                "chain",
                f"{weak.size.label} has {stated(weak.trained.accuracy, values=curriculum.values)}, no more than the"
                f" student on labels alone ({brief(direct, values=curriculum.values)}): it does not teach",
            )
        if not links.members:
            self.keep_intermediates(links, None)
            return None
        names = ", ".join(member.size.label for member in links.members)
        rival = replace(head.rival, name=f"chain through {names}", lesson=links.lesson, start=links.start)
        self.keep_intermediates(links, rival.name)
        self.train([rival])
        self.chains.append(Chain(sizes=(*sizes, self.end)))
        compared = self.compare(self.finishes[-1], shorter)
        began = f"begun from {links.start.source}'s weights" if links.start else "begun from random weights"
        self.say("chain", f"through {names}, {began}", compared)
        return compared.gain if links.weak is None else None

    def keep_intermediates(self, links: Links, rival: str | None) -> None:
        """Keep what was trained for a chain, and which *rival* it led to."""
        trained = [*links.members, *([] if links.weak is None else [links.weak])]
        self.intermediates += [
            Intermediate(size=one.size, trained=one.trained, taught=one is not links.weak, rival=rival)
            for one in trained
        ]

    def follow_stages(self) -> None:
        """Teach by one loss after the other, where stages are asked for."""
        curriculum, single = self.curriculum, self.finishes[1]
        if curriculum.stages is None:
            return
        trained = follow(curriculum.stages, self.end, single.rival.lesson, self.workshop, curriculum.maps)
        names = ", ".join(stage.method for stage in curriculum.stages.stages)
        self.finishes.append(Finish(rival=replace(single.rival, name=f"stages {names}", method=names), trained=trained))
        self.say("stages", f"{names}, over one stage of as many epochs", self.compare(self.finishes[-1], single))
