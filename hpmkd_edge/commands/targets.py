"""`targets`: look at targets, and check a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge.commands.options import Format, Output, TargetsFile
from hpmkd_edge.conduct import reader_may_leave

app = typer.Typer(help="Look at targets and check a file of them.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_targets(targets: TargetsFile = None, format: Output = Format.TEXT) -> None:  # noqa: A002
    """List the targets by name."""
    from hpmkd_edge.report.catalog import targets_as_text
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.targets import load_targets

    known = load_targets(targets)
    with reader_may_leave():
        print(to_json(known) if format is Format.JSON else targets_as_text(known))


@app.command("show")
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


@app.command("check")
def check_targets(file: Annotated[Path, typer.Argument(help="A file in the form of targets.yaml.")]) -> None:
    """Check a file of targets: 0 if it can be used, else 2 with the line and the key."""
    from hpmkd_edge.targets import load_targets

    print(f"{file}: {len(load_targets(file))} targets can be used with it.")
