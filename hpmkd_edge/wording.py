"""What a run's flags say of texts: the words that its students know, where they begin, and sentences without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from hpmkd_edge.distill.text_copies import places_for_unlabeled
from hpmkd_edge.distill.unlabeled import read_unlabeled
from hpmkd_edge.errors import BadConfiguration, BadData
from hpmkd_edge.export.artifact import TOKENIZER
from hpmkd_edge.plan.settings import Settings
from hpmkd_edge.python_file import is_python_spec
from hpmkd_edge.request import Request
from hpmkd_edge.students.encoder import Encoder
from hpmkd_edge.students.lexicon import Lexicon, lexicon_of
from hpmkd_edge.tasks.task import Task, Texts
from hpmkd_edge.teachers.sequence_classifier import SequenceTeacher
from hpmkd_edge.teachers.teacher import Teacher

MOST_VIEWS: Final = 64
ENCODER: Final = Encoder().name
RANDOM: Final = "random"  # what --start takes beside a folder
_FOUND: Final = {"images": "images", "table": "a table"}


def lexicon_for(request: Request, task: Task, teachers: Sequence[Teacher]) -> Lexicon | None:
    """Return what students of *task* read by; None where it has no text.

    Tokenizer and first weights are those of the first teacher that is a Hugging Face folder, unless flags say others.

    Raises:
        BadConfiguration: a flag for texts is given and the task has none, or what it names cannot be used.
        BadStudent: the encoder to begin from cannot be read.
    """
    if not isinstance(task.train.inputs, Texts):
        _refuse(request, task)
        return None
    own = next((teacher.folder for teacher in teachers if isinstance(teacher, SequenceTeacher)), None)
    folder = own if request.start in (None, RANDOM) else _start(str(request.start))
    tokenizer = request.tokenizer
    if tokenizer is None and own is not None:
        tokenizer = str(own)
    if folder is not None and folder != own and not (folder / TOKENIZER).is_file():
        raise BadConfiguration(
            f"--start {request.start} has no {TOKENIZER}, which tells its pieces apart; a folder with both is needed."
        )
    return lexicon_of(
        task.train.inputs,
        tokenizer=tokenizer,
        pieces=request.vocabulary,
        folder=None if request.start == RANDOM else folder,
        also=task.validation.inputs if isinstance(task.validation.inputs, Texts) else None,
        # Of ours only the encoder takes layers; what a family of the user's own takes is not known.
        layers=request.student is not None and (request.student == ENCODER or is_python_spec(request.student)),
        like=folder,
    )


def _start(named: str) -> Path:
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise BadConfiguration(f"--start {named} is no folder; that of an encoder, or {RANDOM}, is needed.")
    return folder


def unlabeled_for(request: Request, task: Task) -> tuple[Texts | None, tuple[str, ...]]:
    """Return the sentences that `--unlabeled` names, or None, and a note where some are left out.

    Those of validation and test rows are: a student that learned from them would be measured on what it has seen.

    Raises:
        BadConfiguration, BadData: see `distill.unlabeled.read_unlabeled`; or all of them are such.
    """
    if request.unlabeled is None:
        return None, ()
    import pyarrow
    from pyarrow import compute

    assert task.text is not None  # a text is a column of a table
    found = read_unlabeled(Path(request.unlabeled).expanduser(), task.text)
    parts = [rows.inputs.sentences for rows in (task.validation, task.test) if isinstance(rows.inputs, Texts)]
    is_measured = compute.is_in(found.sentences, value_set=pyarrow.concat_arrays(parts))
    left_out = is_measured.true_count
    if not left_out:
        return found, ()
    where = "are also validation or test rows"
    if left_out == len(found):
        raise BadData(f"all sentences of --unlabeled {where}; others are needed.")
    note = f"{left_out:,} of {len(found):,} sentences of --unlabeled {where}; they were left out."
    return Texts(sentences=found.sentences.filter(compute.invert(is_measured))), (note,)


def with_room(settings: Settings, unlabeled: Texts, request: Request, task: Task) -> tuple[Settings, str]:
    """Return *settings* with views for all *unlabeled* sentences where the user names no number, and how many are used.

    There are no more views than epochs, which go over one each, and at most 64: each is answered by every teacher.

    Raises:
        BadConfiguration: there is no view for any.
    """
    rows = len(task.train)
    if request.views is None:
        needed = 2 * -(-len(unlabeled) // rows)
        settings = replace(settings, views=max(settings.views, min(needed, settings.epochs, MOST_VIEWS)))
    room = places_for_unlabeled(min(settings.views, settings.epochs) - 1, rows)
    if not room:
        raise BadConfiguration(
            f"no view is left for --unlabeled: --views is {settings.views} and --epochs {settings.epochs}; at least 2"
            " of both are needed, since the first view is the training rows."
        )
    return settings, f"{min(room, len(unlabeled)):,} of {len(unlabeled):,} sentences of --unlabeled were used."


def _refuse(request: Request, task: Task) -> None:
    flags = {
        "--tokenizer": request.tokenizer,
        "--vocabulary": request.vocabulary,
        "--start": request.start,
        "--unlabeled": request.unlabeled,
    }
    for flag, value in flags.items():
        if value is not None:
            raise BadConfiguration(f"{flag} is for texts, and this task has {_FOUND[task.kind]}; leave it out.")
