"""`plan`: sizes and what they cost, without training."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import typer

from hpmkd_edge.commands.options import Format, Output, Quiet, Verbose
from hpmkd_edge.conduct import before_a_run, reader_may_leave, refuse
from hpmkd_edge.flags import takes_request
from hpmkd_edge.request import Request

EXAMPLES = """\b
Examples:
  hpmkd-edge plan --target host --data digits
  hpmkd-edge plan --target rpi5 --data photos.npz --teacher net.py:resnet56 --weights resnet56.pt"""


@takes_request
def plan(
    context: typer.Context,
    request: Request,
    format: Output = Format.TEXT,  # noqa: A002
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show which sizes a student could have, what they cost here, and which a run would train; train nothing."""
    before_a_run(context, None, quiet=quiet, verbose=verbose)
    refuse(context, "plan", ("rounds", "profile_from", "records"), "which trains nothing and ships no file")
    request.check()

    from hpmkd_edge.planning import plan as run
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.report.plan_text import show_plan

    # What a user's own code prints is no result.
    with redirect_stdout(sys.stderr):
        plans = run(request)
    with reader_may_leave():
        if format is Format.JSON:
            print(to_json(plans))
        else:
            for one in plans:
                show_plan(one)
