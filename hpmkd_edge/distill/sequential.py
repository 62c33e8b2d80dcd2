"""Sequential stages: one loss after the other on one student (SMSKD, arXiv 2601.15657)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

from torch import Tensor

from hpmkd_edge.distill.lesson import Lesson, Reference
from hpmkd_edge.distill.methods.table import is_feature_method
from hpmkd_edge.distill.reference import reference_weights
from hpmkd_edge.distill.stages import Stage, StagePlan
from hpmkd_edge.distill.torch_link import Trained
from hpmkd_edge.distill.training import predict
from hpmkd_edge.distill.workshop import Assignment, Workshop
from hpmkd_edge.students.family import Size
from hpmkd_edge.students.inherit import Start


def follow(
    plan: StagePlan, size: Size, lesson: Lesson, workshop: Workshop, maps: Callable[[], tuple[Tensor, ...]]
) -> Trained:
    """Train a student of *size* through the stages of *plan*; each goes on from the weights of the one before.

    From the second stage on the student is also held near to what it was at the end of the stage before.

    Args:
        lesson: with one guide, the teacher.
        maps: gives the teacher's features for each view; asked only if a stage teaches by features.

    Returns:
        The last stage's training; its seconds, epochs and curves are those of all stages.
    """
    start: Start | None = None
    reference: Reference | None = None
    path = "stages"
    done: list[Trained] = []
    for number, stage in enumerate(plan.stages, 1):
        features = maps() if is_feature_method(stage.method) else ()
        path = f"{path} {stage}{_digest_of(features)}"
        settings = replace(workshop.settings, method=stage.method, epochs=stage.epochs)
        assignment = Assignment(
            size=size,
            lesson=replace(
                lesson,
                reference=reference,
                maps=features,
                sources=f"{lesson.sources} {path}",
            ),
            label=f"{size.label}: stage {number}, {stage.method}",
            settings=settings,
            start=start,
        )
        (trained,) = workshop.train_all([assignment])
        done.append(trained)
        start = Start(source=f"stage {number}", weights=trained.module.state_dict())
        if number < len(plan.stages):
            reference = _reference(trained, lesson, plan.stages[number])
    *earlier, last = done
    return replace(
        last,
        best_epoch=sum(stage.epochs for stage in earlier) + last.best_epoch,
        epochs=plan.epochs,
        seconds=sum(stage.seconds for stage in done),
        temperatures=tuple(chain.from_iterable(stage.temperatures for stage in done)),
        losses=tuple(chain.from_iterable(stage.losses for stage in done)),
        accuracies=tuple(chain.from_iterable(stage.accuracies for stage in done)),
    )


def _digest_of(maps: Sequence[Tensor]) -> str:
    """Name the content of *maps* for a key: which of a teacher's taps they come from shows nowhere else."""
    digest = hashlib.sha256()
    for features in maps:
        digest.update(features.cpu().contiguous().numpy().data)
    return f" of maps {digest.hexdigest()}" if maps else ""


def _reference(trained: Trained, lesson: Lesson, stage: Stage) -> Reference:
    """Let the finished stage answer every view, and weigh the rows as the next *stage* asks."""
    device = lesson.labels.device
    module = trained.module.to(device)
    logits = tuple(predict(module, lesson, view).clone() for view in lesson.views)
    trained.module.cpu()
    # A weight by the label's probability says nothing where the label may not hold.
    weightings = [stage.weighting if lesson.labels_hold(view) else "uniform" for view in range(len(lesson.views))]
    weights = tuple(
        reference_weights(teacher, lesson.labels, weighting)
        for teacher, weighting in zip(lesson.guides[0], weightings, strict=True)
    )
    return Reference(logits=logits, weights=weights, strength=stage.reference_weight)
