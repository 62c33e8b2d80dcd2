"""One batch, handed to the runtime once, so that a timed run is the runtime's own work and nothing before it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from hpmkd_edge.bench.runtimes.onnx_runtime import OnnxSession
from hpmkd_edge.bench.runtimes.runtime import Feeds, Session

BOUND: Final = "bound"
COPIED: Final = "copied"


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
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(array))
    binding.bind_output(session.output)
    return partial(session.native.run_with_iobinding, binding), BOUND
