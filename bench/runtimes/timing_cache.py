"""What TensorRT's kernels took on one GPU, kept on disk: a second build on the same board measures little anew."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpmkd_edge.bench.runtimes.cuda_driver import Gpu
from hpmkd_edge.store.folder import cache_folder


@dataclass(frozen=True, slots=True)
class TimingCache:
    """A file of kernel timings, of one version of TensorRT on one kind of GPU."""

    path: Path

    def attach(self, config: Any) -> Any:
        """Give what the file holds to a build; return the native cache, which must outlive it.

        A file of another device or version, which TensorRT refuses, counts as none: it is only ever a saving of time.
        """
        content = self.path.read_bytes() if self.path.is_file() else b""
        for one in dict.fromkeys((content, b"")):
            timing = config.create_timing_cache(one)
            if timing is not None and config.set_timing_cache(timing, False):
                return timing
        return None

    def keep(self, config: Any) -> bytes:
        """Write what a build has measured, the old and the new, and return it; nothing where none was attached."""
        timing = config.get_timing_cache()
        if timing is None:
            return b""
        content = bytes(timing.serialize())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Builds side by side write a whole file each; the last one stays.
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        draft.write_bytes(content)
        draft.replace(self.path)
        return content


def open_timing_cache(version: str, gpu: Gpu) -> TimingCache:
    """Return the cache of one *version* of TensorRT on one kind of *gpu*, in the user's cache folder."""
    kind = re.sub(r"[^A-Za-z0-9.]+", "-", f"{version} {gpu.name} {gpu.compute_capability}").strip("-")
    return TimingCache(cache_folder() / "timing" / f"{kind}.cache")
