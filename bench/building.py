"""Whether TensorRT takes a file: parsed and built in a process of its own, which a file may crash, and ours not.

The process is started as `python -m hpmkd_edge.bench.building FOLDER`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from hpmkd_edge.bench.profile import Shape
from hpmkd_edge.bench.runtimes import tensor_rt
from hpmkd_edge.bench.runtimes.feeds import feeds_for
from hpmkd_edge.bench.runtimes.runtime import check_file
from hpmkd_edge.bench.runtimes.tensor_rt_parse import Refusal
from hpmkd_edge.bench.runtimes.tensor_rt_plan import is_engine
from hpmkd_edge.bench.strict_json import decode
from hpmkd_edge.errors import BadConfiguration, EdgeError, MeasurementFailed, RuntimeUnavailable
from hpmkd_edge.export.inspection import inspect_file
from hpmkd_edge.json_file import parse

# Large models take TensorRT ten minutes on a small board.
TIMEOUT_S: Final = 3600.0
_ERRORS: Final = {kind.__name__: kind for kind in EdgeError.__subclasses__()}
_STDERR: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be built.

    Attributes:
        model: an ONNX file.
        batch: rows of the largest batch, of inputs that *shapes* does not name.
        shapes: of inputs of which more than the batch is open, as that of a text's ids.
        workspace_bytes: None for a quarter of the memory of the GPU that is here.
        output: where to save the engine, or None to throw it away.
    """

    model: Path
    batch: int = 1
    shapes: tuple[Shape, ...] = ()
    workspace_bytes: int | None = None
    dla_core: int | None = None
    capabilities: tuple[str, ...] = ()
    output: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it: an engine, or the reason why there is none.

    Attributes:
        tensorrt: the package and its version; None where its process ended before it said so.
        refused: the operators that TensorRT does not take.
        failure: a sentence; None where an engine was built.
    """

    model: Path
    tensorrt: str | None = None
    engine_bytes: int | None = None
    seconds: float | None = None
    precision: str | None = None
    output: Path | None = None
    refused: tuple[Refusal, ...] = ()
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the process says: an outcome, or the name of an error class and its sentence."""

    outcome: Outcome | None
    failure: tuple[str, ...] = ()


def try_to_build(wish: Wish, *, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Parse and build as wished, in a fresh process; what TensorRT makes of the file is the outcome.

    Raises:
        RuntimeUnavailable: there is no TensorRT here that can build, or not for what was wished.
        BadConfiguration: there is no such file, it must not be handed to a runtime, a batch has no row, an axis other
            than the batch's is open and no shape is given, a given one does not fit, or the output is not named as an
            engine.
        BadOutput: the engine cannot be saved.
    """
    # Before any object of TensorRT is made, in whichever process.
    reason = tensor_rt.cannot_build()
    if reason:
        raise RuntimeUnavailable(f"TensorRT cannot build here: {reason}")
    check_file(wish.model)
    inspect_file(wish.model)
    if wish.output is not None and not is_engine(wish.output):
        raise BadConfiguration(f"{wish.output.name} was asked for; a name that ends in .engine or .plan is needed.")
    if wish.batch < 1:
        raise BadConfiguration(f"a batch of {wish.batch} was asked for; at least 1 is needed.")
    with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as name:
        folder = Path(name)
        (folder / "wish.json").write_text(json.dumps(asdict(wish), default=str), encoding="utf-8")
        code = _run([sys.executable, "-m", "hpmkd_edge.bench.building", name], timeout_s)
        answer = folder / "answer.json"
        if code == 0:
            found = decode(_Answer, parse(answer.read_text(encoding="utf-8")), "the answer")
            if found.outcome is not None:
                return found.outcome
            kind, sentence = found.failure
            raise _ERRORS[kind](sentence)
    if code is None:
        end = f"took longer than the {timeout_s:g} s that it may"
    elif code < 0:
        end = f"was killed by {signal.Signals(-code).name}"
    else:
        end = f"ended with code {code}; its message is above"
    return Outcome(model=wish.model, failure=f"the process that built {wish.model.name} {end}.")


def _run(command: list[str], timeout_s: float) -> int | None:
    """Return the exit code of *command*, negative for a signal, or None when it ran out of time."""
    try:
        # What TensorRT prints is no result.
        return subprocess.run(  # noqa: S603  our own module, under this interpreter
            command, stdin=subprocess.DEVNULL, stdout=_STDERR, check=False, timeout=timeout_s
        ).returncode
    except subprocess.TimeoutExpired:
        return None


def main(folder: Path) -> int:
    """Build what the wish in *folder* says, and write the answer there."""
    wish = decode(Wish, parse((folder / "wish.json").read_text(encoding="utf-8")), "the wish")
    try:
        answer = _Answer(outcome=_build(wish))
    except EdgeError as error:
        answer = _Answer(outcome=None, failure=(type(error).__name__, str(error)))
    (folder / "answer.json").write_text(json.dumps(asdict(answer), default=str), encoding="utf-8")
    return 0


def _build(wish: Wish) -> Outcome:
    tensorrt = tensor_rt.version()
    allowance = tensor_rt.allowance_here(dla_core=wish.dla_core, capabilities=wish.capabilities)
    if wish.workspace_bytes is not None:
        allowance = replace(allowance, workspace_bytes=wish.workspace_bytes)
    try:
        shapes = {one.name: one.sizes for one in wish.shapes}
        feeds = feeds_for(tensor_rt.inputs(wish.model), batch=wish.batch, shapes=shapes)
        built = tensor_rt.build_engine(wish.model, feeds, allowance, output=wish.output)
    except MeasurementFailed as error:
        refused = tensor_rt.refused(wish.model)
        return Outcome(model=wish.model, tensorrt=tensorrt, refused=refused, failure=str(error))
    return Outcome(
        model=wish.model,
        tensorrt=tensorrt,
        engine_bytes=len(built.plan),
        seconds=built.seconds,
        precision=built.precision,
        output=wish.output,
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
