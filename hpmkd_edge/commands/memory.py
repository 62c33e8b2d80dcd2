"""`memory`: what is kept between runs."""

from __future__ import annotations

from typing import Annotated

import typer

from hpmkd_edge.commands.options import Format, Output
from hpmkd_edge.conduct import reader_may_leave
from hpmkd_edge.errors import BadConfiguration

app = typer.Typer(help="Look at what is kept between runs, and make room.", no_args_is_help=True, rich_markup_mode=None)


@app.command(
    "show",
    epilog="""\b
Examples:
  hpmkd-edge memory show
  HPMKD_EDGE_CACHE=/big/disk hpmkd-edge memory show --format json""",
)
def show_memory(format: Output = Format.TEXT) -> None:  # noqa: A002
    """Say what is kept: teachers' answers, trainings, what was tried on which task, and measurements."""
    from dataclasses import asdict

    from hpmkd_edge.history import History
    from hpmkd_edge.plan.memory import summarize
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.report.memory import summary_as_text
    from hpmkd_edge.store.opening import open_store

    store = open_store()
    summary, measurements = summarize(store), len(History(store.engine))
    with reader_may_leave():
        if format is Format.JSON:
            print(to_json({**asdict(summary), "measurements": measurements}))
        else:
            print(summary_as_text(summary, measurements))


@app.command(
    "prune",
    epilog="""\b
Examples:
  hpmkd-edge memory prune --gb 2
  hpmkd-edge memory prune --trials 1000 --records 5000""",
)
def prune_memory(
    gb: Annotated[float | None, typer.Option(help="Keep at most so many GB of files, those used last.", min=0)] = None,
    trials: Annotated[int | None, typer.Option(help="Keep at most so many trials, the latest.", min=0)] = None,
    records: Annotated[
        int | None, typer.Option(help="Keep at most so many measurements of the history, the latest.", min=0)
    ] = None,
) -> None:
    """Remove what was used longest ago."""
    from hpmkd_edge.history import History
    from hpmkd_edge.plan.memory import Memory
    from hpmkd_edge.store.opening import open_store

    if gb is None and trials is None and records is None:
        raise BadConfiguration("nothing says how much to keep; give --gb, --trials or --records.")
    store = open_store()
    if gb is not None:
        print(f"{store.prune(round(gb * 1e9)) / 1e6:,.1f} MB of files were removed.")
    if trials is not None:
        print(f"{Memory(store.engine).prune(trials):,} trials were removed.")
    if records is not None:
        print(f"{History(store.engine).prune(records):,} measurements were removed.")
