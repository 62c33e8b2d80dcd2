"""What is kept between runs, as text."""

from __future__ import annotations

from hpmkd_edge.plan.memory import Summary


def summary_as_text(summary: Summary, measurements: int) -> str:
    """Return the files by kind, the trials by task, how well outcomes were predicted, and the history's length."""
    total = sum(one.bytes for one in summary.usage)
    lines = [f"{summary.folder}: {total / 1e6:,.1f} MB of at most {summary.most_bytes / 1e6:,.0f}"]
    lines += [f"  {one.kind}: {one.files:,} files, {one.bytes / 1e6:,.1f} MB" for one in summary.usage]
    lines.append(f"trials: {sum(summary.trials.values()):,}")
    lines += [f"  {task}: {count:,}" for task, count in summary.trials.items()]
    error = summary.prediction_error
    if error.mean is None:
        lines.append("predictions: none whose outcome is known")
    else:
        lines.append(
            f"predictions: {error.predictions:,}, wrong by {100 * error.mean:.2f} points of retention on average"
        )
    lines.append(f"measurements: {measurements:,}")
    return "\n".join(lines)
