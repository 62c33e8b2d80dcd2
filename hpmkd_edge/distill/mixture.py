"""The lessons of several teachers together: equal shares, shares by label, or shares that are learned."""

# Shape suffixes: N = rows, M = teachers, K = classes.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpmkd_edge.distill.attention import compact, cross_fit
from hpmkd_edge.distill.ensemble import Worth, closed_form, closed_form_unlabeled, mixture_logits, worth_of
from hpmkd_edge.distill.lesson import Lesson, View, guided
from hpmkd_edge.tasks.task import Rows

AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A teacher as a lesson needs it: its name, the digest of all that its answers depend on, and its answers."""

    name: str
    digest: str
    answer: Callable[[Rows], NDArray[np.floating]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """A lesson of several teachers.

    Attributes:
        worth: of the learned weights on rows whose labels they have not seen; None where nothing was learned.
    """

    name: str
    lesson: Lesson
    worth: Worth | None


def mixtures(
    untaught: Lesson, views: Sequence[View], sources: Sequence[Source], *, attention: bool, seed: int
) -> tuple[Mixture, ...]:
    """Return the lessons that *sources* give together; none where there is only one.

    Args:
        attention: weigh the teachers row by row, by the closed form and by a net (HPM-KD, arXiv 2512.09886); else all
            rows listen to all of them alike, as they always do where values are learned.
        seed: of the net.
    """
    if len(sources) < 2:
        return ()
    labels = untaught.labels.cpu().numpy()
    digests = " ".join(source.digest for source in sources)
    count = len(sources)

    def lessons(**ways: Callable[[Tensor, NDArray[np.float32], int], NDArray[np.float32]]) -> dict[str, Lesson]:
        # View by view: all teachers' answers to all views at once would be gigabytes for a hundred classes. Once for
        # all ways: to find a view's answers all of its pixels are hashed.
        logits: dict[str, list[NDArray[np.float32]]] = {way: [] for way in ways}
        for number, (view, rows) in enumerate(zip(views, untaught.views, strict=True)):
            teachers = _stacked(sources, view)
            for way, weigh in ways.items():
                weights = weigh(rows, teachers, number)
                logits[way].append(_blended(teachers, weights, values=untaught.inlet.scale is not None))
        return {way: guided(untaught, found, sources=f"{way} {seed} of {digests}") for way, found in logits.items()}

    if not attention or untaught.inlet.scale is not None:
        even = np.full((len(labels), count), 1 / count, np.float32)
        made = lessons(mean=lambda *_: even)
        return (Mixture(name=f"KD from the mean of {count}", lesson=made["mean"], worth=None),)
    features, answers = _features(untaught, untaught.views[0]), _stacked(sources, views[0])
    net = cross_fit(features, answers, labels, seed=seed)

    def by_label(_: Tensor, teachers: NDArray[np.float32], view: int) -> NDArray[np.float32]:
        return closed_form(teachers, labels) if untaught.labels_hold(view) else closed_form_unlabeled(teachers)

    made = lessons(
        by_label=by_label,
        attention=lambda rows, teachers, _: net.weights(_features(untaught, rows), teachers),
    )
    return (
        Mixture(name=f"KD from {count}, weighed by label", lesson=made["by_label"], worth=None),
        Mixture(
            name=f"KD from {count}, by attention",
            lesson=made["attention"],
            worth=worth_of(net.weights(features, answers), answers, labels),
        ),
    )


def _blended(
    teachers_MNK: NDArray[np.float32], weights_NM: NDArray[np.float32], *, values: bool
) -> NDArray[np.float32]:
    """Return what a student learns from: the weighted mean of values, or the logits of `mixture_logits`."""
    if values:
        return np.asarray((teachers_MNK * weights_NM.T[:, :, None]).sum(0), np.float32)
    return mixture_logits(teachers_MNK, weights_NM)


def _stacked(sources: Sequence[Source], view: View) -> NDArray[np.float32]:
    """Return all teachers' logits for a view: [M, N, K]."""
    return np.stack([np.asarray(source.answer(view.rows), np.float32) for source in sources])


def _features(lesson: Lesson, stored: Tensor) -> Tensor:
    """Return what the net sees of stored rows, [N, F]."""
    return torch.cat([compact(lesson.inlet.open(rows)).cpu() for rows in torch.split(stored, AT_ONCE)])
