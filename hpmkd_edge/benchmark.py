"""`bench`: models, targets and precisions as a matrix, group by group, saved between them and taken up again.

Example:
    >>> from pathlib import Path
    >>> from hpmkd_edge.bench_plan import BenchWish
    >>> from hpmkd_edge.benchmark import measure_matrix
    >>> from hpmkd_edge.targets import load_targets
    >>> wish = BenchWish(models=(Path("student.onnx"),), own=("fp32",), targets=(load_targets()["host"],))
    >>> [(cell.model, cell.p50_ms) for cell in measure_matrix(wish).cells]  # doctest: +SKIP
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, Protocol

from tqdm import tqdm

from hpmkd_edge import __version__
from hpmkd_edge.bench import measurement
from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.bench.profile import Host, Profile
from hpmkd_edge.bench.protocol import SAMPLINGS, Sampling
from hpmkd_edge.bench.runtimes import onnx_runtime
from hpmkd_edge.bench.runtimes.choose import choose_runtime
from hpmkd_edge.bench.runtimes.feeds import feeds_of_files, parse_shapes
from hpmkd_edge.bench.runtimes.runtime import Feeds
from hpmkd_edge.bench_plan import BenchWish, How, Plan, Take, Unfinished, how_of, plan_of, unfinished
from hpmkd_edge.benched import BenchRecord, Cell, Model, against, exit_code_of, measured_cell, write_bench
from hpmkd_edge.errors import Interrupted, MeasurementFailed, RuntimeUnavailable
from hpmkd_edge.exporting import RUNTIME_OF
from hpmkd_edge.interruption import listening
from hpmkd_edge.labeled_rows import read_rows
from hpmkd_edge.precision_files import MADE_UP, Maker, PrecisionFile
from hpmkd_edge.progress import hidden
from hpmkd_edge.targets import Precision, Target
from hpmkd_edge.verdict import judge_cost, provenance_of

# A single run of each, to see which file of several cannot be run.
ONCE: Final = replace(
    SAMPLINGS["quick"],
    name="once",
    least_runs=1,
    least_seconds=0.0,
    warmup_runs=1,
    warmup_seconds=0.0,
    warmup_limit_seconds=0.1,
)


class Measuring(Protocol):
    """Times files in turn: `bench.measurement.compare`."""

    def __call__(
        self,
        paths: Sequence[Path],
        *,
        feeds: Sequence[Feeds],
        runtime: str,
        sampling: Sampling,
        threads: int,
        precisions: Sequence[str],
        host: str | None,
    ) -> tuple[Profile, ...]:
        """Return a profile for each file, in order."""
        ...


def measure_matrix(
    wish: BenchWish, *, output: Path | None = None, compare: Measuring = measurement.compare
) -> BenchRecord:
    """Measure every model on every target in every precision; what cannot be measured says why, and the rest goes on.

    Targets of one runtime, number of threads and board share a measurement, a group: all files in turn in one process.

    Args:
        wish: its models have been inspected.
        output: for the record. An interrupted benchmark leaves its finished groups in `OUTPUT.partial`, and the same
            wish takes them up.
        compare: times files in turn.

    Raises:
        BadConfiguration: the wish cannot be, or an interrupted benchmark at *output* was of another.
        BadData: the rows do not fit a model that is to be calibrated on them.
        BadOutput: *output* cannot be written.
        Interrupted: the user asked to stop; finished groups are saved.
    """
    plan = plan_of(wish)
    with unfinished(plan, output) as state, tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as made:
        here = describe_host()
        away = {target.name: _away(target, here) for target in wish.targets}
        groups = tuple(dict.fromkeys(how_of(target) for target in wish.targets if away[target.name] is None))
        with listening() as interruption:
            bench = _prepared(plan, Path(made), compare, lambda: interruption.asked)
            taken = dict(_taken(bench, groups, state, output))
        cells = [cell for target in wish.targets for cell in _cells(target, away[target.name], taken, bench)]
        record = BenchRecord(
            tool_version=__version__,
            taken_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            protocol=wish.protocol,
            models=plan.models,
            targets=tuple(target.name for target in wish.targets),
            precisions=wish.make,
            exit_code=exit_code_of(cells),
            notes=_notes(cells),
            cells=tuple(cells),
        )
        if output is not None:
            write_bench(record, output)
    return record


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """What every group is measured with.

    Attributes:
        feeds: by the name of a model; one that cannot be read is in *unreadable*, with a sentence.
        stop: whether the user has asked to.
    """

    plan: Plan
    maker: Maker
    feeds: Mapping[str, Feeds]
    unreadable: Mapping[str, str]
    compare: Measuring
    stop: Callable[[], bool]

    @property
    def wanted(self) -> tuple[tuple[Model, Precision], ...]:
        """Each model in each precision that it is to be measured in."""
        wish = self.plan.wish
        return tuple((model, one) for model in self.plan.models for one in wish.make or (model.precision,))

    def take(self, how: How) -> tuple[Take, ...]:
        """Measure all files in one way.

        Raises:
            RuntimeUnavailable: the runtime is not here, or the board cannot be reached.
            Interrupted: the user asked to stop before the timing began.
        """
        if how.host is None:
            choose_runtime(how.runtime)
        files = [self._file(model, precision, how) for model, precision in self.wanted]
        ready = [number for number, file in enumerate(files) if file.path is not None]
        found = dict(zip(ready, self._timed([self._ready(files, number) for number in ready], how), strict=True))
        return tuple(
            _take(model.name, precision, file, found.get(number))
            for number, ((model, precision), file) in enumerate(zip(self.wanted, files, strict=True))
        )

    def _file(self, model: Model, precision: Precision, how: How) -> PrecisionFile:
        if self.stop():
            raise Interrupted("stopped as asked.")
        if model.name in self.unreadable:
            return PrecisionFile(path=None, how=None, reason=self.unreadable[model.name], failed=True)
        form = next(form for form, runtime in RUNTIME_OF.items() if runtime == how.runtime)
        return self.maker.file(Path(model.path), model.precision, precision, form)

    def _ready(self, files: Sequence[PrecisionFile], number: int) -> _Ready:
        model, precision = self.wanted[number]
        path = files[number].path
        assert path is not None
        return _Ready(path=path, precision=precision, feeds=self.feeds[model.name])

    def _timed(self, files: Sequence[_Ready], how: How) -> list[Profile | str]:
        """Return a profile of each file, or why it has none: one that cannot be run does not end it for the others."""
        if not files:
            return []
        sampling = SAMPLINGS[self.plan.wish.protocol]
        try:
            return list(self._compared(files, how, sampling))
        except MeasurementFailed as error:
            whole = str(error)
        faults = [self._fault(file, how) if len(files) > 1 else whole for file in files]
        sound = [file for file, fault in zip(files, faults, strict=True) if fault is None]
        again: Sequence[Profile | str] = [whole] * len(sound)
        if 0 < len(sound) < len(files):
            try:
                again = self._compared(sound, how, sampling)
            except MeasurementFailed as error:
                again = [str(error)] * len(sound)
        profiles = iter(again)
        return [next(profiles) if fault is None else fault for fault in faults]

    def _fault(self, file: _Ready, how: How) -> str | None:
        """Return why *file* cannot be run alone, or None."""
        try:
            self._compared([file], how, ONCE)
        except MeasurementFailed as error:
            return str(error)
        return None

    def _compared(self, files: Sequence[_Ready], how: How, sampling: Sampling) -> tuple[Profile, ...]:
        return self.compare(
            [file.path for file in files],
            feeds=[file.feeds for file in files],
            runtime=how.runtime,
            sampling=sampling,
            threads=how.threads,
            precisions=[file.precision for file in files],
            host=how.host,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A file that can be timed, and on what."""

    path: Path
    precision: Precision
    feeds: Feeds


def _prepared(plan: Plan, folder: Path, compare: Measuring, stop: Callable[[], bool]) -> _Bench:
    """Look at every input before minutes are spent on the first."""
    wish, shapes = plan.wish, parse_shapes(plan.wish.shapes)
    unreadable: dict[str, str] = {}
    for model in plan.models:
        try:
            inputs = onnx_runtime.inputs(Path(model.path))
        except MeasurementFailed as error:
            unreadable[model.name] = str(error)
            continue
        if wish.rows is not None and model.precision == "fp32":
            read_rows(wish.rows, inputs, label=None)
    names = [model.name for model in plan.models if model.name not in unreadable]
    feeds = feeds_of_files([Path(model.path) for model in plan.models if model.name in names], shapes=shapes)
    return _Bench(
        plan=plan,
        maker=Maker(folder=folder, rows=wish.rows, shapes=shapes),
        feeds=dict(zip(names, feeds, strict=True)),
        unreadable=unreadable,
        compare=compare,
        stop=stop,
    )


def _taken(
    bench: _Bench, groups: Sequence[How], state: Unfinished, output: Path | None
) -> Iterator[tuple[How, tuple[Take, ...]]]:
    """Yield what came of each group, read back where it is finished."""
    bar = tqdm(total=len(groups), unit="group", disable=hidden(), leave=False)
    with bar:
        for done, how in enumerate(groups):
            bar.set_description(how.text)
            takes = state.find(how)
            if takes is None:
                try:
                    takes = bench.take(how)
                    state.save(how, takes)
                except RuntimeUnavailable as error:
                    # Not saved: it may be there when the benchmark is taken up.
                    takes = tuple(_missing(model.name, precision, str(error)) for model, precision in bench.wanted)
                except Interrupted as error:
                    raise _stopped(done, len(groups), output) from error
            yield how, takes
            bar.update()


def _stopped(done: int, groups: int, output: Path | None) -> Interrupted:
    said = f"stopped as asked, with {done} of {groups} groups of targets measured"
    if output is None:
        return Interrupted(f"{said}; without --output nothing is kept.")
    return Interrupted(f"{said} and saved. Take it up with: hpmkd-edge bench --resume {shlex.quote(str(output))}")


def _take(model: str, precision: Precision, file: PrecisionFile, found: Profile | str | None) -> Take:
    if isinstance(found, Profile):
        return Take(model=model, precision=precision, state="measured", made=file.how, profile=found)
    failed = file.failed or found is not None
    return Take(
        model=model,
        precision=precision,
        state="failed" if failed else "unavailable",
        made=file.how,
        reason=found or file.reason,
    )


def _missing(model: str, precision: Precision, reason: str) -> Take:
    return Take(model=model, precision=precision, state="unavailable", reason=reason)


def _away(target: Target, here: Host) -> str | None:
    """Return why *target* cannot be measured from here: it is another machine, and nothing says how to reach it."""
    if target.host is not None or target.device.recognizes(here.model, here.memory_mb):
        return None
    return (
        f"{target.name} is a {target.device.name}, and this machine is {here.model}; measure on the board, or give the"
        " target its `host: ssh://USER@BOARD` in a --targets file."
    )


def _cells(target: Target, away: str | None, taken: Mapping[How, Sequence[Take]], bench: _Bench) -> Iterator[Cell]:
    """Yield the cells of one target, judged by its own budgets."""
    takes = taken[how_of(target)] if away is None else [_missing(one.name, kind, away) for one, kind in bench.wanted]
    first: Profile | None = None
    for take in takes:
        if take.profile is None:
            yield Cell(
                target=target.name,
                model=take.model,
                precision=take.precision,
                state=take.state,
                made=take.made,
                reason=take.reason,
            )
            continue
        assert take.made is not None
        yield measured_cell(
            target=target.name,
            model=take.model,
            made=take.made,
            profile=take.profile,
            verdict=judge_cost(target, profile=take.profile, model_bytes=take.profile.model_bytes),
            against_first=None if first is None else against(first, take.profile),
            provenance=provenance_of(take.profile, target),
        )
        first = first or take.profile


def _notes(cells: Sequence[Cell]) -> tuple[str, ...]:
    if all(cell.made != MADE_UP for cell in cells):
        return ()
    return (
        "int8 was calibrated on made-up values: its times and sizes hold, its answers do not; --rows FILE.npz"
        " calibrates it on real ones.",
    )
