"""The evidence of an ablation as rows of text, in Markdown and at a terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hpmkd_edge.evidence import ARMS, DIRECT, FULL, PLAIN_KD, STAGES, ArmRun, ArmSummary, Evidence, Word
from hpmkd_edge.report.figures import NONE, SCORES, score, signed
from hpmkd_edge.report.markdown import escaped, section, table
from hpmkd_edge.report.rows import Grid
from hpmkd_edge.report.terminal import open_console, say, show_grid

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
        f"# {escaped(title(evidence))}",
        escaped(lead(evidence)),
        *(f"> {escaped(note)}" for note in evidence.notes),
        *section(gains(evidence)),
        *section(accuracies(evidence)),
        *section(teachers(evidence)),
        "## How to read this",
        "\n".join(f"- {escaped(caveat)}" for caveat in caveats(evidence)),
        f"## {runs(evidence).title}",
        table(runs(evidence)),
        *section(made(evidence)),
    ]
    return "\n\n".join(parts) + "\n"


def show(evidence: Evidence) -> None:
    """Print *evidence* to stdout: gains, accuracies and times, notes."""
    console = open_console()
    say(console, title(evidence), "bold")
    say(console, lead(evidence))
    styles = [COLORS[one.word] if one.word else "dim" for one in evidence.summary if one.arm != FULL]
    show_grid(console, _lacking("compared", gains(evidence)), styles=styles)
    show_grid(console, _lacking("full trainings", _lacking("of full", accuracies(evidence))))
    if evidence.notes:
        say(console, "\nNotes", "bold")
    for note in evidence.notes:
        say(console, f"• {note}")


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
    name = SCORES[data.goal]
    names = " and ".join(dict.fromkeys(score.name for score in evidence.teachers))
    return (
        f"{basis.student} ({basis.parameters:,} parameters), taught by {names}; {len(evidence.seeds)} seeds,"
        f" every rival of a race trains {basis.epochs} epochs. {name[0].upper()}{name[1:]} is that of the exported file"
        f" on {data.test_rows:,} test rows."
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
    goal = evidence.basis.data.goal
    name = SCORES[goal]
    return Grid(
        title=f"{name[0].upper()}{name[1:]} and time of each arm",
        header=("arm", name, "95 % interval", "trainings", "full trainings", "training s", "of full"),
        numbers=(name, "95 % interval", "trainings", "full trainings", "training s", "of full"),
        rows=tuple(
            (
                ARMS[one.arm],
                score(one.accuracy, goal),
                f"{score(one.accuracy_low, goal).removesuffix(' %')} to {score(one.accuracy_high, goal)}",
                f"{one.trainings:.3g}",
                full_trainings(one, evidence),
                f"{one.seconds:,.1f}",
                f"{one.seconds / full.seconds:.0%}" if full.seconds else NONE,
            )
            if one.moot is None
            else (ARMS[one.arm], *("as full",) * 6)
            for one in evidence.summary
        ),
    )


def full_trainings(one: ArmSummary | ArmRun, evidence: Evidence) -> str:
    """Return the epochs of all trainings of an arm, in trainings of all epochs."""
    return f"{one.epochs / evidence.basis.epochs:.1f}"


def teachers(evidence: Evidence) -> Grid:
    """List the teachers of each seed."""
    return Grid(
        title="Teachers",
        header=("teacher", "seed", "validation", "test", "trained here", "sha256"),
        numbers=("seed", "validation", "test"),
        rows=tuple(
            (
                one.name,
                f"{one.seed}",
                score(one.validation_accuracy, evidence.basis.data.goal),
                score(one.test_accuracy, evidence.basis.data.goal),
                "yes" if one.trained_here else "no",
                one.sha256[:12],
            )
            for one in evidence.teachers
        ),
    )


def runs(evidence: Evidence) -> Grid:
    """List every arm with every seed."""
    return Grid(
        title="Every run",
        header=(
            "arm",
            "seed",
            "test",
            "validation",
            "won by",
            "trainings",
            "full trainings",
            "training s",
            "file sha256",
        ),
        numbers=("seed", "test", "validation", "trainings", "full trainings", "training s"),
        rows=tuple(
            (
                ARMS[run.arm],
                f"{run.seed}",
                score(run.test_accuracy, evidence.basis.data.goal),
                score(run.validation_accuracy, evidence.basis.data.goal),
                run.won_by,
                f"{run.trainings}",
                full_trainings(run, evidence),
                f"{run.seconds:,.1f}",
                run.student_sha256[:12],
            )
            if run.moot is None
            else (ARMS[run.arm], f"{run.seed}", *(NONE,) * 2, f"as full: {run.moot}", *(NONE,) * 4)
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
    epochs = evidence.basis.epochs
    trained = "; ".join(
        f"{ARMS[one.arm]} {one.trainings:.3g}, as long as {full_trainings(one, evidence)} full ones"
        for one in evidence.summary
        if one.moot is None
    )
    return (
        "Each arm ships the winner of its own race on validation rows, in which labels alone and plain KD always run:"
        " a part that does not help loses the race and costs its time, so its gain lies near zero.",
        _on_settings(evidence),
        f"Every rival of a race trains {epochs} epochs; short races and stages train shares of it. Trainings of each"
        f" arm, a full one being of {epochs} epochs: {trained}.",
        "An interval is Student's t over the paired differences of the seeds, on one split of the data: it does not"
        " tell how the gain varies with other rows.",
        f"{count} intervals of 95 % were taken; about one in twenty misses by chance alone.",
        "▲ gain: the interval lies above 0. ▼ loss: below. ■ no gain: it ends below a quarter of a point. = no"
        " difference: the same test score with every seed. ? inconclusive: none of these.",
        "Training seconds are the sum over an arm's student trainings, each timed when it was done; trainings that arms"
        " share were done once. Training or asking teachers, the attention net and the export are not in them.",
        *_same_files(evidence),
        *(
            ("With no teacher given one was trained with each seed, so the gains vary with the teacher too.",)
            if here
            else ()
        ),
    )


def _on_settings(evidence: Evidence) -> str:
    """Say which settings the plain ways have; others than the full arm's would be compared along with them."""
    if not evidence.basis.searched:
        return "No settings were searched for: every arm has the task's own, labels alone and plain KD as well."
    return (
        "Labels alone and plain KD have the settings that the full pipeline's search chose, and the search's trainings"
        " are counted with theirs: what is gained over plain KD comes from the parts other than configuration, whose"
        " own worth is that of the search."
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
