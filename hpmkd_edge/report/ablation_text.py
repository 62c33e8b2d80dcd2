"""The evidence of an ablation as rows of text, in Markdown and at a terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hpmkd_edge.evidence import ARMS, DIRECT, FULL, PLAIN_KD, STAGES, ArmSummary, Evidence, Word
from hpmkd_edge.report.figures import NONE, share, signed
from hpmkd_edge.report.markdown import _section, _table, _text
from hpmkd_edge.report.rows import Grid
from hpmkd_edge.report.terminal import _console, _grid, _say

# A symbol beside the word, so that neither color nor a language alone carries it.
SYMBOLS: Final[dict[Word, str]] = {
    "gain": "▲",
    "no gain": "■",
    "no difference": "=",
    "inconclusive": "?",
    "loss": "▼",
}
COLORS: Final[dict[Word, str]] = {
    "gain": "green",
    "no gain": "cyan",
    "no difference": "cyan",
    "inconclusive": "magenta",
    "loss": "red",
}

PARTS: Final = {STAGES: "stages", PLAIN_KD: "all, over plain KD", DIRECT: "all, over labels alone"}


def to_markdown(evidence: Evidence) -> str:
    """Return *evidence* as one Markdown document that ends in a newline."""
    parts = [
        f"# {_text(title(evidence))}",
        _text(lead(evidence)),
        *(f"> {_text(note)}" for note in evidence.notes),
        *_section(gains(evidence)),
        *_section(accuracies(evidence)),
        *_section(teachers(evidence)),
        "## How to read this",
        "\n".join(f"- {_text(caveat)}" for caveat in caveats(evidence)),
        f"## {runs(evidence).title}",
        _table(runs(evidence)),
        *_section(made(evidence)),
    ]
    return "\n\n".join(parts) + "\n"


def show(evidence: Evidence) -> None:
    """Print *evidence* to stdout: gains, accuracies and times, notes."""
    console = _console()
    _say(console, title(evidence), "bold")
    _say(console, lead(evidence))
    styles = [COLORS[one.word] if one.word else "dim" for one in evidence.summary if one.arm != FULL]
    _grid(console, _lacking("compared", gains(evidence)), styles=styles)
    _grid(console, _lacking("of full", accuracies(evidence)))
    if evidence.notes:
        _say(console, "\nNotes", "bold")
    for note in evidence.notes:
        _say(console, f"• {note}")


def _lacking(column: str, grid: Grid) -> Grid:
    """Return *grid* without a column that would not fit into 80 characters."""
    place = grid.header.index(column)
    header, *rows = (row[:place] + row[place + 1 :] for row in (grid.header, *grid.rows))
    return replace(grid, header=header, rows=tuple(rows))


def title(evidence: Evidence) -> str:
    """Return what was ablated, on which data."""
    return f"Does each component earn its place? {evidence.basis.data.name}, student {evidence.basis.student}"


def lead(evidence: Evidence) -> str:
    """Return what the numbers are of, in a paragraph."""
    basis, data = evidence.basis, evidence.basis.data
    names = " and ".join(dict.fromkeys(score.name for score in evidence.teachers))
    return (
        f"{basis.student} ({basis.parameters:,} parameters), taught by {names}; {len(evidence.seeds)} seeds,"
        f" {basis.epochs} epochs for every training of every arm. Accuracy is that of the exported file on"
        f" {data.test_rows:,} test rows."
    )


def worded(word: Word) -> str:
    """Return *word* after its symbol."""
    return f"{SYMBOLS[word]} {word}"


def part(arm: str) -> str:
    """Return what an arm's gain is the worth of."""
    return PARTS.get(arm) or arm.removeprefix("without-")


def compared(arm: str) -> str:
    """Return which difference an arm's gain is."""
    return f"{ARMS[arm]} − full" if arm == STAGES else f"full − {ARMS[arm]}"


def verdict_of(one: ArmSummary) -> str:
    """Return what is to be said of an arm's gain."""
    return f"not applicable: {one.moot}" if one.word is None else worded(one.word)


def gains(evidence: Evidence) -> Grid:
    """List what each component, stages, and the whole are worth."""
    return Grid(
        title="What each part is worth",
        header=("part", "compared", "points", "95 % interval", "verdict"),
        numbers=("points", "95 % interval"),
        rows=tuple(
            (
                part(one.arm),
                compared(one.arm),
                NONE if one.points is None else signed(one.points),
                NONE if one.low is None or one.high is None else f"{signed(one.low)} to {signed(one.high)}",
                verdict_of(one),
            )
            for one in evidence.summary
            if one.arm != FULL
        ),
    )


def accuracies(evidence: Evidence) -> Grid:
    """List each arm's accuracy and what it costs to train."""
    full = next(one for one in evidence.summary if one.arm == FULL)
    return Grid(
        title="Accuracy and time of each arm",
        header=("arm", "accuracy", "95 % interval", "trainings", "training s", "of full"),
        numbers=("accuracy", "95 % interval", "trainings", "training s", "of full"),
        rows=tuple(
            (
                ARMS[one.arm],
                share(one.accuracy),
                f"{100 * one.accuracy_low:.2f} to {share(one.accuracy_high)}",
                f"{one.trainings:.3g}",
                f"{one.seconds:,.1f}",
                f"{one.seconds / full.seconds:.0%}" if full.seconds else NONE,
            )
            if one.moot is None
            else (ARMS[one.arm], *("as full",) * 5)
            for one in evidence.summary
        ),
    )


def teachers(evidence: Evidence) -> Grid:
    """List the teachers of each seed."""
    return Grid(
        title="Teachers",
        header=("teacher", "seed", "validation", "test", "trained here", "sha256"),
        numbers=("seed", "validation", "test"),
        rows=tuple(
            (
                score.name,
                f"{score.seed}",
                share(score.validation_accuracy),
                share(score.test_accuracy),
                "yes" if score.trained_here else "no",
                score.sha256[:12],
            )
            for score in evidence.teachers
        ),
    )


def runs(evidence: Evidence) -> Grid:
    """List every arm with every seed."""
    return Grid(
        title="Every run",
        header=("arm", "seed", "test", "validation", "won by", "trainings", "training s", "file sha256"),
        numbers=("seed", "test", "validation", "trainings", "training s"),
        rows=tuple(
            (
                ARMS[run.arm],
                f"{run.seed}",
                share(run.test_accuracy),
                share(run.validation_accuracy),
                run.won_by,
                f"{run.trainings}",
                f"{run.seconds:,.1f}",
                run.student_sha256[:12],
            )
            if run.moot is None
            else (ARMS[run.arm], f"{run.seed}", *(NONE,) * 2, f"as full: {run.moot}", *(NONE,) * 3)
            for one in evidence.summary
            for run in evidence.runs_of(one.arm)
        ),
    )


def made(evidence: Evidence) -> Grid:
    """List where the numbers come from."""
    basis, data, host = evidence.basis, evidence.basis.data, evidence.host
    return Grid(
        title="How it was made",
        header=("", ""),
        rows=(
            ("command", evidence.command),
            ("started", evidence.started_at),
            ("tool", f"hpmkd-edge {evidence.tool_version}, commit {evidence.commit or NONE}"),
            ("versions", ", ".join(f"{one.name} {one.version or NONE}" for one in evidence.versions)),
            ("seeds", ", ".join(map(str, evidence.seeds))),
            ("stages", basis.stages or NONE),
            ("data", f"{data.name} ({data.kind}) from {data.source}"),
            ("data sha256", data.sha256),
            (
                "split",
                f"{data.train_rows:,} train, {data.validation_rows:,} validation, {data.test_rows:,} test rows:"
                f" {data.split_rule}",
            ),
            (
                "host",
                f"{host.model}, {host.system}, {host.cores} cores, {host.memory_mb:,.0f} MB,"
                f" load {host.load_average:.2f}; trained on {basis.device}",
            ),
        ),
    )


def caveats(evidence: Evidence) -> tuple[str, ...]:
    """Return what the numbers do not say."""
    count = sum(one.word is not None for one in evidence.summary)
    here = any(score.trained_here for score in evidence.teachers)
    return (
        "Each arm ships the winner of its own race on validation rows, in which labels alone and plain KD always run:"
        " a part that does not help loses the race and costs its time, so its gain lies near zero.",
        "An interval is Student's t over the paired differences of the seeds, on one split of the data: it does not"
        " tell how the gain varies with other rows.",
        f"{count} intervals of 95 % were taken; about one in twenty misses by chance alone.",
        "▲ gain: the interval lies above 0. ▼ loss: below. ■ no gain: it ends below a quarter of a point. = no"
        " difference: the same accuracy with every seed. ? inconclusive: none of these.",
        "Training seconds are the sum over an arm's student trainings, each timed when it was done; trainings that arms"
        " share were done once. Training or asking teachers, the attention net and the export are not in them. Plain KD"
        " and labels alone are one training; the races of the others are several.",
        *_same_files(evidence),
        *(
            ("With no teacher given one was trained with each seed, so the gains vary with the teacher too.",)
            if here
            else ()
        ),
    )


def _same_files(evidence: Evidence) -> tuple[str, ...]:
    """Say whether one after the other gave the same files as side by side, where that was tried."""
    alone = [run for run in evidence.runs_of("without-parallel") if run.moot is None]
    full = {run.seed: run.student_sha256 for run in evidence.runs_of(FULL)}
    same = sum(run.student_sha256 == full[run.seed] for run in alone)
    if not alone:
        return ()
    return (
        "Without parallel the trainings were repeated one after the other: the file was the same to the byte with"
        f" {same} of {len(alone)} seeds. What side by side saves is time on the clock, which training seconds do not"
        " show.",
    )
