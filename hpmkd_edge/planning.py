"""`plan`: the sizes that a student could have, what they cost here, and which a run would train; nothing is trained.

Example:
    >>> from hpmkd_edge.planning import plan
    >>> from hpmkd_edge.request import Request
    >>> (planned,) = plan(Request(data="digits", targets=("host",)))  # doctest: +SKIP
    >>> print(planned.chosen, planned.reason)  # doctest: +SKIP
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from hpmkd_edge import __version__
from hpmkd_edge.allowance import Allowance, allowed_sizes, any_size
from hpmkd_edge.bench.profile import read_profile
from hpmkd_edge.bench.runtimes.choose import RUNTIMES
from hpmkd_edge.desk import Desk, targets_of
from hpmkd_edge.distill.tutor import tutor_of
from hpmkd_edge.entrance import timed_row
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.export.conversion import needs_cut
from hpmkd_edge.plan.chain import Step, first_chain
from hpmkd_edge.plan.expectation import expected_amount, expected_time
from hpmkd_edge.planned import Plan, PlannedSize
from hpmkd_edge.preparation import choose_device, task_of, teachers_of
from hpmkd_edge.probing import Prober
from hpmkd_edge.record import ProbeRecord
from hpmkd_edge.request import Request
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.students.choose import open_family
from hpmkd_edge.students.effort import Effort, effort_of
from hpmkd_edge.students.family import Family, Shape, Size
from hpmkd_edge.students.inlet import Inlet, fit_inlet, shape_of
from hpmkd_edge.targets import Target
from hpmkd_edge.tasks.task import Task
from hpmkd_edge.teachers.teacher import Teacher
from hpmkd_edge.wording import lexicon_for


@dataclass(frozen=True, slots=True, kw_only=True)
class _Survey:
    """What all targets share."""

    task: Task
    family: Family
    shape: Shape
    inlet: Inlet
    ladder: tuple[Size, ...]
    efforts: Mapping[Size, Effort]
    allowance: Allowance


def plan(request: Request) -> tuple[Plan, ...]:
    """Measure untrained sizes for each target of *request*, as a run does before it trains, and train nothing.

    Raises:
        BadConfiguration: a single size is asked for.
        EdgeError: see `hpmkd_edge.errors`; data, teachers and family are read as in a run.
    """
    request.check()
    if request.size is not None:
        raise BadConfiguration("--size names one size, and plan is about all of them; leave it out.")
    targets = targets_of(request)
    survey = _survey(request)
    return tuple(_plan_for(target, survey, request) for target in targets)


def _survey(request: Request) -> _Survey:
    task = task_of(request)
    teachers = teachers_of(request, task, choose_device(request.device))
    family, inlet = open_family(request.student, task), fit_inlet(task, lexicon_for(request, task, teachers))
    shape = shape_of(inlet, task)
    ladder = family.ladder(shape)
    return _Survey(
        task=task,
        family=family,
        shape=shape,
        inlet=inlet,
        ladder=ladder,
        efforts={size: effort_of(family, size, shape) for size in ladder},
        allowance=_allowance(request, task, teachers, ladder),
    )


def _allowance(request: Request, task: Task, teachers: Sequence[Teacher], ladder: Sequence[Size]) -> Allowance:
    """Return what a student may be beside the best teacher; all sizes where none is given: it would be trained."""
    if not teachers:
        if task.kind == "text":
            return any_size(ladder, "No teacher is given, and a run would weigh words")
        note = (
            "No teacher is given: a run would train one first, and allow only sizes that are"
            f" {request.compression:g} times smaller than it."
        )
        return Allowance(sizes=tuple(ladder), most_bytes=None, note=note)
    best = teachers[0]
    if len(teachers) > 1:
        store = open_store()
        tutors = [tutor_of(one, task, store, trained_here=False) for one in teachers]
        best = max(tutors, key=lambda tutor: tutor.accuracy).teacher
    return allowed_sizes(ladder, best, request.compression)


def _plan_for(target: Target, survey: _Survey, request: Request) -> Plan:
    missing = None if target.host else RUNTIMES[target.runtime].missing()
    runtime = "onnxruntime" if missing else target.runtime
    with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as folder:
        prober = Prober(
            target=target,
            desk=Desk(
                target=target,
                runtime=runtime,
                protocol=request.protocol,
                row=timed_row(survey.task, survey.inlet).inputs.feeds(),
                stop=lambda: False,
            ),
            state=Path(folder),
            family=survey.family,
            shape=survey.shape,
            inlet=survey.inlet,
            seed=request.seed,
            rows=survey.task.train,
            facts={"hpmkd_edge.version": __version__, "hpmkd_edge.task": survey.task.name},
            cut_for=target.runtime if needs_cut(survey.inlet, target.runtime) else None,
            most_bytes=survey.allowance.most_bytes,
        )
        step: Step = first_chain(survey.allowance.sizes, prober.probe, efforts=survey.efforts)
        if len({record.size for record in prober.probes}) == 1 and len(survey.ladder) > 1:
            # One alone says little of the others.
            prober.probe(survey.ladder[-1 if step.chain.end == survey.ladder[0] else 0])
        # The board's, where it was measured there.
        host = read_profile(next(Path(folder).glob("*.json"))).host
    notes = [*survey.task.notes, *filter(None, [survey.allowance.note])]
    if missing:
        notes.append(f"Timed in ONNX Runtime on this host, since {missing.rstrip('.')}.")
    return Plan(
        tool_version=__version__,
        target=target.name,
        data=survey.task.name,
        runtime=runtime,
        host=host,
        sizes=_sizes(survey, prober.probes),
        probes=tuple(prober.probes),
        chosen=step.chain.end.label,
        reason=step.reason,
        notes=tuple(notes),
    )


def _sizes(survey: _Survey, probes: Sequence[ProbeRecord]) -> tuple[PlannedSize, ...]:
    """Join what was measured, of several measurements the median, and what that lets expect of the rest."""
    records = {size: [one for one in probes if one.size == size.label] for size in survey.ladder}
    records = {size: found for size, found in records.items() if found}
    files = {size: float(found[0].file_bytes) for size, found in records.items()}
    memory = _medians({size: [one.peak_memory_mb for one in found] for size, found in records.items()})
    times = _medians({size: [one.p90_bound_ms for one in found] for size, found in records.items()})
    return tuple(
        PlannedSize(
            size=size.label,
            parameters=size.parameters,
            macs=survey.efforts[size].macs,
            allowed=size in survey.allowance.sizes,
            measured=size in records,
            file_bytes=round(files.get(size) or expected_amount(size, files)),
            p90_bound_ms=times.get(size) or (expected_time(size, times, survey.efforts) if times else None),
            peak_memory_mb=memory.get(size) or (expected_amount(size, memory) if memory else None),
            fits=records[size][-1].fits if size in records else None,
        )
        for size in survey.ladder
    )


def _medians(seen: Mapping[Size, Sequence[float | None]]) -> dict[Size, float]:
    known = {size: [value for value in values if value is not None] for size, values in seen.items()}
    return {size: median(values) for size, values in known.items() if values}
