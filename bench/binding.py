"""One batch, handed to the runtime once, so that a timed run is the runtime's own work and nothing before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from hpmkd_edge.bench.runtimes.onnx_runtime import OnnxSession
from hpmkd_edge.bench.runtimes.runtime import Feeds, Session

BOUND: Final = "bound"
COPIED: Final = "copied"


@dataclass(frozen=True, slots=True, kw_only=True)
class _BoundRun:
    """A call without arguments.

    Attributes:
        held: what the binding points to. ONNX Runtime before 1.31 keeps neither its values nor the arrays under them.
    """

    native: Any
    binding: Any
    held: Sequence[object]

    def __call__(self) -> None:
        self.native.run_with_iobinding(self.binding)


def bound_run(session: Session, feeds: Feeds) -> tuple[Callable[[], object], str]:
    """Return a call that runs the same batch again, and whether its inputs are bound or copied each time.

    ONNX Runtime's inputs are bound, but for strings, which it takes from Python only, and for a model behind its
    preprocessing, whose hand-over is part of the run. Of other runtimes each run is one as a caller sees it.

    Args:
        session: that has answered *feeds* before, so that what is wrong with them was said.
        feeds: not to be changed while the call is used.
    """
    if not isinstance(session, OnnxSession) or any(array.dtype.kind == "O" for array in feeds.values()):
        return partial(session.run, feeds), COPIED
    from onnxruntime import OrtValue

    binding = session.native.io_binding()
    values = {name: OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    binding.bind_output(session.output)
    held = (*values.values(), *feeds.values())
    return _BoundRun(native=session.native, binding=binding, held=held), BOUND
