"""The runtimes there are; a new one is a module and a line."""

from __future__ import annotations

from typing import Final

from hpmkd_edge.bench.runtimes import onnx_runtime, tensor_rt
from hpmkd_edge.bench.runtimes.runtime import Runtime
from hpmkd_edge.errors import RuntimeUnavailable, unknown

RUNTIMES: Final[dict[str, Runtime]] = {"onnxruntime": onnx_runtime, "tensorrt": tensor_rt}


def choose_runtime(name: str) -> Runtime:
    """Return the runtime of that name.

    Raises:
        BadConfiguration: there is none.
        RuntimeUnavailable: it cannot run on this machine.
    """
    if name not in RUNTIMES:
        raise unknown("runtime", name, RUNTIMES)
    reason = RUNTIMES[name].missing()
    if reason:
        raise RuntimeUnavailable(f"the runtime {name} cannot run here: {reason}")
    return RUNTIMES[name]
