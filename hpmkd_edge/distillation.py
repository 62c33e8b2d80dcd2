"""`distill`: train the student of a size and export it, without a target and without measuring.

Example:
    >>> from pathlib import Path
    >>> from hpmkd_edge.distillation import distill
    >>> from hpmkd_edge.request import Request
    >>> distilled = distill(Request(data="digits"), output=Path("runs/student"))  # doctest: +SKIP
    >>> print(distilled.size, distilled.test_accuracy)  # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import torch

from hpmkd_edge import __version__
from hpmkd_edge.bench.scoring import answer, score
from hpmkd_edge.compress import leaving_only_what_is_of_use
from hpmkd_edge.distill.curriculum import train_best
from hpmkd_edge.distilled import Distilled, write_distilled
from hpmkd_edge.entrance import parity_rows
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.export.artifact import STUDENT, ship
from hpmkd_edge.export.conversion import convert, save_student
from hpmkd_edge.export.text_files import ship_text
from hpmkd_edge.interruption import listening
from hpmkd_edge.manifest import write_manifest
from hpmkd_edge.preparation import Preparation, prepare
from hpmkd_edge.recording import cautions, data_record, files_of, retention, teacher_records
from hpmkd_edge.request import Request
from hpmkd_edge.rounds import race_record
from hpmkd_edge.run_folder import RunFolder, default_output, find_interrupted, plan_folder
from hpmkd_edge.run_identity import run_id
from hpmkd_edge.students.family import Size
from hpmkd_edge.tracked import WITHOUT_TARGET, place_of, summary_of_distilled
from hpmkd_edge.tracking.following import followed


def distillation_output(request: Request) -> Path:
    """Return a folder named by the data and the time, in `runs`."""
    return default_output(replace(request, targets=("distilled",)))


def distill(request: Request, *, output: Path) -> Distilled:
    """Train the largest student that is small enough beside its teacher, or of the size that is asked for.

    Args:
        request: its targets, rounds and protocol are not looked at.
        output: the folder, which must not exist: `student.onnx`, `student.pt`, `distilled.json` and `manifest.json`.

    Raises:
        EdgeError: as `compress`. An interrupted run leaves `OUTPUT.partial`, which `resume_distillation` takes up.
    """
    request.check()
    return _run(replace(request, started_in=str(Path.cwd()), targets=()), plan_folder(output))


def resume_distillation(path: Path) -> Distilled:
    """Take up the interrupted run at *path*: finished trainings are read back.

    Raises:
        BadConfiguration: there is no interrupted run of this command.
    """
    folder, request = find_interrupted(path)
    if request.targets:
        raise BadConfiguration(f"{path} is an interrupted run of compress; take it up with that command.")
    return _run(request, folder)


def _run(request: Request, folder: RunFolder) -> Distilled:
    began = time.monotonic()
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with (
        listening() as interruption,
        leaving_only_what_is_of_use(folder, "distill", folder.discard_if_kept),
        followed(request.log, place_of(folder, [WITHOUT_TARGET])) as following,
    ):
        preparation = prepare(request, folder, lambda: interruption.asked, following.journal)
        preparation = preparation.under(WITHOUT_TARGET)
        task, inlet, made = preparation.task, preparation.inlet, folder.made
        with closing(preparation.workshop.executor):
            name = run_id(request, preparation, None)
            facts = preparation.facts(name)
            size = largest_size(preparation, folder.state / "untrained.onnx", facts)
            race = train_best(size, (), preparation.curriculum)
        rows = parity_rows(task.validation)
        exported = convert(race.winner.trained.module, inlet, rows, folder.state / STUDENT, facts=facts, answer=answer)
        artifact = ship(exported, made)
        of_text = [ship_text(artifact, made, rows=rows, answer=answer)] if task.kind == "text" else []
        torch.save(race.winner.trained.module.state_dict(), made / "student.pt")
        # The test rows are read here, once, after everything is chosen.
        validation, test = (
            score(artifact.path, rows.inputs.feeds(), rows.labels, preprocessing=artifact.preprocessing)
            for rows in (task.validation, task.test)
        )
        teachers = teacher_records(preparation, [tutor.accuracy_on(task.test) for tutor in preparation.tutors], None)
        best = teachers[0].test_accuracy
        distilled = Distilled(
            tool_version=__version__,
            run_id=name,
            started_at=started_at,
            seconds=time.monotonic() - began,
            command=request.command,
            seed=request.seed,
            data=data_record(task),
            classes=task.classes,
            teachers=teachers,
            size=size.label,
            parameters=size.parameters,
            file_bytes=artifact.file_bytes,
            file_sha256=artifact.sha256,
            validation_accuracy=validation.accuracy,
            test_accuracy=test.accuracy,
            retention=retention(test.accuracy, best),
            misses=test.misses,
            **race_record(race),
            teacher_forwards=preparation.teacher_forwards,
            notes=(*preparation.notes, *of_text, *cautions(preparation, race, artifact, test.accuracy, best)),
        )
        write_distilled(distilled, made / "distilled.json")
        write_manifest(
            made,
            run_id=name,
            command=request.command,
            seed=request.seed,
            created_at=started_at,
            inputs=(*files_of(request), (f"rows of {task.name}", task.digest)),
        )
        following.finished([summary_of_distilled(distilled, made)])
    folder.finish()
    return distilled


def largest_size(preparation: Preparation, path: Path, facts: Mapping[str, str]) -> Size:
    """Return the largest allowed size whose file, untrained at *path*, is small enough; the smallest if none is."""
    allowance, workshop = preparation.allowance, preparation.workshop
    for size in reversed(allowance.sizes):
        if allowance.most_bytes is None:
            return size
        module = workshop.family.build(size, workshop.shape, workshop.seed)
        if save_student(module, preparation.inlet, path, facts=facts).file_bytes <= allowance.most_bytes:
            return size
    return allowance.sizes[0]
