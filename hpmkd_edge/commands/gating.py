"""`gate`: judge recorded runs again, and end with the verdict's exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge.commands.options import Format, Output, TargetsFile
from hpmkd_edge.conduct import reader_may_leave
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.flags import is_typed

EXAMPLES = """\b
Examples:
  hpmkd-edge gate runs/first
  hpmkd-edge gate runs/first/report.json --profile jetson-profile.json
  hpmkd-edge gate runs/first --allow-predicted
  hpmkd-edge gate runs/* --targets targets.yaml --format json
  hpmkd-edge gate runs/new --baseline main/report.json --max-accuracy-drop 0.5 --max-latency-growth 5
  hpmkd-edge gate runs/new --junit gate.xml --annotations --summary "$GITHUB_STEP_SUMMARY"

\b
Exit codes: 0 met, 1 a budget is broken, 2 a file or a flag cannot be used, 4 the system refused,
5 inconclusive, 130 interrupted."""


def gate(
    context: typer.Context,
    reports: Annotated[
        list[Path], typer.Argument(help="report.json of a run, or its folder; several.", metavar="REPORT...")
    ],
    targets: TargetsFile = None,
    profile: Annotated[
        list[Path] | None,
        typer.Option(help="A measurement of the same student, taken on the board; repeatable.", metavar="FILE"),
    ] = None,
    allow_predicted: Annotated[
        bool, typer.Option("--allow-predicted", help="Judge an unmeasured latency by its prediction's upper bound.")
    ] = False,
    baseline: Annotated[
        list[Path] | None,
        typer.Option(help="What a report of its target and data may not be worse than; repeatable.", metavar="REPORT"),
    ] = None,
    max_accuracy_drop: Annotated[
        float, typer.Option(help="Against the baseline, in points of accuracy, or of R² × 100.", metavar="POINTS")
    ] = 1.0,
    max_latency_growth: Annotated[
        float, typer.Option(help="Against the baseline, of the median.", metavar="PERCENT")
    ] = 10.0,
    max_size_growth: Annotated[
        float | None, typer.Option(help="Against the baseline. [default: not judged]", metavar="PERCENT")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.", metavar="FILE")] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Say on stderr what GitHub Actions shows beside a pull request.")
    ] = False,
    summary: Annotated[
        Path | None, typer.Option(help="Append a table in Markdown here, as to $GITHUB_STEP_SUMMARY.", metavar="FILE")
    ] = None,
    format: Output = Format.TEXT,  # noqa: A002
) -> None:
    """End with the verdict's exit code: 0 met, 1 broken, 5 where a number is unknown or too noisy."""
    if not baseline:
        names = ("max_accuracy_drop", "max_latency_growth", "max_size_growth")
        idle = [f"--{name.replace('_', '-')}" for name in names if is_typed(context, name)]
        if idle:
            raise BadConfiguration(f"{', '.join(idle)} was found without --baseline; give a report to compare with.")

    from hpmkd_edge.baseline import Allowance
    from hpmkd_edge.bench.profile import read_profile
    from hpmkd_edge.record import read_report
    from hpmkd_edge.report.annotations import workflow_commands
    from hpmkd_edge.report.gate import exit_code_of, judge_again, reports_at
    from hpmkd_edge.report.gate_text import show_gated, to_summary
    from hpmkd_edge.report.junit import to_junit
    from hpmkd_edge.report.machine import gated_to_json
    from hpmkd_edge.targets import own_targets
    from hpmkd_edge.text_file import append_text, write_text

    found = [read_report(path) for given in reports for path in reports_at(given)]
    judged = judge_again(
        found,
        # By the file's own budgets alone: a misspelled target there must not be judged by the shipped ones.
        targets=own_targets(targets, [one.target for one in found]) if targets else None,
        profiles=[read_profile(path) for path in profile or ()],
        allow_predicted=allow_predicted,
        baselines=[read_report(path) for given in baseline for path in reports_at(given)] if baseline else None,
        allowance=Allowance(
            accuracy_drop=max_accuracy_drop, latency_growth=max_latency_growth, size_growth=max_size_growth
        ),
    )
    if junit is not None:
        write_text(to_junit(judged), junit)
    if summary is not None:
        append_text(to_summary(judged), summary)
    if annotations:
        # Where it takes commands from either stream, stdout stays what --format says.
        print(*workflow_commands(judged), sep="\n", file=sys.stderr)
    with reader_may_leave():
        if format is Format.JSON:
            print(gated_to_json(judged))
        else:
            show_gated(judged)
    raise typer.Exit(exit_code_of([one.verdict for one in judged]))
