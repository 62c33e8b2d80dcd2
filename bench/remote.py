"""Measure on a board: the same jobs as here, in the same worker, in a folder that is gone afterwards."""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

from hpmkd_edge.bench.address import parse_address
from hpmkd_edge.bench.bundle import bundle_tar
from hpmkd_edge.bench.job import Job, write_job
from hpmkd_edge.bench.process import Visit, outcome
from hpmkd_edge.bench.runtimes.runtime import Feeds
from hpmkd_edge.bench.runtimes.tensor_rt_plan import is_engine
from hpmkd_edge.bench.ssh import Line
from hpmkd_edge.errors import BadConfiguration, EdgeError
from hpmkd_edge.export.artifact import is_tokenizer
from hpmkd_edge.export.inspection import inspect_file, weight_files

CHECK_S: Final = 60.0
_ANSWER: Final = re.compile(r"\w[\w.-]*", re.ASCII)


class Board:
    """A board that is connected to; each file is copied there once."""

    def __init__(self, line: Line) -> None:
        """Send what the worker needs."""
        self._line = line
        self._there: dict[Path, Path] = {}
        self._jobs = 0
        code = bundle_tar()
        line.send({}, io.BytesIO(code), len(code))

    def visit(self, job: Job, feeds: tuple[Feeds, ...], timeout_s: float) -> Visit:
        """Carry out *job* in a fresh process on the board; *timeout_s* is for the process.

        Raises:
            EdgeError: what the process met, under its own class.
            BadConfiguration: a file must not be handed to a runtime.
            MeasurementFailed: it crashed, took longer than *timeout_s*, the board has no room, or the line broke.
        """
        self._jobs += 1
        name = f"job-{self._jobs}"
        with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as place:
            folder = Path(place)
            with tempfile.TemporaryFile() as file:
                size = self._pack(file, name, job, feeds, folder)
                self._line.send({"job": name}, file, size)
            answer = self._line.receive(timeout_s)
            if answer is not None:
                _unpack(answer[1], folder)
            try:
                return outcome(folder, job, None if answer is None else answer[0]["code"], timeout_s)
            except EdgeError as error:
                raise type(error)(f"on {self._line.address}: {error}") from error

    def _pack(self, file: IO[bytes], name: str, job: Job, feeds: tuple[Feeds, ...], folder: Path) -> int:
        """Write the job and the files that are not on the board yet as a tar; return its size."""
        fresh = {path for path in (*job.models, *job.preprocessing) if path and path not in self._there}
        # A file keeps its name, which errors name; its folder's is ours.
        places = {path: Path(f"model-{len(self._there) + i}", path.name) for i, path in enumerate(sorted(fresh))}
        # Two files of one folder may share their weights: each has its own, under its own name for them.
        beside = [
            (file, place.parent / file.relative_to(path.parent))
            for path, place in places.items()
            for file in _weights(path)
        ]
        self._there |= places
        there = replace(
            job,
            models=tuple(self._there[path] for path in job.models),
            preprocessing=tuple(path and self._there[path] for path in job.preprocessing),
        )
        write_job(folder, there, feeds)
        written = {path: Path(name, path.name) for path in sorted(folder.iterdir())}
        with tarfile.open(fileobj=file, mode="w") as archive:
            for path, place in [*places.items(), *beside, *written.items()]:
                member = tarfile.TarInfo(str(place))
                member.size = path.stat().st_size
                with path.open("rb") as content:
                    archive.addfile(member, content)
        size = file.tell()
        file.seek(0)
        return size


@contextmanager
def connect(address: str) -> Iterator[Board]:
    """Connect to the board at `ssh://user@board[:port]`; afterwards nothing of ours is left there.

    Raises:
        BadConfiguration: *address* has another form, or this runs from a bundle.
        RuntimeUnavailable: the board cannot be reached or entered, or its Python does not suffice.
        MeasurementFailed: it has no room, or the line broke.
    """
    where = parse_address(address)
    if not Path(__file__).is_file():
        raise BadConfiguration(f"this is a bundle for a board; the whole tool is needed to measure at {where}.")
    line = Line(where)
    try:
        yield Board(line)
    finally:
        line.close()


def check_board(address: str, runtime: str, *, tokenized: bool = False) -> None:
    """Connect to a board and see whether it has *runtime*, before anything is made that is to be measured there.

    Args:
        address: of the board.
        runtime: a key of `RUNTIMES`.
        tokenized: whether a tokenizer will run before the model.

    Raises:
        BadConfiguration: *address* has another form.
        RuntimeUnavailable: the board cannot be reached or entered, or lacks Python, numpy, the runtime or tokenizers.
        MeasurementFailed: it has no room, or the line broke.
    """
    job = Job(runtime=runtime, threads=1, models=(), preprocessing=(), names=(), sampling=None, tokenized=tokenized)
    with connect(address) as board:
        board.visit(job, (), CHECK_S)


def _weights(path: Path) -> tuple[Path, ...]:
    """Return the files beside *path* that it needs: inspected, for a file could name any of this machine's."""
    if find_spec("onnx") is None or is_engine(path) or is_tokenizer(path):
        return ()
    inspect_file(path)
    return weight_files(path)


def _unpack(packed: bytes, folder: Path) -> None:
    """Write the files of an answer; a board does not say where."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            content = archive.extractfile(member) if _ANSWER.fullmatch(member.name) else None
            if content is not None:
                (folder / member.name).write_bytes(content.read())
