"""`ablate`: the whole pipeline, each component off in turn, and the plain ways, with several seeds.

Example:
    >>> from pathlib import Path
    >>> from hpmkd_edge.ablation import ablate
    >>> from hpmkd_edge.request import Request
    >>> evidence = ablate(Request(data="digits"), output=Path("runs/ablation"))  # doctest: +SKIP
    >>> [(one.arm, one.points, one.word) for one in evidence.summary]  # doctest: +SKIP
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from tqdm import tqdm

from hpmkd_edge import __version__
from hpmkd_edge.arms import Stand, stand_for
from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.checkout import commit_of
from hpmkd_edge.compress import leaving_only_what_is_of_use
from hpmkd_edge.distill.workshop import code_digest
from hpmkd_edge.errors import BadConfiguration, Interrupted, unknown
from hpmkd_edge.evidence import ARMS, DIRECT, FULL, ArmRun, Basis, Evidence, TeacherScore, summarize, write_evidence
from hpmkd_edge.interruption import listening
from hpmkd_edge.json_file import read_json, write_json
from hpmkd_edge.manifest import LIBRARIES, Version
from hpmkd_edge.progress import hidden
from hpmkd_edge.report.ablation_text import to_markdown
from hpmkd_edge.report.pages.ablation import to_html
from hpmkd_edge.request import MOST, Request, nothing_to_take_up
from hpmkd_edge.run_folder import RunFolder, default_output, folder_at, plan_folder

SCHEMA: Final = "hpmkd-edge/ablation/1"
LEAST_SEEDS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """An ablation under way: what was asked, and what is known so far.

    Attributes:
        request: its size is fixed when the first seed is prepared.
        code, commit: of the tool when the ablation began; see `code_digest` and `commit_of`.
        basis: None before the first seed is prepared.
    """

    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/ablation/1"] = SCHEMA
    request: Request
    seeds: tuple[int, ...]
    arms: tuple[str, ...]
    code: str
    commit: str | None
    started_at: str
    basis: Basis | None = None
    teachers: tuple[TeacherScore, ...] = ()
    notes: tuple[str, ...] = ()
    runs: tuple[ArmRun, ...] = ()

    def left(self, seed: int) -> tuple[str, ...]:
        """Return the arms that *seed* still has to run."""
        done = {run.arm for run in self.runs if run.seed == seed}
        return tuple(arm for arm in self.arms if arm not in done)

    def full(self, seed: int) -> ArmRun | None:
        """Return the run of the full arm with *seed*, if it is done."""
        return next((run for run in self.runs if (run.arm, run.seed) == (FULL, seed)), None)


def ablation_output(request: Request) -> Path:
    """Return a folder named by the data and the time, in `runs`."""
    return default_output(replace(request, targets=("ablation",)))


def ablate(
    request: Request,
    *,
    output: Path,
    seeds: int = 5,
    arms: Sequence[str] | None = None,
) -> Evidence:
    """Run every arm with every seed, and write evidence.json, evidence.md and evidence.html.

    Every rival of an arm's race trains the same epochs; the search for settings and stages train shares of them. Arms
    share the trainings that they have in common.

    Args:
        request: the full pipeline; what it has off is off in every arm. Its targets are not looked at.
        output: the folder; it must not exist.
        seeds: how many, from the request's own on.
        arms: keys of ARMS; None for all. The full one is always run, since the others are compared with it.

    Raises:
        BadConfiguration: fewer than two seeds, or an unknown arm.
        EdgeError: as `compress`. An interrupted ablation leaves `OUTPUT.partial`, which `resume_ablation` takes up.
    """
    request.check()
    if not LEAST_SEEDS <= seeds < MOST:
        raise BadConfiguration(f"--seeds is {seeds}; at least {LEAST_SEEDS} are needed, since an interval needs two.")
    for arm in arms or ():
        if arm not in ARMS:
            raise unknown("arm", arm, ARMS)
    ablation = Ablation(
        request=replace(request, started_in=str(Path.cwd())),
        seeds=tuple(range(request.seed, request.seed + seeds)),
        arms=tuple(arm for arm in ARMS if arms is None or arm == FULL or arm in arms),
        code=code_digest(),
        commit=commit_of(Path(__file__)),
        started_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    return _run(ablation, plan_folder(output))


def resume_ablation(path: Path) -> Evidence:
    """Take up the interrupted ablation at *path*, given with or without `.partial`.

    Raises:
        BadConfiguration: there is none, or it was started in another folder or by other code.
    """
    folder = folder_at(path, "ablation")
    if not _kept(folder).is_file():
        raise nothing_to_take_up(folder.partial, "ablation")
    ablation: Ablation = read_json(Ablation, SCHEMA, _kept(folder))
    if ablation.request.started_in != str(Path.cwd()):
        raise BadConfiguration(
            f"the ablation was started in {ablation.request.started_in}, where its relative paths hold; resume it from"
            " there."
        )
    if ablation.code != code_digest():
        commit = f" (commit {ablation.commit})" if ablation.commit else ""
        raise BadConfiguration(
            f"the ablation was started by other code{commit} than is installed now, and arms compare only if the same"
            " code trained them; resume it with that code, or start a new one."
        )
    return _run(ablation, folder)


def _kept(folder: RunFolder) -> Path:
    """Where the state lies; not `request.json`, which `compress --resume` would take for a run of its own."""
    return folder.partial / "ablation.json"


def _run(ablation: Ablation, folder: RunFolder) -> Evidence:
    units, discard = len(ablation.seeds) * len(ablation.arms), partial(_discard_if_untrained, folder)
    with listening() as interruption, leaving_only_what_is_of_use(folder, "ablate", discard):
        folder.made.mkdir(parents=True, exist_ok=True)
        write_json(asdict(ablation), _kept(folder))
        with tqdm(total=units, initial=len(ablation.runs), desc="ablate", unit="arm", disable=hidden()) as bar:
            for seed in ablation.seeds:
                if ablation.left(seed):
                    ablation = _run_seed(ablation, seed, folder, lambda: interruption.asked, bar)
    evidence = _evidence_of(ablation)
    write_evidence(evidence, folder.made / "evidence.json")
    (folder.made / "evidence.md").write_text(to_markdown(evidence), encoding="utf-8")
    (folder.made / "evidence.html").write_text(to_html(evidence), encoding="utf-8")
    folder.finish()
    return evidence


def _run_seed(ablation: Ablation, seed: int, folder: RunFolder, stop: Callable[[], bool], bar: tqdm[Any]) -> Ablation:
    """Run the arms that *seed* has left, and keep the state after each."""
    own = RunFolder(final=folder.final, partial=folder.state / f"seed-{seed}")
    # Only at the very first arm is a weak teacher refused: later that would cost what is done.
    stand = stand_for(replace(ablation.request, seed=seed), own, stop, refuse_weak=not ablation.runs)
    with closing(stand.preparation.workshop.executor):
        ablation = _informed(ablation, stand, seed)
        write_json(asdict(ablation), _kept(folder))
        for arm in ablation.left(seed):
            if stop():
                raise Interrupted(f"stopped before {ARMS[arm]} with seed {seed}; the state is saved.")
            bar.set_postfix_str(f"seed {seed}, {ARMS[arm]}")
            run = stand.run(arm, ablation.full(seed))
            ablation = replace(ablation, runs=(*ablation.runs, run))
            write_json(asdict(ablation), _kept(folder))
            bar.update()
    return ablation


def _informed(ablation: Ablation, stand: Stand, seed: int) -> Ablation:
    """Return *ablation* with what the *stand* of a seed tells.

    Raises:
        BadConfiguration: data, student or epochs are not what they were with the seeds before.
    """
    if ablation.basis not in (None, stand.basis):
        old, new = asdict(ablation.basis), asdict(stand.basis)
        changed = "; ".join(f"{name} was {old[name]} and is {new[name]}" for name in old if old[name] != new[name])
        raise BadConfiguration(f"the ablation was started with something else: {changed}; start a new one.")
    known = any(score.seed == seed for score in ablation.teachers)
    return replace(
        ablation,
        # A teacher trained with each seed may differ in size, and so the largest student beside it: the first holds.
        request=replace(ablation.request, size=f"{stand.end.width}x{stand.end.depth}"),
        basis=stand.basis,
        teachers=ablation.teachers if known else (*ablation.teachers, *stand.teachers()),
        notes=tuple(dict.fromkeys((*ablation.notes, *stand.preparation.notes))),
    )


def _evidence_of(ablation: Ablation) -> Evidence:
    assert ablation.basis is not None
    libraries = (Version(name=name, version=version(name)) for name in LIBRARIES)
    return Evidence(
        tool_version=__version__,
        commit=ablation.commit,
        versions=(Version(name="python", version=platform.python_version()), *libraries),
        host=describe_host(),
        command=ablation.request.command,
        started_at=ablation.started_at,
        seeds=ablation.seeds,
        basis=ablation.basis,
        teachers=ablation.teachers,
        runs=ablation.runs,
        summary=summarize(ablation.runs, values=ablation.basis.data.goal == "value"),
        notes=(*ablation.notes, *_cautions(ablation)),
    )


def _cautions(ablation: Ablation) -> list[str]:
    """Say what a reader may take for success and is not."""
    best = {score.seed: score for score in reversed(ablation.teachers)}

    def seeds(arm: str, exceeds: Callable[[ArmRun], bool]) -> str:
        return ", ".join(str(run.seed) for run in ablation.runs if run.arm == arm and exceeds(run))

    weak = seeds(DIRECT, lambda run: run.validation_accuracy >= best[run.seed].validation_accuracy)
    beaten = seeds(FULL, lambda run: run.test_accuracy > best[run.seed].test_accuracy)
    cautions = []
    if weak:
        cautions.append(
            f"With seed {weak} the best teacher is no better on validation rows than the student trained on labels"
            " alone: it has little to teach, and the components little to gain from it."
        )
    if beaten:
        cautions.append(
            f"With seed {beaten} the student is better than its best teacher on test rows, which says that the"
            " teacher is undertrained for this data, not that compression improves models."
        )
    return cautions


def _discard_if_untrained(folder: RunFolder) -> None:
    """Leave nothing of an ablation that failed before it had trained."""
    if folder.partial.exists() and not any(folder.state.glob("seed-*/state/trainings/*")):
        shutil.rmtree(folder.partial)
