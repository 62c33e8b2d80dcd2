"""Where students are trained: one alone or several side by side, each training kept under what decides its outcome."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from threading import Event
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from hpmkd_edge import kernels
from hpmkd_edge.distill.epochs import epochs_of
from hpmkd_edge.distill.executors import WORTH_PROCESSES_S, InProcess
from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.pipeline import Executor, Job, Rates, run_jobs
from hpmkd_edge.distill.step import PLAIN, StepPlan
from hpmkd_edge.distill.tabular_link import may_compile
from hpmkd_edge.distill.torch_link import Trained, train_link, trains_alone
from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.store.objects import Store
from hpmkd_edge.students.effort import effort_of
from hpmkd_edge.students.family import Family, Shape, Size
from hpmkd_edge.students.inherit import Start, begin, digest_of_weights
from hpmkd_edge.students.mlp import linear_layers
from hpmkd_edge.students.text_inlet import TextInlet
from hpmkd_edge.tracking.journal import Journal, Tell, nobody

log = logging.getLogger(__name__)

# Of one thread of an AMD EPYC: seconds for a multiply-add of a residual student's training, and what a step costs
# beside its arithmetic, in multiply-adds. They decide whether worker processes are worth their start, and for that need
# not be right on other machines, but always the same: a training on other numbers of threads rounds differently.
USUAL_S: Final = 6e-11
STEP_COST: Final = 2e7
UPDATE_COST: Final = 30  # multiply-adds that AdamW's update of a parameter takes as long as: it waits for memory
CURVES: Final = ("losses", "accuracies", "temperatures")


def _plain(_family: Family, _size: Size) -> StepPlan:
    return PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One training that is asked for.

    Attributes:
        label: for bars and logs.
        settings: None for the workshop's own.
        start: weights to begin from; None for random ones.
        may_fail: whether a loss that is no longer finite ends this training alone, and not the run.
    """

    size: Size
    lesson: Lesson
    label: str
    settings: Settings | None = None
    start: Start | None = None
    may_fail: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An assignment with all that is needed to carry it out; see `carry_out`.

    Attributes:
        compiled: whether the loops of `tabular_link` train it.
        tell: called with each epoch, in whichever process this is; it changes no outcome.
    """

    family: Family
    shape: Shape
    seed: int
    assignment: Assignment
    settings: Settings
    plan: StepPlan
    threads: int
    compiled: bool
    saved: Path
    tell: Tell


def carry_out(_context: object, stop: Callable[[], bool], order: Order, module: nn.Module | None = None) -> str | None:
    """Train what *order* says, in whichever process this is; its state file holds the outcome.

    Args:
        module: what `build` makes of the order, or None to make it here.

    Returns:
        Why the training failed, where it did and may.
    """
    try:
        _train(order, stop, module or build(order))
    except TrainingFailed as error:
        if not order.assignment.may_fail:
            raise
        return str(error)
    return None


def build(order: Order) -> nn.Module:
    """Return the student of *order* with the weights that it begins with."""
    asked = order.assignment
    return begin(order.family.build(asked.size, order.shape, order.seed), asked.start)


def _train(order: Order, stop: Callable[[], bool], module: nn.Module) -> Trained:
    asked = order.assignment
    return train_link(
        module,
        asked.lesson,
        order.settings,
        seed=order.seed,
        saved=order.saved,
        stop=stop,
        label=asked.label,
        plan=order.plan,
        threads=order.threads,
        tell=order.tell,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every training of a run shares.

    Attributes:
        seed: of weights and order.
        folder: where the states of trainings under way lie, one file each, named by content.
        stop: asked after each epoch.
        store: where finished trainings are kept between runs, or None.
        executor: carries out several assignments at once.
        workers: how many at most; the threads are divided among those that are used.
        plan_of: how a step of a size is computed.
        rates: learns how long trainings take, for the progress bar and the order of jobs.
        spent: grows with the seconds of each training, also of one that was found: by its key.
        journal: where epochs are written down for those who follow the run; None where nobody does.
    """

    family: Family
    shape: Shape
    settings: Settings
    seed: int
    folder: Path
    stop: Callable[[], bool]
    store: Store | None = None
    executor: Executor = field(default_factory=InProcess)
    workers: int = 1
    plan_of: Callable[[Family, Size], StepPlan] = _plain
    rates: Rates = field(default_factory=Rates)
    spent: dict[str, float] = field(default_factory=dict)
    journal: Journal | None = None

    def teller(self, label: str, key: str) -> Tell:
        """Return what is to be told of each epoch of the training called *label*, whose name by content is *key*."""
        return nobody if self.journal is None else self.journal.teller(label, key)

    def train(self, size: Size, lesson: Lesson, label: str, *, start: Start | None = None) -> Trained:
        """Train one student of *size*, or take up or read back the training that folder or store hold.

        Raises:
            TrainingFailed: the loss is no longer finite.
            Interrupted: *stop* said so; the state is saved.
        """
        return self.train_all([Assignment(size=size, lesson=lesson, label=label, start=start)])[0]

    def train_all(self, assignments: Sequence[Assignment]) -> tuple[Trained, ...]:
        """Carry out independent *assignments*, none of which may fail; see `attempt_all`."""
        trained = self.attempt_all(assignments)
        return tuple(one for one in trained if one is not None)

    def attempt_all(self, assignments: Sequence[Assignment]) -> tuple[Trained | None, ...]:
        """Carry out independent *assignments*, side by side where there are workers for it.

        Whether they go side by side, and so the threads of each, follows from the assignments alone, not from a clock
        nor from how many are found finished: a run that is taken up computes what an unbroken one does.

        Returns:
            The trainings in their order; None for one that has failed and may.

        Raises:
            TrainingFailed: the loss of one that may not fail is no longer finite; the others are stopped.
            Interrupted: *stop* said so; the states are saved.
        """
        orders, beside = self._orders(assignments)
        ended = {order.saved: self._find(order) for order in orders}
        missing = {order.saved: order for order in orders if ended[order.saved] is None and not self._has_failed(order)}
        in_threads = [order for order in missing.values() if order.compiled]
        alone = [order for order in missing.values() if not order.compiled]
        if len(in_threads) > 1 and self.workers > 1:
            self._in_threads(in_threads)
        if len(alone) > 1 and beside > 1:
            self._side_by_side(alone)
        for order in missing.values():
            ended[order.saved] = self._finished(order)
        return tuple(ended[order.saved] for order in orders)

    def _in_threads(self, orders: Sequence[Order]) -> None:
        """Train *orders* by compiled loops, which let go of the interpreter; their states are left in the folder."""
        broken = Event()
        # Here and not in the threads: weights are drawn from the process's one generator.
        modules = [build(order) for order in orders]

        def stopped() -> bool:
            return self.stop() or broken.is_set()

        def attempt(order: Order, module: nn.Module) -> str | None:
            try:
                if stopped():
                    raise Interrupted(f"{order.assignment.label}: stopped before it began.")
                return carry_out(None, stopped, order, module)
            except BaseException:
                broken.set()  # the others save their states and stop
                raise

        with ThreadPoolExecutor(min(self.workers, len(orders))) as pool:
            ended = [pool.submit(attempt, *one) for one in zip(orders, modules, strict=True)]
        errors = [error for one in ended if (error := one.exception()) is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, Interrupted)):
            raise error  # what broke, not those that were stopped for it
        for order, failure in zip(orders, (one.result() for one in ended), strict=True):
            if failure is not None:
                log.warning("%s", failure)
                self._note_failure(order.saved.stem, failure)

    def _side_by_side(self, orders: Sequence[Order]) -> None:
        """Carry out *orders* in worker processes; which process does the work changes no outcome."""
        named: dict[str, Order] = {}
        for order in orders:
            label = order.assignment.label
            alike = (f"{label} ({count})" for count in itertools.count(2))
            named[next(name for name in itertools.chain([label], alike) if name not in named)] = order
        jobs = [
            Job(
                name=name,
                call=carry_out,
                arguments=(order,),
                estimate_s=_arithmetic(order) * USUAL_S,
                kind="training",
                units=_arithmetic(order),
            )
            for name, order in named.items()
        ]
        ended = run_jobs(jobs, self.executor, rates=self.rates, stop=self.stop, label="train side by side")
        for name, failure in ended.items():
            if failure is not None:
                log.warning("%s", failure)
                self._note_failure(named[name].saved.stem, str(failure))

    def _orders(self, assignments: Sequence[Assignment]) -> tuple[list[Order], int]:
        """Return the orders of *assignments*, and how many go side by side in processes, each on its threads."""
        orders = [self._order(assignment, torch.get_num_threads()) for assignment in assignments]
        beside = _beside([order for order in orders if not order.compiled], self.workers)
        each = max(1, torch.get_num_threads() // beside)
        return [self._order(assignment, each) for assignment in assignments] if beside > 1 else orders, beside

    def _order(self, assignment: Assignment, most_threads: int) -> Order:
        settings, lesson, size = assignment.settings or self.settings, assignment.lesson, assignment.size
        compiled = may_compile(lesson, settings) and bool(linear_layers(self.family.build(size, self.shape, self.seed)))
        plan = PLAIN if compiled else self.plan_of(self.family, size)
        threads = 1 if compiled or trains_alone(lesson, settings, size.parameters) else most_threads
        start = "random" if assignment.start is None else digest_of_weights(assignment.start.weights)
        read = "" if self.shape.lexicon is None else f" reading {self.shape.lexicon.digest}"
        student = f"{self.family.digest} {size}{read} from {start}{' compiled' if compiled else ''}"
        key = key_of(lesson, settings, seed=self.seed, student=student, plan=plan, threads=threads)
        return Order(
            family=self.family,
            shape=self.shape,
            seed=self.seed,
            assignment=assignment,
            settings=settings,
            plan=plan,
            threads=threads,
            compiled=compiled,
            saved=self.folder / f"{key}.pt",
            tell=self.teller(assignment.label, key),
        )

    def _find(self, order: Order) -> Trained | None:
        """Return the training from the store, if it is there."""
        path = self.store.find(order.saved.stem, kind="training") if self.store is not None else None
        if path is None:
            return None
        try:
            kept = torch.load(path, weights_only=True)
        except FileNotFoundError:  # evicted by another process just now: as good as never kept
            return None
        module = self.family.build(order.assignment.size, self.shape, self.seed)
        module.load_state_dict(kept.pop("weights"))
        logits = np.asarray(kept.pop("logits").numpy(), np.float32)
        curves: dict[str, Any] = {name: tuple(kept.pop(name)) for name in CURVES}
        for epoch in epochs_of(**curves, settings=order.settings, rows=len(order.assignment.lesson.labels)):
            order.tell(epoch)
        trained = Trained(module=module.eval(), logits=logits, **curves, **kept)
        self.spent[order.saved.stem] = trained.seconds
        return trained

    def _finished(self, order: Order) -> Trained | None:
        """Train here what is not finished yet, and keep it; return None where it fails and may, now or before."""
        if self._has_failed(order):
            return None
        try:
            trained = _train(order, self.stop, build(order))
        except TrainingFailed as error:
            if not order.assignment.may_fail:
                raise
            log.warning("%s", error)
            self._note_failure(order.saved.stem, str(error))
            return None
        self._keep(order, trained)
        return trained

    def _has_failed(self, order: Order) -> bool:
        return order.assignment.may_fail and self._failed(order.saved.stem)

    def _failed(self, key: str) -> bool:
        """Tell whether the training of *key* is known to fail."""
        if self.store is None:
            return self._failure(key).exists()
        return self.store.find(key, kind="failure") is not None

    def _note_failure(self, key: str, sentence: str) -> None:
        """Keep that the training of *key* fails, so that it is not tried again."""
        if self.store is None:
            self._failure(key).write_text(sentence, encoding="utf-8")
        else:
            text = f"{key}: {sentence}"  # two trainings may fail alike, and are two facts
            self.store.put(key, lambda path: path.write_text(text, encoding="utf-8"), kind="failure", suffix=".txt")

    def _failure(self, key: str) -> Path:
        return self.folder / f"{key}.failed"

    def _keep(self, order: Order, trained: Trained) -> None:
        """Put a finished training into the store."""
        self.spent[order.saved.stem] = trained.seconds
        if self.store is not None:
            kept: dict[str, object] = {
                "weights": trained.module.state_dict(),
                "logits": torch.from_numpy(trained.logits),
                **{name: list(getattr(trained, name)) for name in CURVES},
            }
            for name in ("accuracy", "loss", "best_epoch", "epochs", "seconds", "schedule"):
                kept[name] = getattr(trained, name)
            self.store.put(order.saved.stem, lambda path: torch.save(kept, path), kind="training", suffix=".pt")


def _arithmetic(order: Order) -> float:
    """Return about how many multiply-adds a training does, its steps' own cost among them.

    A convolutional network of p parameters does about p·H·W/7 an image; see `first_teacher.teacher_size`.
    """
    asked, settings = order.assignment, order.settings
    inlet, parameters = asked.lesson.inlet, asked.size.parameters
    steps = settings.epochs * max(1, len(asked.lesson.labels) // settings.batch)
    if isinstance(inlet, TextInlet):  # most of its student's parameters are embeddings, which are only updated
        pieces = float(inlet.lengths(asked.lesson.views[0]).float().mean())
        a_row = effort_of(order.family, asked.size, order.shape).macs * pieces / inlet.length
        return steps * (STEP_COST + UPDATE_COST * parameters + settings.batch * a_row)
    places = prod(inlet.features[1:]) / 7 if len(inlet.features) == 3 else 1.0
    return steps * (STEP_COST + settings.batch * parameters * places)


def _beside(orders: Sequence[Order], workers: int) -> int:
    """Return how many of *orders* go side by side: 1 where worker processes are not worth their start."""
    distinct = {order.saved: order for order in orders}.values()
    seconds = sum(_arithmetic(order) for order in distinct) * USUAL_S
    return min(workers, len(distinct)) if seconds > WORTH_PROCESSES_S else 1


@cache
def code_digest() -> str:
    """Return a hash of the source of all that a training runs through: an old outcome is not taken for a new one."""
    import hpmkd_edge

    package = Path(hpmkd_edge.__path__[0])
    rooms = [package / room for room in ("distill", "students", "tasks")] + [Path(kernels.__path__[0])]
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted(room.rglob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def key_of(lesson: Lesson, settings: Settings, *, seed: int, student: str, plan: StepPlan, threads: int) -> str:
    """Return the name of a training: a hash of everything that its outcome depends on."""
    code = f"{code_digest()} torch {torch.__version__} {lesson.labels.device.type} {plan} threads {threads}"
    text = f"{lesson.sources} {sorted(asdict(settings).items())} {seed} {student} {code}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]
