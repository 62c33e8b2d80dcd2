"""What a run's flags say of texts: the words that its students know, where they begin, and sentences without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hpmkd_edge.distill.unlabeled import read_unlabeled
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.request import Request
from hpmkd_edge.students.lexicon import Lexicon, lexicon_of
from hpmkd_edge.tasks.task import Task, Texts
from hpmkd_edge.teachers.sequence_classifier import SequenceTeacher
from hpmkd_edge.teachers.teacher import Teacher

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
    folder = Path(request.start).expanduser() if request.start not in (None, RANDOM) else own
    tokenizer = request.tokenizer
    if tokenizer is None and own is not None:
        tokenizer = str(own)
    return lexicon_of(
        task.train.inputs,
        tokenizer=tokenizer,
        pieces=request.vocabulary,
        folder=None if request.start == RANDOM else folder,
    )


def unlabeled_for(request: Request) -> Texts | None:
    """Return the sentences that `--unlabeled` names, or None.

    Raises:
        BadConfiguration, BadData: see `distill.unlabeled.read_unlabeled`.
    """
    return None if request.unlabeled is None else read_unlabeled(Path(request.unlabeled).expanduser(), request.text)


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
