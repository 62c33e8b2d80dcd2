"""`bench`: models side by side on several targets, in several precisions; `bench compare`: what became slower."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

import typer
from typer.core import TyperGroup

from hpmkd_edge.commands.options import Format, Output, Quiet, TargetsFile
from hpmkd_edge.conduct import reader_may_leave, refuse, stopped_at_once
from hpmkd_edge.errors import BadConfiguration, unknown

if TYPE_CHECKING:
    from hpmkd_edge.bench.profile import Profile
    from hpmkd_edge.bench_change import BenchChange
    from hpmkd_edge.bench_plan import BenchWish
    from hpmkd_edge.benched import BenchRecord, ChangeRecord
    from hpmkd_edge.targets import Precision, Target

MATRIX: Final = "files"
RECORD: Final = ".json"

Shapes = Annotated[
    list[str] | None,
    typer.Option(help="The sizes of an input whose axes are open, as ids=1,128; repeatable.", metavar="NAME=SIZES"),
]


class FilesFirst(TyperGroup):
    """A group whose first word may be a file: `bench a.onnx` is `bench files a.onnx`, and its help has both's flags."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # click, under a name that varies
        """Put the command in where the first word is none."""
        known = {*self.commands, *self.get_help_option_names(ctx)}
        named = args and args[0] not in known
        return super().parse_args(ctx, [MATRIX, *args] if named else args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Show the options of a first word that is a file beside the commands."""
        super().format_options(ctx, formatter)
        records = [parameter.get_help_record(ctx) for parameter in self.commands[MATRIX].params]
        with formatter.section("Options of `bench MODEL...`"):
            formatter.write_dl([record for record in records if record is not None])


app = typer.Typer(
    cls=FilesFirst,
    help="Measure models side by side (`bench MODEL...`), or tell what became slower (`bench compare`).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(
    MATRIX,
    epilog="""\b
Examples:
  hpmkd-edge bench teacher.onnx student.onnx --target host
  hpmkd-edge bench teacher.onnx student.onnx --precision fp32 --precision int8 --rows rows.npz --output bench.json
  hpmkd-edge bench student.onnx --target host --target board --targets mine.yaml --protocol standard
  hpmkd-edge bench --resume bench.json
Exit codes: 0 all budgets met, 1 one is broken, 3 nothing could be measured, 4 a file failed, 5 a budget is open,
130 interrupted.""",
)
def bench(
    context: typer.Context,
    models: Annotated[list[Path] | None, typer.Argument(help="ONNX files.", metavar="MODEL...")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Whose runtime, threads and cost budgets; repeatable. [default: host]")
    ] = None,
    targets: TargetsFile = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="Measure each model in it, made where it is missing; repeatable. [default: as they are]"),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(help="Arrays by the names of the models' inputs, to calibrate int8 on.", metavar="FILE.npz"),
    ] = None,
    precision_of: Annotated[
        list[str] | None,
        typer.Option(help="What the record calls a file's precision. [default: what its graph carries]; repeatable.",
                     metavar="NAME=PRECISION"),
    ] = None,
    protocol: Annotated[str, typer.Option(help="How long to measure: quick, standard or mlperf.")] = "quick",
    shape: Shapes = None,
    output: Annotated[Path | None, typer.Option(help="Write all measurements here.", metavar="FILE")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Take up an interrupted benchmark, by its --output.", metavar="FILE")
    ] = None,
    no_history: Annotated[bool, typer.Option("--no-history", help="Keep nothing in the history.")] = False,
    format: Output = Format.TEXT,  # noqa: A002
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Measure models in turn with each other on each target; ratios are to the first file."""
    from hpmkd_edge.bench.measurement import compare
    from hpmkd_edge.bench_plan import find_interrupted
    from hpmkd_edge.benchmark import measure_matrix
    from hpmkd_edge.history import entry_of, keep
    from hpmkd_edge.progress import hide_bars
    from hpmkd_edge.request import PARTIAL
    from hpmkd_edge.targets import find_target, load_targets

    logging.basicConfig(level=logging.WARNING, format="hpmkd-edge: %(message)s")
    if quiet:
        hide_bars()
    if resume is not None:
        if models:
            raise BadConfiguration(f"{models[0]} cannot go with --resume, which knows its models; leave it out.")
        asked = ("target", "targets", "precision", "rows", "precision_of", "protocol", "shape", "output")
        refuse(context, "--resume", asked, "which takes up a benchmark as it was asked for")
        output = resume.with_name(resume.name.removesuffix(PARTIAL))
        wish = find_interrupted(output)
        _check_files(wish.models)
    else:
        known = load_targets(targets)
        wanted = [find_target(name, known) for name in dict.fromkeys(target or ["host"])]
        wish = _wish(models or (), wanted, precision or (), rows, precision_of or (), protocol, shape or ())
    with stopped_at_once(output) if output else nullcontext():
        record = measure_matrix(wish, output=output, compare=compare)
    if not no_history:
        by_name = {one.name: one for one in wish.targets}
        keep(
            *(
                entry_of(cell.profile, target=by_name[cell.target], model=cell.model)
                for cell in record.cells
                if cell.profile is not None
            )
        )
    with reader_may_leave():
        if format is Format.JSON or not quiet:
            _show_matrix(record, format)
    raise typer.Exit(record.exit_code)


def _show_matrix(record: BenchRecord, format: Format) -> None:  # noqa: A002
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.report.matrix import flags_of, matrix_grid
    from hpmkd_edge.report.terminal import open_console, say, show_grid

    if format is Format.JSON:
        print(to_json(record))
        return
    console = open_console()
    for name in record.targets:
        grid = matrix_grid(record, name)
        if any(cell.state == "measured" for cell in record.of_target(name)):
            show_grid(console, grid)
        else:
            say(console, f"\n{grid.title}", "bold")
        for flag in flags_of(record, name):
            say(console, f"  {flag}")
    for note in record.notes:
        say(console, f"• {note}")


@app.command(
    "compare",
    epilog="""\b
Examples:
  hpmkd-edge bench compare released.onnx new.onnx
  hpmkd-edge bench compare released.onnx new.onnx --tolerance 3
  hpmkd-edge bench compare released-profile.json new-profile.json
  hpmkd-edge bench compare released-bench.json new-bench.json
Exit codes: 0 not slower, 1 slower beyond the tolerance, 5 inconclusive, or not to be compared.""",
)
def compare_two(
    context: typer.Context,
    before: Annotated[Path, typer.Argument(help="An ONNX file, a profile of one, or a record of `bench`.")],
    after: Annotated[Path, typer.Argument(help="The same of what came after.")],
    target: Annotated[str, typer.Option(help="Whose runtime and threads to use.")] = "host",
    targets: TargetsFile = None,
    tolerance: Annotated[float, typer.Option(help="A change up to so many percent is none.", min=0.1, max=100)] = 5.0,
    precision_of: Annotated[
        list[str] | None, typer.Option(help="As for `bench`; repeatable.", metavar="NAME=PRECISION")
    ] = None,
    shape: Shapes = None,
    output: Annotated[Path | None, typer.Option(help="Write the comparison here.", metavar="FILE")] = None,
    format: Output = Format.TEXT,  # noqa: A002
) -> None:
    """Tell whether a model became slower: two files timed in turn, or two records by their reference model."""
    from dataclasses import asdict

    from hpmkd_edge.bench.change import change_between
    from hpmkd_edge.bench_change import compare_records
    from hpmkd_edge.benched import SCHEMA, change_record, read_bench, schema_of
    from hpmkd_edge.json_file import write_json
    from hpmkd_edge.targets import find_target, load_targets

    pair = [before, after]
    _check_files(pair)
    found: BenchChange | ChangeRecord
    if all(path.suffix == RECORD for path in pair):
        idle = ("target", "targets", "precision_of", "shape")
        refuse(context, "two records", idle, "which were measured already")
    if any(path.suffix == RECORD and schema_of(path) == SCHEMA for path in pair):
        found = compare_records(read_bench(before), read_bench(after), tolerance=tolerance / 100)
    else:
        precisions = _precisions(pair, precision_of or ())
        first, second = _two_profiles(pair, find_target(target, load_targets(targets)), precisions, shape or ())
        found = change_record(first, second, change_between(first, second, tolerance=tolerance / 100))
    if output is not None:
        write_json(asdict(found), output)
    with reader_may_leave():
        _show_change(found, format)
    raise typer.Exit(found.exit_code)


def _show_change(found: BenchChange | ChangeRecord, format: Format) -> None:  # noqa: A002
    from hpmkd_edge.bench_change import BenchChange
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.report.matrix import (
        bench_change_grid,
        bench_change_sentences,
        change_grid,
        change_sentence,
    )
    from hpmkd_edge.report.terminal import open_console, say, show_grid

    if format is Format.JSON:
        print(to_json(found))
        return
    console = open_console()
    if isinstance(found, BenchChange):
        show_grid(console, bench_change_grid(found))
        for sentence in bench_change_sentences(found):
            say(console, f"  {sentence}")
    else:
        show_grid(console, change_grid(found.before, found.after))
        say(console, change_sentence(found))


def _wish(
    models: Sequence[Path],
    wanted: Sequence[Target],
    make: Sequence[str],
    rows: Path | None,
    precision_of: Sequence[str],
    protocol: str,
    shapes: Sequence[str],
) -> BenchWish:
    """Check what was typed, and look at every file."""
    from hpmkd_edge.bench.protocol import SAMPLINGS
    from hpmkd_edge.bench.runtimes.feeds import parse_shapes
    from hpmkd_edge.bench_plan import BenchWish

    if not models:
        raise BadConfiguration("no model was given; an ONNX file is needed, or --resume FILE.")
    if protocol not in SAMPLINGS:
        raise unknown("protocol", protocol, SAMPLINGS)
    precisions = tuple(map(_precision, dict.fromkeys(make)))
    if rows is not None and "int8" not in precisions:
        raise BadConfiguration("--rows calibrates int8, and --precision int8 is not asked for; leave it out.")
    parse_shapes(shapes)
    _check_files(models)
    for path in models:
        if path.suffix == RECORD:
            raise BadConfiguration(
                f"{path} is a record; `hpmkd-edge bench compare` takes those, and an ONNX file is needed."
            )
    return BenchWish(
        models=tuple(path.absolute() for path in models),
        own=tuple(_precisions(models, precision_of)),
        targets=tuple(wanted),
        make=precisions,
        protocol=protocol,
        shapes=tuple(shapes),
        rows=rows and rows.absolute(),
    )


def _two_profiles(
    pair: Sequence[Path], target: Target, precisions: Sequence[str], shape: Sequence[str]
) -> tuple[Profile, Profile]:
    """Read two records, or measure two files in turn; beside a record a file is measured as that was."""
    from hpmkd_edge.bench.measurement import compare, measure
    from hpmkd_edge.bench.profile import read_profile
    from hpmkd_edge.bench.protocol import PAIRED, SAMPLINGS
    from hpmkd_edge.bench.runtimes.feeds import feeds_of_file, feeds_of_files, parse_shapes

    shapes = parse_shapes(shape)
    records = [read_profile(path) if path.suffix == RECORD else None for path in pair]
    if not any(records):
        first, second = compare(
            pair,
            feeds=feeds_of_files(pair, shapes=shapes),
            runtime=target.runtime,
            sampling=PAIRED,
            threads=target.threads,
            precisions=precisions,
            host=target.host,
        )
        return first, second
    (known, *others) = [record for record in records if record is not None]
    if not others and (known.preprocessing or not known.shapes):
        lacks = "of a student in two files" if known.preprocessing else "without the shapes that were fed"
        raise BadConfiguration(f"the record of {known.model} is {lacks}; a second record, of the same, is needed.")
    shapes = {one.name: one.sizes for one in known.shapes} | shapes
    found = [
        record
        or measure(
            path,
            runtime=known.runtime,
            feeds=feeds_of_file(path, batch=known.batch, shapes=shapes),
            sampling=SAMPLINGS.get(known.protocol, SAMPLINGS["standard"]),
            threads=known.threads,
            precision=precision,
            host=target.host,
        )
        for path, record, precision in zip(pair, records, precisions, strict=True)
    ]
    return found[0], found[1]


def _check_files(paths: Sequence[Path]) -> None:
    from hpmkd_edge.export.artifact import follows_another
    from hpmkd_edge.export.inspection import inspect_file

    for path in paths:
        if not path.is_file():
            raise BadConfiguration(f"there is no file {path.absolute()}; an ONNX file is needed.")
        if path.suffix != RECORD:
            inspect_file(path)
            if follows_another(path):
                raise BadConfiguration(
                    f"{path} is the second file of a student in two; `hpmkd-edge profile` measures it, with"
                    " --preprocessing, the first."
                )


def _precisions(models: Sequence[Path], given: Sequence[str]) -> list[Precision]:
    """Return the precision of each model: as *given* by its path, name or name without ending, or its graph's."""
    from hpmkd_edge.export.artifact import precision_of

    found: dict[Path, Precision] = {}
    for one in given:
        name, _, precision = one.rpartition("=")
        if not name:
            raise BadConfiguration(f"--precision-of is {one!r}; NAME=PRECISION is needed, as student-int8=int8.")
        meant = {path for path in models if str(path) == name}
        meant = meant or {path for path in models if name in (path.name, path.stem)}
        if not meant:
            raise unknown("model", name, {known for path in models for known in (path.name, path.stem)})
        if len(meant) > 1:
            raise BadConfiguration(
                f"--precision-of is {one!r}, and {len(meant)} files have that name; a path is needed."
            )
        found[meant.pop()] = _precision(precision)
    # A record has its own.
    return [found.get(path) or ("fp32" if path.suffix == RECORD else precision_of(path)) for path in models]


def _precision(name: str) -> Precision:
    from hpmkd_edge.targets import Precision

    known: tuple[Precision, ...] = get_args(Precision)
    found = next((one for one in known if one == name), None)
    if found is None:
        raise unknown("precision", name, known)
    return found
