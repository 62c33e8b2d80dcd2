"""The name of a run: the same for two that make the same bytes."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import torch

from hpmkd_edge import __version__
from hpmkd_edge.preparation import Preparation
from hpmkd_edge.request import Request
from hpmkd_edge.targets import Target


def run_id(request: Request, preparation: Preparation, target: Target | None) -> str:
    """Return 16 hexadecimal digits of all that decides what *request* makes for *target*, or for none.

    Where it is measured, and who follows it, decides nothing: a record taken by hand names a file of the run before.
    """
    asked = replace(
        request,
        targets=() if target is None else (target.name,),
        command="",
        started_in="",
        host=None,
        profiles=(),
        records=None,
        log=(),
    )
    teachers = [tutor.teacher.digest for tutor in preparation.tutors]
    student, device = preparation.workshop.family.digest, preparation.curriculum.untaught.labels.device.type
    code = f"hpmkd-edge {__version__} torch {torch.__version__} {device}"
    place = None if target is None else replace(target, host=None)
    decisive = f"{code} {asked} {preparation.task.digest} {teachers} {student} {place}"
    return sha256(decisive.encode()).hexdigest()[:16]
