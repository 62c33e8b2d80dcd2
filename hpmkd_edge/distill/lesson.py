"""What a training reads: the rows and their views, and what its guides answer to each of them."""

# Shape suffixes: N = rows, K = classes, V = views.

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpmkd_edge.distill.shared_arrays import mapped
from hpmkd_edge.distill.table_copies import spunged
from hpmkd_edge.distill.text_copies import copies_of
from hpmkd_edge.kernels.augment import mix_images, shift_images
from hpmkd_edge.students.alike import Alike
from hpmkd_edge.students.inlet import Inlet
from hpmkd_edge.students.text_inlet import TextInlet
from hpmkd_edge.tasks.task import Images, Inputs, Rows, Task, Texts
from hpmkd_edge.teachers.digest import digest_of, parts_of_inputs

# The draws of views are the same for every seed of training: a teacher then answers once for all of them.
VIEW_SEED: Final = 1009


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What the rows of a view were mixed with.

    Attributes:
        labels: int64 [N], of the row mixed in.
        share: float32 [N], of the row itself, in 0 … 1.
    """

    labels: Tensor
    share: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Rows as a training sees them once.

    Attributes:
        partner: int64 [N], the row that was mixed in, and *share*, float32 [N], of the row itself; None for both where
            nothing was mixed.
        labels_hold: whether the rows' labels are still true; where not, guides alone teach.
    """

    rows: Rows
    partner: NDArray[np.int64] | None = None
    share: NDArray[np.float32] | None = None
    labels_hold: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The student as an earlier stage left it.

    Attributes:
        logits: V tensors, float32 [N, K].
        weights: V tensors, float32 [N], of the rows.
        strength: λ_r.
    """

    logits: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """The material of one training, on its device.

    Attributes:
        inlet: turns stored rows into features, a batch at a time.
        views: V tensors of stored rows, [N, …] each.
        mixes: one a view.
        labels: int64 [N]; or, where values are learned, these standardized by the inlet's scale, float32 [N].
        guides: one for each model that teaches, the nearest in size first: V tensors of logits, float32 [N, K], or of
            values, standardized alike, [N, 1]. Empty for training on labels alone.
        reference: of a later stage, or None.
        maps: V tensors of a teacher's features, float16 [N, …], for stages that teach by features; else empty.
        validation: stored rows, not augmented; *validation_labels* as *labels*.
        sources: text that names the content of all of this, for keys of saved work.
        unlabeled: the views whose rows may no longer have their labels; never view 0.
    """

    inlet: Inlet
    views: tuple[Tensor, ...]
    mixes: tuple[Mix | None, ...]
    labels: Tensor
    guides: tuple[tuple[Tensor, ...], ...]
    reference: Reference | None
    maps: tuple[Tensor, ...]
    validation: Tensor
    validation_labels: Tensor
    sources: str
    unlabeled: frozenset[int] = frozenset()

    def view_of(self, epoch: int) -> int:
        """Return the view that an *epoch* goes over: one after the other, of those that somebody can teach."""
        taught = bool(self.guides or self.maps)
        views = [view for view in range(len(self.views)) if taught or view not in self.unlabeled]
        return views[epoch % len(views)]

    def labels_hold(self, view: int) -> bool:
        """Tell whether the rows of a *view* have their labels; where not, the cross-entropy has no part in the loss."""
        return view not in self.unlabeled


def training_views(
    rows: Rows,
    *,
    count: int,
    flip: bool,
    mixup: bool = False,
    unlabeled: Texts | None = None,
    folder: Path | None = None,
    alike: Alike | None = None,
) -> tuple[View, ...]:
    """Return *count* views of *rows*: the rows themselves, then shifted images, tables or texts that are changed.

    Each copy follows from its number alone, so a teacher that is asked once about each view has answered for every
    epoch, and for every seed of training. With *mixup* each copy's images are mixed, after the shift, with others of
    it (Zhang et al. 2018, arXiv 1710.09412); a teacher that sees the mixture labels it as it is (Beyer et al. 2022,
    arXiv 2106.05237). A table's copies are those of `kernels.table_views.spunge`: a row with cells of other rows may be
    of another class, so their labels do not hold. Nor do those of a text's copies; see `text_copies.copies_of`.

    Args:
        unlabeled: sentences that take the place of some of the copies.
        folder: where copies of sentences are written, and mapped into memory; None keeps them there.
        alike: words that copies of sentences may have in the place of others.

    Raises:
        BadData: sentences are too long to be copied.
        BadOutput: *folder* cannot be written.
    """
    views = [View(rows=rows)]
    if isinstance(rows.inputs, Images):
        pixels = rows.inputs.pixels
        reach = max(1, round(min(pixels.shape[1:3]) / 8))
        for number in range(1, count):
            moved = shift_images(pixels, seed=VIEW_SEED + number, reach=reach, flip=flip)
            if mixup:
                mixed, partner, share = mix_images(moved, seed=VIEW_SEED + number)
                views.append(View(rows=replace(rows, inputs=Images(pixels=mixed)), partner=partner, share=share))
            else:
                views.append(View(rows=replace(rows, inputs=Images(pixels=moved))))
        return tuple(views)
    copies: Iterator[Inputs]
    if isinstance(rows.inputs, Texts):
        copies = copies_of(
            rows.inputs, count=count - 1, seed=VIEW_SEED + 1, unlabeled=unlabeled, folder=folder, alike=alike
        )
    else:
        copies = spunged(rows.inputs, [VIEW_SEED + number for number in range(1, count)])
    return (*views, *(View(rows=replace(rows, inputs=copy), labels_hold=False) for copy in copies))


def direct_lesson(
    task: Task,
    inlet: Inlet,
    views: Sequence[View],
    *,
    device: torch.device,
    sources: str,
    folder: Path | None = None,
) -> Lesson:
    """Return the material for training on labels alone.

    Args:
        folder: where the pieces of texts are written, and mapped into memory; None keeps them there.

    Raises:
        BadOutput: *folder* cannot be written.
    """
    labels = _labels(task.train, inlet).to(device)

    def mix_of(view: View) -> Mix | None:
        if view.partner is None or view.share is None:
            return None
        partner = torch.from_numpy(view.partner).to(device)
        return Mix(labels=labels[partner], share=torch.from_numpy(view.share).to(device))

    def stored(number: int, view: View) -> Tensor:
        rows = inlet.store(view.rows.inputs)
        if folder is not None and isinstance(view.rows.inputs, Texts):
            rows = torch.from_numpy(mapped(rows.numpy(), folder / f"pieces-{number}.npy"))
        return rows.to(device)

    if isinstance(inlet, TextInlet):  # neither sentences without labels nor the vocabulary follow from the task
        seen = digest_of(part for view in views for part in parts_of_inputs(view.rows.inputs))
        sources = f"{sources} texts {seen} in at most {inlet.length} pieces of {inlet.lexicon.digest}"
    return Lesson(
        inlet=inlet,
        views=tuple(stored(number, view) for number, view in enumerate(views)),
        mixes=tuple(mix_of(view) for view in views),
        labels=labels,
        guides=(),
        reference=None,
        maps=(),
        validation=inlet.store(task.validation.inputs).to(device),
        validation_labels=_labels(task.validation, inlet).to(device),
        sources=f"{task.digest} {sources}",
        unlabeled=frozenset(number for number, view in enumerate(views) if not view.labels_hold),
    )


def _labels(rows: Rows, inlet: Inlet) -> Tensor:
    return torch.from_numpy(rows.labels if inlet.scale is None else inlet.scale.standardized(rows.labels))


def taught(
    lesson: Lesson, views: Sequence[View], answer: Callable[[Rows], NDArray[np.floating]], *, sources: str
) -> Lesson:
    """Return *lesson* with one more guide, the nearest: *answer* gives its logits [N, K] for each of the *views*.

    What was the nearest guide comes after it.
    """
    return guided(lesson, [answer(view.rows) for view in views], sources=sources)


def guided(lesson: Lesson, answers: Sequence[NDArray[np.floating]], *, sources: str) -> Lesson:
    """Return *lesson* with one more guide, the nearest, of whom the V *answers* [N, K] are known."""
    device = lesson.labels.device
    # Copied: a cached answer is a read-only map of a file.
    logits = tuple(torch.from_numpy(np.array(answer, np.float32)).to(device) for answer in answers)
    return replace(lesson, guides=(logits, *lesson.guides), sources=f"{lesson.sources} {sources}")
