"""`doctor`: what runs on this machine."""

from __future__ import annotations

import typer

from hpmkd_edge.commands.options import Format, Output
from hpmkd_edge.conduct import reader_may_leave

EXAMPLES = """\b
Examples:
  hpmkd-edge doctor
  hpmkd-edge doctor --format json"""


def doctor(format: Output = Format.TEXT) -> None:  # noqa: A002
    """Look at what runs here and what to do about the rest: 0 if compress can run, 3 if not."""
    from hpmkd_edge.doctor import examine, exit_code_of
    from hpmkd_edge.json_file import lay_out
    from hpmkd_edge.report.doctor_text import checks_as_json, checks_as_lines
    from hpmkd_edge.report.terminal import open_console

    checks = examine()
    with reader_may_leave():
        if format is Format.JSON:
            print(lay_out(checks_as_json(checks)))
        else:
            console = open_console()
            for line in checks_as_lines(checks):
                console.print(line, soft_wrap=True)
    raise typer.Exit(exit_code_of(checks))
