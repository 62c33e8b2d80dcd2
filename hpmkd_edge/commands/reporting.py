"""`report`: lay out what was recorded, as a page or as text."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge.conduct import reader_may_leave, refuse
from hpmkd_edge.errors import BadConfiguration, BadOutput
from hpmkd_edge.report.layout import Layout
from hpmkd_edge.text_file import write_text

EXAMPLES = """\b
Examples:
  hpmkd-edge report runs/first
  hpmkd-edge report runs/first --format markdown >> "$GITHUB_STEP_SUMMARY"
  hpmkd-edge report runs/first --format csv --output models.csv
  hpmkd-edge report runs/* runs/digits-ablation jetson-profile.json bench.json
  hpmkd-edge report --history --model student.onnx --target host

\b
Exit codes: 0 written, 2 a file cannot be read or written."""

STDOUT = Path("-")


def report(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A run's or an ablation's folder, or the JSON of one, of a profile or of a bench; several.",
            metavar="PATH...",
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        Layout, typer.Option(help="A page by itself, a document, the record with its points, or a table of them.")
    ] = Layout.HTML,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to write; - is stdout. [default: a page beside its PATH, all else to stdout]",
            metavar="FILE",
        ),
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="Lay out all measurements of the memory.")] = False,
    model: Annotated[str | None, typer.Option(help="With --history: of this model alone.", metavar="NAME")] = None,
    target: Annotated[str | None, typer.Option(help="With --history: on this target alone.", metavar="NAME")] = None,
) -> None:
    """Lay out a run, an ablation, a profile or a bench: one page that needs no network, or text."""
    logging.basicConfig(level=logging.WARNING, format="hpmkd-edge: %(message)s")
    from hpmkd_edge.report.documents import find_document, find_history, write_page

    paths = paths or []
    if history and paths:
        raise BadConfiguration(f"{paths[0]} cannot go with --history, which lies in the memory; leave it out.")
    if not history and not paths:
        raise BadConfiguration("nothing was given; a PATH, or --history, is needed.")
    if paths:
        refuse(context, "a PATH", ("model", "target"), "since they are of --history")
    if len(paths) > 1 and (output is not None or format is not Layout.HTML):
        raise BadConfiguration(
            f"{len(paths)} paths were given; one is needed with --output or with another format than html."
        )
    # All are read before the first is written: a bad one leaves nothing behind.
    for document in [find_history(model, target)] if history else [find_document(path) for path in paths]:
        place = output or (document.page if format is Layout.HTML else STDOUT)
        if place == STDOUT:
            with reader_may_leave():
                sys.stdout.write(document.lay_out(format, Path.cwd()))
            continue
        text = document.lay_out(format, place.absolute().parent)
        if format is Layout.HTML:
            write_page(text, place)
        elif place.exists():
            raise BadOutput(f"{place.absolute()} exists already; give another --output, or remove it.")
        else:
            write_text(text, place)
        with reader_may_leave():
            print(place)
