"""The progressive chain: each member a finished model that teaches the next (HPM-KD, arXiv 2512.09886)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hpmkd_edge.distill.lesson import Lesson, guided
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.distill.training import predict
from hpmkd_edge.distill.workshop import Workshop
from hpmkd_edge.students.family import Size
from hpmkd_edge.students.inherit import Start, digest_of_weights, inherited
from hpmkd_edge.tasks.task import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An intermediate of a chain, finished."""

    size: Size
    trained: Trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What a chain's intermediates hand to its last member.

    Attributes:
        lesson: of all larger members, the nearest first, and the teacher last.
        start: weights cut from the last intermediate, or None where its family's do not fit.
        weak: the intermediate that the gate refused, or None; it and those after it do not teach.
    """

    members: tuple[Member, ...]
    lesson: Lesson
    start: Start | None
    weak: Member | None


def answers_of(module: nn.Module, lesson: Lesson) -> Callable[[Rows], NDArray[np.float32]]:
    """Return *module* as something that answers rows with logits [N, K], for teaching the next link."""

    def answer(rows: Rows) -> NDArray[np.float32]:
        device = lesson.labels.device
        logits = predict(module.to(device), lesson, lesson.inlet.store(rows.inputs).to(device))
        return np.asarray(logits.cpu().numpy(), np.float32)

    return answer


def forge(
    sizes: Sequence[Size],
    end: Size,
    lesson: Lesson,
    workshop: Workshop,
    *,
    least: float,
) -> Links:
    """Train the intermediates of *sizes* in order, each taught by all that are larger.

    Each begins with weights cut from the one before it. A link that does not beat *least* on validation rows would
    teach worse than the labels do, so the chain ends before it.

    Args:
        end: the last member's size, for the weights that it inherits.
        lesson: what the first intermediate learns from: the teacher's.
        least: accuracy, or R², of the last member's size trained on labels alone.
    """
    members: list[Member] = []
    for size in sizes:
        start = _start(size, members, workshop)
        trained = workshop.train(size, lesson, f"link {size.label}", start=start)
        member = Member(size=size, trained=trained)
        if trained.accuracy <= least:
            return Links(members=tuple(members), lesson=lesson, start=_start(end, members, workshop), weak=member)
        members.append(member)
        # Of the views as they are stored: to tokenize a million sentences once more takes longer than to answer them.
        module = trained.module.to(lesson.labels.device)
        answers = [predict(module, lesson, view).cpu().numpy() for view in lesson.views]
        lesson = guided(
            lesson,
            answers,
            sources=f"and {size} with weights {digest_of_weights(trained.module.state_dict())}",
        )
    return Links(members=tuple(members), lesson=lesson, start=_start(end, members, workshop), weak=None)


def _start(size: Size, members: Sequence[Member], workshop: Workshop) -> Start | None:
    """Cut weights for *size* from the last of the *members*."""
    # Layers of the same name do other work in a network of another depth.
    if not members or members[-1].size.depth != size.depth:
        return None
    student = workshop.family.build(size, workshop.shape, workshop.seed)
    return inherited(student, members[-1].trained.module, members[-1].size.label)
