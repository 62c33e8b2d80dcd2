"""Choose once how the steps of a student's size are computed, and keep to it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.distill.lesson import Lesson
from hpmkd_edge.distill.step import StepPlan, is_small, probe_step
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.store.objects import Store
from hpmkd_edge.students.family import Family, Shape, Size


def plan_for(
    shape: Shape, lesson: Lesson, settings: Settings, store: Store, seed: int, family: Family, size: Size
) -> StepPlan:
    """Return the plan of steps for a student of *size*: probed on the first call, and then read back.

    It is kept with the machine that it was probed on, since rounding differs between plans and a training that is taken
    up, or repeated, must go on as it began.
    """
    host, device = describe_host(), lesson.labels.device
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    sides = (host.model, torch.get_num_threads(), accelerator, torch.__version__)
    outline = f"{shape.features} {shape.classes} {'' if shape.lexicon is None else shape.lexicon.digest}"
    key = f"step plan {sides} {family.digest} {size} {outline} batch {settings.batch} epochs {settings.epochs}"
    kept = store.read_text(key, kind="step plan")
    if kept is not None:
        return StepPlan(**json.loads(kept))
    features = lesson.inlet.open(lesson.views[0][: settings.batch])
    small = is_small(shape.features, len(features), size.parameters, text=shape.lexicon is not None)
    probe = probe_step(
        lambda: family.build(size, shape, seed),
        features,
        shape.classes,
        device=device,
        steps_planned=0 if small else settings.epochs * max(1, len(lesson.labels) // settings.batch),
    )

    def write(path: Path) -> None:
        path.write_text(json.dumps(asdict(probe.plan)), encoding="utf-8")

    store.put(key, write, kind="step plan", suffix=".json")
    return probe.plan
