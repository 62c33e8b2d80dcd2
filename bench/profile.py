"""What one measurement of a model file saw: raw samples kept, statistics derived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

SCHEMA: Final = "hpmkd-edge/profile/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine that took a measurement.

    Attributes:
        model: the board's own name (device tree) or the CPU's.
        load_average: one-minute load when the timing began.
        governor: CPU frequency governor, or None where the system has none.
        power_mode: nvpmodel's mode on a Jetson, else None.
    """

    name: str
    model: str
    system: str
    python: str
    cores: int
    memory_mb: float
    load_average: float
    governor: str | None
    power_mode: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One model file, one runtime, one host.

    Times are in the unit of their name. `samples_ns` are the timed runs of the model;
    `reference_ns` those of the fixed reference model, interleaved with them in the same process.
    `peak_memory_mb` is the process's high-water mark above its own baseline after imports.
    `engine_build_s` and `placement_share` are None where the runtime has no such thing or it was not taken.
    """

    schema: Literal["hpmkd-edge/profile/1"] = SCHEMA
    model: str
    model_sha256: str
    model_bytes: int
    runtime: str
    runtime_version: str
    providers: tuple[str, ...]
    precision: str
    batch: int
    threads: int
    protocol: str
    processes: int
    load_ms: float
    first_run_ms: float
    warmup_ms: float
    engine_build_s: float | None
    samples_ns: tuple[int, ...]
    reference_ns: tuple[int, ...]
    peak_memory_mb: float | None
    placement_share: float | None
    host: Host
    tool_version: str
    taken_at: str
