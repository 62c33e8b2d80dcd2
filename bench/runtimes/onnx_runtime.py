"""ONNX Runtime on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.runtimes.runtime import Feeds, Input, check_feeds, check_file
from hpmkd_edge.errors import MeasurementFailed

PROVIDER: Final = "CPUExecutionProvider"
EXTENSIONS: Final = "onnxruntime_extensions"
EXTENSIONS_LIBRARY: Final = "_extensions_pydll*.so"
EXTENSIONS_DOMAIN: Final = "ai.onnx.contrib"

# As ONNX Runtime writes the types of inputs; the rest of ONNX's types cannot be fed from numpy.
_DTYPES: Final[dict[str, type[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


@dataclass(frozen=True, slots=True)
class OnnxSession:
    """A model that ONNX Runtime loaded; fits `Session`."""

    path: Path
    native: Any
    providers: tuple[str, ...]
    output: str
    engine_build_s: None = None
    device_bytes: int = 0

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """Answer one batch with the file's first output."""
        try:
            answer: NDArray[Any] = self.native.run([self.output], feeds)[0]
        except Exception as error:
            raise MeasurementFailed(f"ONNX Runtime cannot run {self.path.name}: {_sentence(error)}") from error
        return answer

    def enqueue_share(self) -> None:
        """Return None: a CPU is handed nothing over."""
        return


def missing() -> str | None:
    """Say in a sentence why ONNX Runtime cannot run here; None if it can."""
    return None if find_spec("onnxruntime") else "the onnxruntime package is not installed."


def version() -> str:
    """Return ONNX Runtime's version."""
    import onnxruntime

    return str(onnxruntime.__version__)


def inputs(path: Path) -> tuple[Input, ...]:
    """Return the inputs that the file declares.

    Raises:
        BadConfiguration: there is no such file.
        MeasurementFailed: it cannot be loaded, or takes what is not a tensor.
    """
    # The graph is not to be optimized for that: folding constants takes time, and as much memory as they say.
    return _inputs(path, _open(path, threads=1, optimized=False))


def load(path: Path, threads: int, feeds: Feeds) -> OnnxSession:
    """Load *path* with all graph optimizations, on *threads* threads within an operator and one across.

    Raises:
        BadConfiguration: there is no such file.
        MeasurementFailed: it cannot be loaded, or *feeds* do not name its inputs.
    """
    native = _open(path, threads)
    check_feeds(path, _inputs(path, native), feeds)
    return OnnxSession(
        path=path,
        native=native,
        providers=tuple(native.get_providers()),
        output=native.get_outputs()[0].name,
    )


def _open(path: Path, threads: int, *, optimized: bool = True) -> Any:
    import onnxruntime

    check_file(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    options.log_severity_level = 3
    if threads > 1:
        # Threads that spin while they wait take the cores from whatever runs beside them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=[PROVIDER])
        except Exception as error:
            # Operators that read text are in a library of their own, which other files need not pay for.
            if EXTENSIONS_DOMAIN not in str(error) or _extensions() is None:
                raise
        options.register_custom_ops_library(str(_extensions()))
        return onnxruntime.InferenceSession(str(path), options, providers=[PROVIDER])
    except Exception as error:
        needed = " pip install 'hpmkd-edge[text]' has them." if EXTENSIONS_DOMAIN in str(error) else ""
        raise MeasurementFailed(f"ONNX Runtime cannot load {path}: {_sentence(error)}{needed}") from error


def _extensions() -> Path | None:
    """Return the library of operators that read text, or None; its package imports transformers and torch."""
    spec = find_spec(EXTENSIONS)
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    return None if folder is None else next(folder.glob(EXTENSIONS_LIBRARY), None)


def _inputs(path: Path, native: Any) -> tuple[Input, ...]:
    found = []
    for one in native.get_inputs():
        if one.type not in _DTYPES:
            raise MeasurementFailed(
                f"{path.name} takes a {one.type} as {one.name}; a tensor of a type that numpy has is needed."
            )
        # Some exporters write 0 or -1 for an open axis.
        shape = tuple(axis if isinstance(axis, int) and axis > 0 else None for axis in one.shape)
        found.append(Input(name=one.name, dtype=np.dtype(_DTYPES[one.type]), shape=shape))
    return tuple(found)


def _sentence(error: Exception) -> str:
    """Return the message without ONNX Runtime's "[ONNXRuntimeError] : 3 : NO_SUCHFILE : " before it."""
    text = " ".join(str(error).split())
    return text.split(" : ", 3)[-1].rstrip(".") + "."
