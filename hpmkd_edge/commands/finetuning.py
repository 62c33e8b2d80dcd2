"""`finetune`: an encoder trained for a task, to teach it."""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpmkd_edge.commands.options import Format, Output, Quiet
from hpmkd_edge.conduct import before_a_run, folder_of, reader_may_leave, stopped_at_once
from hpmkd_edge.errors import BadConfiguration

if TYPE_CHECKING:
    from hpmkd_edge.finetuned import Finetuned
    from hpmkd_edge.report.rows import Grid

EXAMPLES = """\b
Examples:
  hpmkd-edge finetune sentence-transformers/all-MiniLM-L6-v2 --data sst2.tsv --label label --split split
  hpmkd-edge finetune models/minilm --data questions.csv --text question --label kind --epochs 5
  hpmkd-edge finetune --resume runs/sst2-teacher-20260102-030405"""


class Device(str, Enum):
    """Where to train."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Pooling(str, Enum):
    """What the classes are read from."""

    AUTO = "auto"
    MEAN = "mean"
    HEAD = "head"


class Keep(str, Enum):
    """Which epoch's weights are written."""

    LAST = "last"
    BEST = "best"


def finetune(
    context: typer.Context,
    encoder: Annotated[
        str | None,
        typer.Argument(help="A folder of transformers' save_pretrained, or a name on the hub.", metavar="ENCODER"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A .csv, .tsv or .parquet file with a column of sentences, or a folder of such.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    text: Annotated[
        str | None, typer.Option(help="The column of sentences. [default: the only one of text]", metavar="COLUMN")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The column that says train, validation or test.", metavar="COLUMN")
    ] = None,
    split_seed: Annotated[int, typer.Option(help="Of the split, where the data has none of its own.")] = 0,
    epochs: Annotated[int, typer.Option(help="How often each row is seen.")] = 3,
    batch: Annotated[int, typer.Option(help="Rows of a step.")] = 32,
    length: Annotated[
        str,
        typer.Option(
            help="Most pieces of a row; auto is what all but a thousandth of the rows need.", metavar="PIECES"
        ),
    ] = "auto",
    pooling: Annotated[
        Pooling,
        typer.Option(
            help="Classes from the mean over the pieces, or from what the architecture's own head reads; auto is the"
            " mean where the folder's 1_Pooling says so."
        ),
    ] = Pooling.AUTO,
    learning_rate: Annotated[float, typer.Option(help="At its highest.")] = 5e-5,
    weight_decay: Annotated[float, typer.Option(help="Of matrices.")] = 0.01,
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the rate rises.", metavar="SHARE")] = 0.06,
    keep: Annotated[Keep, typer.Option(help="The last epoch's weights, or the best on validation rows.")] = Keep.LAST,
    seed: Annotated[int, typer.Option(help="Of new weights, order and dropout.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.AUTO,
    output: Annotated[
        Path | None, typer.Option(help="The teacher's folder. [default: runs/DATA-teacher-TIME]", metavar="DIR")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Take up an interrupted training.", metavar="DIR")] = None,
    format: Output = Format.TEXT,  # noqa: A002
    quiet: Quiet = False,
) -> None:
    """Train an encoder for a task of sentences, to teach students of it."""
    if resume is not None and encoder is not None:
        raise BadConfiguration("ENCODER cannot go with --resume, which takes up a training as it was asked for.")
    before_a_run(context, resume, quiet=quiet, verbose=False)
    if resume is None and (encoder is None or data is None):
        missing = "no ENCODER was given" if encoder is None else "no --data was given"
        raise BadConfiguration(f"{missing}; an encoder and a file of sentences are needed, or --resume.")

    from hpmkd_edge.finetune.request import FineTuning
    from hpmkd_edge.finetuning import finetune as run
    from hpmkd_edge.finetuning import finetuning_output, resume_finetuning
    from hpmkd_edge.report.machine import to_json

    if resume is not None:
        folder = folder_of(resume, resume)
        with stopped_at_once(folder), redirect_stdout(sys.stderr):
            made = resume_finetuning(resume)
    else:
        assert encoder is not None
        assert data is not None
        request = FineTuning(
            encoder=encoder,
            data=data,
            label=label,
            text=text,
            split=split,
            split_seed=split_seed,
            epochs=epochs,
            batch=batch,
            length=_length(length),
            pooling=pooling.value,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup=warmup,
            keep=keep.value,
            seed=seed,
            device=device.value,
            command=shlex.join(["hpmkd-edge", *sys.argv[1:]]),
        )
        request.check()
        folder = output or finetuning_output(request)
        with stopped_at_once(folder), redirect_stdout(sys.stderr):
            made = run(request, output=folder)
    print(f"hpmkd-edge: the teacher is in {folder}", file=sys.stderr)
    with reader_may_leave():
        if format is Format.JSON:
            print(to_json(made))
        elif not quiet:
            _show(made, folder)


def _length(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal():
        raise BadConfiguration(f"--length is {text!r}; a number of pieces, or auto, is needed.")
    return int(text)


def _show(made: Finetuned, folder: Path) -> None:
    """Print what was made, and how to go on."""
    from hpmkd_edge.report.figures import megabytes, quantity, share
    from hpmkd_edge.report.terminal import open_console, say, show_grid

    console = open_console()
    test = f"{share(made.test_accuracy)} ± {100 * made.test_error:.2f} on {made.data.test_rows:,} test rows"
    say(console, f"{made.data.name}: {test}", "bold")
    show_grid(console, _epochs(made))
    weights = quantity(megabytes(made.weights_bytes), " MB")
    say(console, f"\n{made.encoder.parameters:,} parameters, {weights}; weights of epoch {made.kept_epoch}")
    for note in made.notes:
        say(console, f"• {note}")
    say(console, "\nTo compress it:", "bold")
    # A command is copied: it must come out on lines of its own, unbroken.
    print(_next_command(made, folder))


def _epochs(made: Finetuned) -> Grid:
    from hpmkd_edge.report.figures import quantity, share
    from hpmkd_edge.report.rows import Grid

    header = ("epoch", "loss", "validation loss", "validation", "seconds")
    rows = tuple(
        (
            str(number),
            f"{epoch.loss:.4f}",
            f"{epoch.validation_loss:.4f}",
            share(epoch.validation_accuracy),
            quantity(epoch.seconds, ""),
        )
        for number, epoch in enumerate(made.epochs, 1)
    )
    return Grid(title=f"{made.encoder.name}, epoch by epoch", header=header, numbers=header, rows=rows)


def _next_command(made: Finetuned, folder: Path) -> str:
    """Return the command that takes the teacher, on the same rows."""
    settings = dict(made.settings)
    flags = [("--data", made.data.source)]
    flags += [(f"--{name}", settings[name]) for name in ("label", "text", "split") if name in settings]
    if settings["split_seed"] != "0":
        flags.append(("--split-seed", settings["split_seed"]))
    given = [part for flag in flags for part in flag]
    return shlex.join(["hpmkd-edge", "compress", "--target", "host", *given, "--teacher", str(folder)])
