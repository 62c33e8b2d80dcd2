"""The whole loop: a task, its teachers and a target go in; a student that fits comes out, with the proof.

Example:
    >>> from pathlib import Path
    >>> from hpmkd_edge.compress import compress
    >>> from hpmkd_edge.request import Request
    >>> (report,) = compress(Request(data="digits", targets=("host",)), output=Path("runs/first"))  # doctest: +SKIP
    >>> report.verdict.outcome, report.student.test_accuracy  # doctest: +SKIP
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from hpmkd_edge.bench.building import Wish, try_to_build
from hpmkd_edge.bench.profile import Profile, Shape
from hpmkd_edge.bench.runtimes import tensor_rt
from hpmkd_edge.bench.runtimes.choose import RUNTIMES
from hpmkd_edge.bench.scoring import answer, score
from hpmkd_edge.desk import Desk, announced, check_boards, is_of, read_given, targets_of
from hpmkd_edge.entrance import entering, parity_rows, timed_row, words_of
from hpmkd_edge.errors import BadConfiguration, BadData, EdgeError, Interrupted
from hpmkd_edge.export.artifact import FULL_STUDENT, Artifact, ship
from hpmkd_edge.export.text_files import ship_text
from hpmkd_edge.foretelling import foretell, read_experience
from hpmkd_edge.interruption import listening
from hpmkd_edge.plan.chain import Step, first_chain, resize
from hpmkd_edge.preparation import Preparation, prepare
from hpmkd_edge.record import Report
from hpmkd_edge.recording import Facts, record_run
from hpmkd_edge.request import Request
from hpmkd_edge.rounds import Round
from hpmkd_edge.run_folder import RunFolder, default_output, find_interrupted, plan_folder
from hpmkd_edge.run_identity import run_id
from hpmkd_edge.settling import shown
from hpmkd_edge.students.effort import effort_of
from hpmkd_edge.targets import Target
from hpmkd_edge.tasks.task import Goal, Rows, Texts
from hpmkd_edge.tracked import place_of, summary_of
from hpmkd_edge.tracking.following import followed
from hpmkd_edge.turns import Workbench
from hpmkd_edge.verdict import Outcome, Provenance, judge, provenance_of


def compress(request: Request, *, output: Path | None = None) -> tuple[Report, ...]:
    """Distill, export and measure a student for each target of *request*, and write a run folder.

    Args:
        request: what to learn, from whom, for which targets.
        output: the run folder; it must not exist. Default: `runs/DATA-TARGET-TIME`.

    Returns:
        One report a target, also written as `report.json`, `report.md` and `report.html` beside `student.onnx`,
        `student.pt`, `profile.json` and `manifest.json`; with several targets each has a folder of its own name in
        *output*, and a page of all lies beside them. Where the target's runtime cannot take the table's columns,
        `preprocessing.onnx` makes what `student.onnx` takes; of a text `tokenizer.json` does.

    Raises:
        EdgeError: see `hpmkd_edge.errors`. Bad input leaves nothing behind; an interrupted run leaves
            `OUTPUT.partial`, which `resume` takes up.
    """
    request.check()
    targets = _targets(request)
    request = replace(request, started_in=str(Path.cwd()))
    return _run(request, targets, plan_folder(output or default_output(request)))


def resume(path: Path) -> tuple[Report, ...]:
    """Take up the interrupted run at *path*: finished trainings and measurements are read back.

    Raises:
        BadConfiguration: there is no interrupted run.
    """
    folder, request = find_interrupted(path)
    if not request.targets:
        raise BadConfiguration(f"{path} is an interrupted run of distill; take it up with that command.")
    return _run(request, _targets(request), folder)


def _targets(request: Request) -> tuple[Target, ...]:
    read_given(request.profiles)  # before anything is trained
    targets = targets_of(request)
    for target in targets:
        read_experience(request.records, target)  # as well
    return targets


def _run(request: Request, targets: tuple[Target, ...], folder: RunFolder) -> tuple[Report, ...]:
    began = time.monotonic()
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    reports, summaries = [], []
    with (
        listening() as interruption,
        leaving_only_what_is_of_use(folder, "compress", folder.discard_if_kept),
        followed(request.log, place_of(folder, [target.name for target in targets])) as following,
    ):
        preparation = prepare(request, folder, lambda: interruption.asked, following.journal)
        if preparation.task.kind == "text":  # which shows only now
            check_boards(targets, tokenized=True)
        with closing(preparation.workshop.executor):
            for target in targets:
                own = target.name if len(targets) > 1 else "."
                facts = Facts(
                    run_id=run_id(request, preparation, target),
                    started_at=started_at,
                    began=began,
                    folder=folder.made / own,
                    final=folder.final / own,
                )
                facts.folder.mkdir(exist_ok=True)
                reports.append(_fit_to(target, preparation.under(target.name), request, facts, folder.state))
                summaries.append(summary_of(reports[-1], facts.folder))
        following.finished(summaries)
        if len(reports) > 1:
            _write_page_of_all(reports, folder.made)
    folder.finish()
    return tuple(reports)


def _write_page_of_all(reports: Sequence[Report], folder: Path) -> None:
    """Write one page of all targets beside their folders."""
    from hpmkd_edge.report.documents import PAGE, linked_files
    from hpmkd_edge.report.pages.run import to_html

    links = [[f"{report.target}/{name}" for name in linked_files(folder / report.target)] for report in reports]
    (folder / PAGE).write_text(to_html(reports, links=links), encoding="utf-8")


@contextmanager
def leaving_only_what_is_of_use(folder: RunFolder, command: str, discard: Callable[[], None]) -> Iterator[None]:
    """Say how to take up an interrupted run of *command*, and *discard* one whose input turned out to be bad."""
    try:
        yield
    except Interrupted as error:
        path = shlex.quote(str(shown(folder.final)))
        raise Interrupted(f"{error} Take it up with: hpmkd-edge {command} --resume {path}") from error
    except SystemExit as stop:
        discard()
        raise BadConfiguration(
            f"the code of a teacher or student called sys.exit({stop.code!r}); it must return or raise."
        ) from stop
    except EdgeError as error:
        if error.exit_code == BadData.exit_code:
            discard()
        elif folder.partial.exists():
            path = shlex.quote(str(shown(folder.final)))
            kept = f"What was finished is kept; once this is mended: hpmkd-edge {command} --resume {path}"
            raise type(error)(f"{error} {kept}") from error
        raise


def _fit_to(target: Target, preparation: Preparation, request: Request, facts: Facts, state: Path) -> Report:
    """Run the loop for one *target*, and record it in its folder."""
    task, shape = preparation.task, preparation.workshop.shape
    missing = None if target.host else RUNTIMES[target.runtime].missing()
    given, experience = read_given(request.profiles), read_experience(request.records, target)
    row = timed_row(task, preparation.inlet)
    workbench = Workbench(
        target=target,
        desk=Desk(
            target=target,
            # On the board the board's own runtime is timed; elsewhere this host's, and the verdict says whose it is.
            runtime="onnxruntime" if missing else target.runtime,
            protocol=request.protocol,
            row=row.inputs.feeds(),
            stop=preparation.workshop.stop,
            given=given,
        ),
        state=state,
        preparation=preparation,
        run_id=facts.run_id,
    )
    efforts = {size: effort_of(preparation.workshop.family, size, shape) for size in preparation.allowance.sizes}
    step: Step | None = first_chain(preparation.allowance.sizes, workbench.probe, efforts=efforts)
    rounds: list[Round] = []
    while step is not None and len(rounds) < request.rounds:
        rounds.append(workbench.turn(step, len(rounds) + 1))
        step = resize(
            step.chain,
            rounds[-1].verdict,
            allowed=preparation.allowance.sizes,
            ladder=preparation.curriculum.ladder,
            tried=[chain for past in rounds for chain in (past.chain, *past.race.chains)],
            refused=workbench.refused,
            probe=workbench.probe,
            teacher_parameters=preparation.best.teacher.parameters,
        )
    shipped = _ship(max(rounds, key=_merit), facts.folder)
    artifact = shipped.artifact
    beside_text = (
        [ship_text(artifact, facts.folder, rows=parity_rows(task.validation), answer=answer)]
        if task.kind == "text"
        else []
    )
    beside = workbench.beside_teacher(shipped)
    lengths = workbench.desk.by_length(artifact, words_of(task.validation))

    # The test rows are read here, once, after everything is chosen.
    test = task.test
    student = score(artifact.path, test.inputs.feeds(), test.labels, preprocessing=artifact.preprocessing)
    teachers = [tutor.accuracy_on(test) for tutor in preparation.tutors]
    here = provenance_of(shipped.profile, target) is Provenance.MEASURED
    foretold = () if here else foretell(artifact, row, target, experience)
    verdict = judge(
        target,
        profile=shipped.profile,
        model_bytes=artifact.file_bytes,
        accuracy=student.accuracy,
        teacher_accuracy=teachers[0],
        goal=task.goal,
        mae=student.misses.mae if student.misses else None,
        foretold=foretold,
    )
    return record_run(
        request=request,
        preparation=preparation,
        target=target,
        facts=facts,
        probes=tuple(workbench.probes),
        rounds=rounds,
        shipped=shipped,
        side_by_side=beside,
        test=student,
        teachers_test_accuracy=teachers,
        verdict=verdict,
        foretold=foretold,
        lengths=lengths,
        sentence=row.inputs.strings()[0] if isinstance(row.inputs, Texts) else None,
        notes=[
            *_notes(target, missing, task.goal),
            *beside_text,
            *_tried_by_tensorrt(target, missing, artifact, row),
            *_unused(given, rounds, target, request),
        ],
    )


def _notes(target: Target, missing: str | None, goal: Goal) -> list[str]:
    notes = [] if missing is None else [f"Timed in ONNX Runtime on this host, since {missing.rstrip('.')}."]
    accuracy = target.budgets.accuracy
    if goal == "value" and target.budgets.r2 is None and accuracy is not None and accuracy.max_drop is not None:
        notes.append(
            f"{target.name} has a budget of accuracy and none of r2, so the drop of at most {accuracy.max_drop:g} below"
            " the teacher is read as R²."
        )
    return notes


def _tried_by_tensorrt(target: Target, missing: str | None, artifact: Artifact, row: Rows) -> list[str]:
    """Say whether the TensorRT that is here builds the student, where it cannot run it: as RTX without a GPU."""
    if target.runtime != "tensorrt" or missing is None or tensor_rt.cannot_build():
        return []
    with announced(f"build {artifact.path.name}"):
        # An engine fixes the pieces of a text, and is built for as many as the timed sentence has.
        shapes = tuple(Shape(name=name, sizes=array.shape) for name, array in entering(artifact, row).items())
        tried = try_to_build(Wish(model=artifact.path.absolute(), shapes=shapes))
    if tried.failure is not None:
        return [f"TensorRT here refuses {artifact.path.name}, and the board's may: {tried.failure}"]
    return [f"{tried.tensorrt} parses and builds {artifact.path.name} here, without a GPU, in {tried.seconds:.1f} s."]


def _unused(given: Sequence[Profile], rounds: Sequence[Round], target: Target, request: Request) -> list[str]:
    """Say which records that were handed in are of no file of this target."""
    made = [one.made.artifact for turn in rounds for one in turn.weighed]
    return [
        f"--profile-from {path}, of {profile.model} (sha256 {profile.model_sha256[:12]}…) in {profile.runtime}, is of"
        f" no file that was made for {target.name}, and was not used there: the same command makes the same files."
        for path, profile in zip(request.profiles, given, strict=True)
        if not any(is_of(profile, artifact, target) for artifact in made)
    ]


def _merit(turn: Round) -> tuple[int, float]:
    """Order rounds: fewest broken budgets, then the most accurate on validation rows."""
    broken = sum(judgement.outcome is Outcome.BROKEN for judgement in turn.verdict.judgements)
    return (-broken, turn.validation_accuracy)


def _ship(turn: Round, folder: Path) -> Round:
    """Copy the files of *turn* to where they will be found, its fp32 file too."""
    if turn.artifact.precision != "fp32":
        shutil.copyfile(turn.exported.path, folder / FULL_STUDENT)
    return replace(turn, artifact=ship(turn.artifact, folder))
