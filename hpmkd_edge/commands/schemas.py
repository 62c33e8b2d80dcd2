"""`schemas`: the JSON Schemas of what the tool writes and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge.conduct import reader_may_leave

app = typer.Typer(
    help="Show the JSON Schemas of what this tool writes and prints.", no_args_is_help=True, rich_markup_mode=None
)


def _names(incomplete: str) -> list[str]:
    from hpmkd_edge.report.schemas import SCHEMAS

    return [name for name in SCHEMAS if name.startswith(incomplete)]


@app.command(
    "list",
    epilog="""\b
Examples:
  hpmkd-edge schemas list""",
)
def list_schemas() -> None:
    """List them by name, each with what the "schema" field of its files says."""
    from hpmkd_edge.report.schemas import SCHEMAS, version_of

    width = max(map(len, SCHEMAS))
    with reader_may_leave():
        for name in SCHEMAS:
            print(f"{name:{width}}  {version_of(name)}")


@app.command(
    "show",
    epilog="""\b
Examples:
  hpmkd-edge schemas show report
  hpmkd-edge schemas show report > report-1.schema.json""",
)
def show_schema(
    name: Annotated[str, typer.Argument(help="A name of `schemas list`.", autocompletion=_names)],
) -> None:
    """Print one of them."""
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.report.schemas import schema_of

    with reader_may_leave():
        print(to_json(schema_of(name)))


@app.command(
    "write",
    epilog="""\b
Examples:
  hpmkd-edge schemas write docs/schemas""",
)
def write_schemas(
    folder: Annotated[Path, typer.Argument(help="A folder; it is made where it is missing.", metavar="DIR")],
) -> None:
    """Write all of them to a folder, NAME-VERSION.schema.json each."""
    from hpmkd_edge.errors import BadOutput
    from hpmkd_edge.json_file import write_json
    from hpmkd_edge.report.schemas import SCHEMAS, file_of, schema_of

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOutput(f"{folder} cannot be made: {error.strerror}; give a folder that you may write.") from error
    for name in SCHEMAS:
        write_json(schema_of(name), folder / file_of(name))
