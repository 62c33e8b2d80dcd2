"""Jobs that a worker process can import: each takes the executor's context, a stop and its own arguments."""

import logging
import os
import time
from pathlib import Path

import numpy as np

from hpmkd_edge.errors import Interrupted, TrainingFailed

PATIENCE_S = 60


def add(context, stop, *numbers):
    return context + sum(numbers)


def wait_for(path, stop=lambda: False):
    """Wait until *path* exists; a test that would hang fails instead."""
    end = time.monotonic() + PATIENCE_S
    while not path.exists():
        if stop():
            raise Interrupted(f"waited for {path.name}; the state is saved.")
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.01)


def touch(context, stop, folder, name, needed=()):
    """Make a file, and say whether those that are needed were there."""
    there = all((Path(folder) / other).exists() for other in needed)
    (Path(folder) / name).touch()
    return there


def meet(context, stop, folder, own, other):
    """Come to an end only beside another job."""
    (Path(folder) / own).touch()
    wait_for(Path(folder) / other)
    return os.getpid()


def wait_to_be_stopped(context, stop, folder, name):
    """Save and raise when asked to stop."""
    (Path(folder) / f"{name} began").touch()
    try:
        wait_for(Path(folder) / "never", stop)
    except Interrupted:
        (Path(folder) / f"{name} saved").touch()
        raise


def diverge(context, stop, sentence, folder=None, after=None):
    if after is not None:
        wait_for(Path(folder) / after)
    raise TrainingFailed(sentence)


def leave(context, stop, reason):
    raise SystemExit(reason)


class Fussy(Exception):
    """Cannot be rebuilt from its arguments."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def be_fussy(context, stop):
    raise Fussy("this", "that")


def die(context, stop, code=None):
    """Leave without an answer, as a process does that the kernel kills."""
    if code is None:
        os.kill(os.getpid(), 9)
    os._exit(code)


def say(context, stop, sentence):
    print(sentence)
    logging.getLogger("hpmkd_edge.sample").info("logged: %s", sentence)


def threads(context, stop):
    import torch

    return torch.get_num_threads(), os.environ["NUMBA_NUM_THREADS"]


def total(context, stop, array, change=False):
    """Sum an array or tensor, after writing to it if so asked, and say whether it is a map of a file."""
    if change:
        array[:] = 0
    base = array.numpy() if hasattr(array, "numpy") else array
    return float(base.sum(dtype=np.float64)), "/" in _mapped_at(base.__array_interface__["data"][0])


def _mapped_at(address):
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if begin <= address < end:
            return line
    return ""


def process(context, stop):
    return os.getpid()


def group(context, stop):
    return os.getpgrp()


def is_stopped(context, stop):
    return stop()
