"""What one measurement of a model file saw: raw samples kept, statistics derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from hpmkd_edge.bench.order_statistic import rank_above, rank_below
from hpmkd_edge.bench.strict_json import decode
from hpmkd_edge.errors import BadReport
from hpmkd_edge.json_file import parse, write_json

SCHEMA: Final = "hpmkd-edge/profile/1"

NOISY_CPU: Final = 0.10
# How far the p90s of the processes, or of thirds of the only one, may lie apart: two records then agree as well.
UNSTEADY: Final = 0.05
CLOCK_DRIFT: Final = 0.05
LEAST_PART: Final = 20  # runs, below which a p90 is one outlier
# A board that warms by more has not come to the temperature that it would work at.
WARMER_C: Final = 10.0
NOISY_GPU: Final = 0.025
HOST_BOUND: Final = 0.8
BUSY_PER_CORE: Final = 0.75


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
class State:
    """The machine at one moment; None is what its kernel does not say.

    Attributes:
        clock_mhz: the fastest core's that the process may use.
        gpu_clock_mhz: a Jetson's.
        temperature_c: the hottest sensor's.
        affinity: the cores that the process may use.
    """

    clock_mhz: float | None
    gpu_clock_mhz: float | None
    temperature_c: float | None
    load_average: float
    affinity: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one input was fed."""

    name: str
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """The file that runs before the model, on the CPU, in every timed call."""

    file: str
    sha256: str
    bytes: int
    runtime: str
    runtime_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthLatency:
    """What a sentence of so many pieces takes, tokenizer included.

    Attributes:
        runs: how many were timed.
    """

    pieces: int
    p50_ms: float
    p90_ms: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One model file, one runtime, one host.

    Times are in the unit of their name. `samples_ns` are the timed runs of the model;
    `reference_ns` those of the fixed reference model, interleaved with them in the same process.
    `peak_memory_mb` is the process's high-water mark, or what a look found above that, less its own baseline after
    imports, plus what the runtime allocated on a device; None where the kernel does not let the mark be reset.
    `engine_build_s` is None where no engine was built.
    `placement_share` is the share of the multiply-adds that the intended provider executes: 1 where it is
    the only one, None where there are several and it was not taken.
    `preprocessing` is None where the model takes raw rows itself; `model_bytes` are those of both files,
    and of the weights that lie beside them.
    `warmup_settled` says whether the medians of two blocks came near each other within the limit.
    `enqueue_share` is the host's time to hand over the work relative to the device's to do it; None on a CPU.
    `shapes` are of the batch that was fed, `entering` of what a tokenizer made of it, which tells sentences apart;
    empty of other models, and of older records. `io` is "bound" where inputs were handed to the runtime once,
    "copied" where each timed run hands them over. `inter_threads` run operators beside each other.
    `runs` are how many of the samples each process gave; `states` the machine before and after each one's timing.
    `sampled_memory_mb` is the most that a look every few milliseconds found, above `baseline_memory_mb` as the peak.
    `activation_bytes` is the arena that the graph needs; None where its shapes do not follow from those of its inputs,
    or onnx is not installed.
    """

    schema: Literal["hpmkd-edge/profile/1"] = SCHEMA
    model: str
    model_sha256: str
    model_bytes: int
    preprocessing: Preprocessing | None = None
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
    warmup_settled: bool = True
    engine_build_s: float | None
    enqueue_share: float | None = None
    samples_ns: tuple[int, ...]
    reference_ns: tuple[int, ...]
    peak_memory_mb: float | None
    placement_share: float | None
    host: Host
    tool_version: str
    taken_at: str
    shapes: tuple[Shape, ...] = ()
    io: str = "copied"
    inter_threads: int = 1
    runs: tuple[int, ...] = ()
    states: tuple[State, ...] = ()
    sampled_memory_mb: float | None = None
    baseline_memory_mb: float | None = None
    activation_bytes: int | None = None
    entering: tuple[Shape, ...] = ()

    def percentile_ms(self, p: float) -> float | None:
        """Return the p-th percentile, or None where so few runs do not support an upper bound of it."""
        return _percentile_ms(self.samples_ns, p)

    def percentile_bound_ms(self, p: float) -> float | None:
        """Return the upper bound of the p-th percentile at 99 % confidence, or None if n is too small.

        Source: the early-stopping order statistic of MLPerf Inference; see `order_statistic`.
        """
        return _ranked_ms(self.samples_ns, rank_above(len(self.samples_ns), p))

    def percentile_lower_bound_ms(self, p: float) -> float | None:
        """Return the lower bound of the p-th percentile at 99 % confidence, or None if n is too small."""
        return _ranked_ms(self.samples_ns, rank_below(len(self.samples_ns), p))

    @property
    def files(self) -> tuple[str, ...]:
        """The sha256 of each file that was timed, in the order in which they run."""
        before = () if self.preprocessing is None else (self.preprocessing.sha256,)
        return (*before, self.model_sha256)

    @property
    def fed(self) -> tuple[Shape, ...]:
        """What makes two feeds the same: the shapes of the batch, and of what a tokenizer made of it."""
        return (*self.shapes, *self.entering)

    @property
    def p50_ms(self) -> float | None:
        """The median; None below 11 runs."""
        return self.percentile_ms(50)

    @property
    def p90_ms(self) -> float | None:
        """The 90th percentile; None below 64 runs."""
        return self.percentile_ms(90)

    @property
    def p95_ms(self) -> float | None:
        """The 95th percentile; None below 130 runs."""
        return self.percentile_ms(95)

    @property
    def p99_ms(self) -> float | None:
        """The 99th percentile; None below 662 runs."""
        return self.percentile_ms(99)

    @property
    def mean_ms(self) -> float | None:
        """The mean; None without a run."""
        return float(np.mean(self.samples_ns)) / 1e6 if self.samples_ns else None

    @property
    def min_ms(self) -> float | None:
        """The shortest run; None without one."""
        return min(self.samples_ns) / 1e6 if self.samples_ns else None

    @property
    def cv(self) -> float | None:
        """The coefficient of variation, standard deviation over mean; None below two runs."""
        if len(self.samples_ns) < 2:
            return None
        return float(np.std(self.samples_ns, ddof=1) / np.mean(self.samples_ns))

    @property
    def relative(self) -> float | None:
        """The median over the reference model's: what can be compared between runs on a shared machine."""
        reference_ms = _percentile_ms(self.reference_ns, 50)
        if self.p50_ms is None or reference_ms is None:
            return None
        return self.p50_ms / reference_ms

    @property
    def flags(self) -> tuple[str, ...]:
        """Return why the latencies are not valid for a gate, a sentence each; empty if they are."""
        checks: tuple[Callable[[Profile], str | None], ...] = (
            _too_few,
            _noisy,
            _unsteady,
            _unsettled,
            _busy,
            _clocked,
            _warmed,
            _misplaced,
            _host_bound,
        )
        return tuple(reason for reason in (check(self) for check in checks) if reason)


def _percentile_ms(samples_ns: tuple[int, ...], p: float) -> float | None:
    if rank_above(len(samples_ns), p) is None:
        return None
    return float(np.percentile(samples_ns, p)) / 1e6


def _ranked_ms(samples_ns: tuple[int, ...], rank: int | None) -> float | None:
    if rank is None:
        return None
    return float(np.partition(np.asarray(samples_ns), rank)[rank]) / 1e6


def write_profile(profile: Profile, path: Path) -> None:
    """Write *profile* to *path* as JSON; a reader sees the whole file or none.

    Raises:
        BadOutput: the file cannot be written, or a number is not finite.
    """
    write_json(asdict(profile), path)


def read_profile(path: Path) -> Profile:
    """Read back what `write_profile` wrote.

    Raises:
        BadReport: there is no such file, it is not JSON, or a key is missing, unknown or of a wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadReport(f"the profile {path} cannot be read: {error}.") from error
    try:
        return decode(Profile, parse(text), "the profile")
    except ValueError as error:
        raise BadReport(f"{path} is not a profile: {error}.") from error


def _too_few(profile: Profile) -> str | None:
    if profile.percentile_bound_ms(90) is not None:
        return None
    return f"{len(profile.samples_ns)} runs were timed; a bound of the p90 needs 64."


def _noisy(profile: Profile) -> str | None:
    # A preprocessing file is run by the CPU.
    most = NOISY_GPU if profile.runtime == "tensorrt" and profile.preprocessing is None else NOISY_CPU
    if profile.cv is None or profile.cv <= most:
        return None
    return f"the runs vary by {profile.cv:.1%} (standard deviation over mean); at most {most:.1%} is needed."


def _unsteady(profile: Profile) -> str | None:
    many = len(profile.runs) > 1
    third = len(profile.samples_ns) // 3
    ends = np.cumsum(profile.runs)[:-1] if many else [third, 2 * third]
    parts = np.split(np.asarray(profile.samples_ns), ends)
    if min(map(len, parts)) < LEAST_PART:
        return None
    p90s = [float(np.percentile(part, 90)) for part in parts]
    apart = (max(p90s) - min(p90s)) / min(p90s)
    if apart <= UNSTEADY:
        return None
    whose = "processes" if many else "three parts of the time"
    return f"the p90s of the {whose} lie {apart:.1%} apart; at most {UNSTEADY:.1%} is needed."


def _clocked(profile: Profile) -> str | None:
    for what, clocks in (
        ("clock", [state.clock_mhz for state in profile.states if state.clock_mhz]),
        ("GPU's clock", [state.gpu_clock_mhz for state in profile.states if state.gpu_clock_mhz]),
    ):
        if clocks and max(clocks) - min(clocks) > CLOCK_DRIFT * max(clocks):
            return (
                f"the {what} went from {min(clocks):.0f} to {max(clocks):.0f} MHz between readings; "
                f"a change of at most {CLOCK_DRIFT:.0%} is needed."
            )
    return None


def _warmed(profile: Profile) -> str | None:
    found = [state.temperature_c for state in profile.states if state.temperature_c is not None]
    if not found or max(found) - min(found) <= WARMER_C:
        return None
    return (
        f"the temperature went from {min(found):.0f} to {max(found):.0f} °C between readings; "
        f"a change of at most {WARMER_C:.0f} is needed."
    )


def _unsettled(profile: Profile) -> str | None:
    if profile.warmup_settled:
        return None
    return f"the warm-up did not settle within {profile.warmup_ms / 1000:.1f} s."


def _busy(profile: Profile) -> str | None:
    most = BUSY_PER_CORE * profile.host.cores
    if profile.host.load_average <= most:
        return None
    return (
        f"the load average was {profile.host.load_average:.2f} at the start; "
        f"at most {most:.2f} is needed on {profile.host.cores} cores."
    )


def _misplaced(profile: Profile) -> str | None:
    if profile.placement_share is None or profile.placement_share == 1:
        return None
    return f"{1 - profile.placement_share:.1%} of the model ran off the intended provider."


def _host_bound(profile: Profile) -> str | None:
    if profile.enqueue_share is None or profile.enqueue_share <= HOST_BOUND:
        return None
    return (
        f"handing over the work takes {profile.enqueue_share:.0%} of the device's own time; "
        f"at most {HOST_BOUND:.0%} is needed to time the device."
    )
