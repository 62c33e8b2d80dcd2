"""`bench`: files side by side on several targets; `bench compare`: whether one became slower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

import typer
from typer.core import TyperGroup

from hpmkd_edge.commands.options import Format, Output, TargetsFile
from hpmkd_edge.conduct import reader_may_leave
from hpmkd_edge.errors import BadConfiguration, unknown

if TYPE_CHECKING:
    from hpmkd_edge.bench.profile import Profile
    from hpmkd_edge.targets import Target

MATRIX: Final = "files"
RECORD: Final = ".json"

Shapes = Annotated[
    list[str] | None,
    typer.Option(help="The sizes of an input whose axes are open, as ids=1,128; repeatable.", metavar="NAME=SIZES"),
]


class FilesFirst(TyperGroup):
    """A group whose first word may be a file: `bench a.onnx` is `bench files a.onnx`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # click, under a name that varies
        """Put the command in where the first word is none."""
        known = {*self.commands, *self.get_help_option_names(ctx)}
        named = args and args[0] not in known
        return super().parse_args(ctx, [MATRIX, *args] if named else args)


app = typer.Typer(
    cls=FilesFirst,
    help="Measure files side by side (`bench MODEL...`), or tell whether one became slower (`bench compare`).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(
    MATRIX,
    epilog="""\b
Examples:
  hpmkd-edge bench teacher.onnx student.onnx --target host
  hpmkd-edge bench fp32.onnx int8.onnx --protocol standard --output bench.json""",
)
def bench(
    models: Annotated[list[Path], typer.Argument(help="ONNX files.", metavar="MODEL...")],
    target: Annotated[
        list[str] | None, typer.Option(help="Whose runtime, threads and cost budgets; repeatable. [default: host]")
    ] = None,
    targets: TargetsFile = None,
    precision_of: Annotated[
        list[str] | None,
        typer.Option(help="What the record calls a file's precision. [default: what its graph carries]; repeatable.",
                     metavar="NAME=PRECISION"),
    ] = None,
    protocol: Annotated[str, typer.Option(help="How long to measure: quick, standard or mlperf.")] = "quick",
    shape: Shapes = None,
    output: Annotated[Path | None, typer.Option(help="Write all measurements here.", metavar="FILE")] = None,
    format: Output = Format.TEXT,  # noqa: A002
) -> None:  # fmt: skip
    """Measure files in turn with each other on each target; ratios are to the first file."""
    from hpmkd_edge.bench.protocol import SAMPLINGS
    from hpmkd_edge.json_file import lay_out, write_json
    from hpmkd_edge.report.gate import exit_code_of
    from hpmkd_edge.report.matrix import flags_of, matrix_as_json, matrix_grid
    from hpmkd_edge.report.terminal import open_console, say, show_grid
    from hpmkd_edge.targets import find_target, load_targets

    known = load_targets(targets)
    wanted = [find_target(name, known) for name in dict.fromkeys(target or ["host"])]
    if protocol not in SAMPLINGS:
        raise unknown("protocol", protocol, SAMPLINGS)
    _check_files(models)
    precisions = _precisions(models, precision_of or ())
    by_target = _measured(models, wanted, precisions, protocol, shape or ())
    cells = [cell for row in by_target.values() for cell in row]
    code = exit_code_of([cell.verdict for cell in cells])
    found = matrix_as_json(cells, code)
    if output is not None:
        write_json(found, output)
    with reader_may_leave():
        if format is Format.JSON:
            print(lay_out(found))
        else:
            console = open_console()
            for name, row in by_target.items():
                show_grid(console, matrix_grid(name, row))
                for flag in flags_of(row):
                    say(console, f"  {flag}")
    raise typer.Exit(code)


@app.command(
    "compare",
    epilog="""\b
Examples:
  hpmkd-edge bench compare released.onnx new.onnx
  hpmkd-edge bench compare released.onnx new.onnx --tolerance 3
  hpmkd-edge bench compare released-profile.json new-profile.json
Exit codes: 0 not slower, 1 slower beyond the tolerance, 5 inconclusive.""",
)
def compare_two(
    before: Annotated[Path, typer.Argument(help="An ONNX file, or a profile of one.")],
    after: Annotated[Path, typer.Argument(help="The same of what came after.")],
    target: Annotated[str, typer.Option(help="Whose runtime and threads to use.")] = "host",
    targets: TargetsFile = None,
    tolerance: Annotated[float, typer.Option(help="A change up to so many percent is none.", min=0.1, max=100)] = 5.0,
    precision_of: Annotated[
        list[str] | None, typer.Option(help="As for `bench`; repeatable.", metavar="NAME=PRECISION")
    ] = None,
    shape: Shapes = None,
    output: Annotated[Path | None, typer.Option(help="Write both measurements here.", metavar="FILE")] = None,
    format: Output = Format.TEXT,  # noqa: A002
) -> None:
    """Tell whether a model became slower: two files timed in turn, or two records by their reference model."""
    from hpmkd_edge.bench.change import change_between
    from hpmkd_edge.json_file import lay_out, write_json
    from hpmkd_edge.report.matrix import change_grid, change_sentence, comparison_as_json
    from hpmkd_edge.report.terminal import open_console, say, show_grid
    from hpmkd_edge.targets import find_target, load_targets

    pair = [before, after]
    _check_files(pair)
    precisions = _precisions(pair, precision_of or ())
    first, second = _two_profiles(pair, find_target(target, load_targets(targets)), precisions, shape or ())
    change = change_between(first, second, tolerance=tolerance / 100)
    found = comparison_as_json(first, second, change)
    if output is not None:
        write_json(found, output)
    with reader_may_leave():
        if format is Format.JSON:
            print(lay_out(found))
        else:
            console = open_console()
            show_grid(console, change_grid(first, second))
            say(console, change_sentence(first, second, change))
    raise typer.Exit(change.exit_code)


def _measured(
    models: Sequence[Path], wanted: Sequence[Target], precisions: Sequence[str], protocol: str, shape: Sequence[str]
) -> dict[str, list[Any]]:
    """Return the cells of each target; targets of one runtime, board and number of threads share a measurement."""
    from hpmkd_edge.bench.measurement import compare
    from hpmkd_edge.bench.protocol import SAMPLINGS
    from hpmkd_edge.bench.runtimes.choose import choose_runtime
    from hpmkd_edge.bench.runtimes.feeds import feeds_of_files, parse_shapes
    from hpmkd_edge.report.matrix import Cell, against_first
    from hpmkd_edge.verdict import judge_cost

    for one in wanted:
        if one.host is None:
            choose_runtime(one.runtime)  # before minutes are spent on another
    feeds = feeds_of_files(models, shapes=parse_shapes(shape))
    taken: dict[tuple[str, int, str | None], tuple[Profile, ...]] = {}
    by_target = {}
    for one in wanted:
        how = (one.runtime, one.threads, one.host)
        if how not in taken:
            taken[how] = compare(
                models,
                feeds=feeds,
                runtime=one.runtime,
                sampling=SAMPLINGS[protocol],
                threads=one.threads,
                precisions=precisions,
                host=one.host,
            )
        by_target[one.name] = [
            Cell(
                target=one.name,
                profile=profile,
                against_first=change,
                verdict=judge_cost(one, profile=profile, model_bytes=profile.model_bytes),
            )
            for profile, change in zip(taken[how], against_first(taken[how]), strict=True)
        ]
    return by_target


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


def _precisions(models: Sequence[Path], given: Sequence[str]) -> list[str]:
    """Return the precision of each model: as *given* by its path, name or name without ending, or its graph's."""
    from hpmkd_edge.export.artifact import precision_of
    from hpmkd_edge.targets import Precision

    found: dict[Path, str] = {}
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
        if precision not in get_args(Precision):
            raise unknown("precision", precision, get_args(Precision))
        found[meant.pop()] = precision
    # A record has its own.
    return [found.get(path) or ("fp32" if path.suffix == RECORD else precision_of(path)) for path in models]
