"""`targets`: look at targets, and check a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge.commands.options import Format, Output, TargetsFile
from hpmkd_edge.conduct import reader_may_leave
from hpmkd_edge.errors import BadConfiguration

app = typer.Typer(help="Look at targets and check a file of them.", no_args_is_help=True, rich_markup_mode=None)


@app.command(
    "list",
    epilog="""\b
Examples:
  hpmkd-edge targets list
  hpmkd-edge targets list --targets my_targets.yaml --format json""",
)
def list_targets(targets: TargetsFile = None, format: Output = Format.TEXT) -> None:  # noqa: A002
    """List the targets by name."""
    from hpmkd_edge.report.catalog import targets_as_text
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.targets import load_targets

    known = load_targets(targets)
    with reader_may_leave():
        print(to_json(known) if format is Format.JSON else targets_as_text(known))


@app.command(
    "show",
    epilog="""\b
Examples:
  hpmkd-edge targets show jetson
  hpmkd-edge targets show my_board --targets my_targets.yaml""",
)
def show_target(name: str, targets: TargetsFile = None, format: Output = Format.TEXT) -> None:  # noqa: A002
    """Show one target: its device's facts, runtime and budgets.

    Of a label that is a value, r2 and mae are judged; without r2, the max_drop of accuracy is read as R².
    """
    from hpmkd_edge.report.catalog import target_as_text
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.targets import find_target, load_targets

    found = find_target(name, load_targets(targets))
    with reader_may_leave():
        print(to_json(found) if format is Format.JSON else target_as_text(found))


@app.command(
    "check",
    epilog="""\b
Examples:
  hpmkd-edge targets check my_targets.yaml
  hpmkd-edge targets check --table latencies.csv --format json""",
)
def check_targets(
    file: Annotated[Path | None, typer.Argument(help="A file in the form of targets.yaml.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="A CSV of published latencies: model, params_m, gmacs, device, precision, batch, latency_ms, source.",
            metavar="FILE",
        ),
    ] = None,
    format: Output = Format.TEXT,  # noqa: A002
) -> None:
    """Check a file of targets, or refit the latency predictors on a table and see how far off they are.

    0 if it can be used, else 2 with the line.
    """
    from hpmkd_edge.targets import load_targets

    if (file is None) == (table is None):
        raise BadConfiguration("a file of targets or a --table is needed, one of the two.")
    if file is not None:
        known = len(load_targets(file))
        if format is Format.JSON:
            from hpmkd_edge.report.machine import to_json

            print(to_json({"file": str(file), "targets": known}))
        else:
            print(f"{file}: {known} targets can be used with it.")
    if table is not None:
        _check_table(table, format)


def _check_table(table: Path, format: Format) -> None:  # noqa: A002
    from hpmkd_edge.bench.table_check import check_table
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.report.prediction_text import table_check_as_text

    found = check_table(table)
    with reader_may_leave():
        print(to_json(found) if format is Format.JSON else table_check_as_text(found))
