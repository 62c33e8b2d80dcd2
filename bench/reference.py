"""The fixed model that is timed beside every other: what a shared machine's times are relative to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from hpmkd_edge.bench.runtimes.runtime import Feeds


@contextmanager
def reference_file() -> Iterator[Path]:
    """Lend the path of the reference model, wherever the package was installed."""
    with as_file(files("hpmkd_edge.bench") / "reference.onnx") as path:
        yield path


def reference_feeds() -> Feeds:
    """Return its one input, always the same."""
    return {"x": np.sin(np.arange(16 * 32 * 32, dtype=np.float32)).reshape(1, 16, 32, 32)}
