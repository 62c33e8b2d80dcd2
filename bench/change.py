"""Whether a model became slower or faster: a ratio of times with its interval, from two profiles."""

# Shape suffixes: P = processes, K = blocks of a process, D = resamples.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.errors import BadConfiguration

Verdict = Literal["slower", "faster", "no change", "inconclusive"]

TOLERANCE: Final = 0.05
BLOCKS: Final = 20  # in a process
LEAST_RUNS: Final = 64
# Two records of one file, minutes apart, each relative to the reference model: their ratio has a standard deviation of
# 2 to 4 % on a shared machine, which no record knows of itself.
APART_SD: Final = 0.02
NORMAL_95: Final = 1.96

# What both must have alike, by the word for it.
_SETTINGS: Final[dict[str, Callable[[Profile], str]]] = {
    "machines": lambda one: f"{one.host.model}, {one.host.cores} cores, {one.host.system.split()[-1]}",
    "runtimes": lambda one: f"{one.runtime} {one.runtime_version}",
    "settings": lambda one: f"{one.threads} threads, a batch of {one.batch}",
    "power modes": lambda one: one.host.power_mode or "one that is not known",
}
# And this, but for files side by side, which may take different inputs.
_FED: Final[dict[str, Callable[[Profile], str]]] = {
    "inputs": lambda one: _shapes(one),
    "ways to hand inputs over": lambda one: one.io,
    "preprocessing": lambda one: _preprocessed(one),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How many times as long one model takes as another.

    Attributes:
        ratio: of the medians, after over before.
        low, high: its 95 % interval.
        tolerance: a change up to this share, in either direction, is none.
        interleaved: whether both were timed in turn; else each is relative to the reference model of its own record.
    """

    ratio: float
    low: float
    high: float
    tolerance: float
    interleaved: bool

    @property
    def verdict(self) -> Verdict:
        """Slower or faster if the whole interval says so, no change if it lies within the tolerance."""
        most, least = 1 + self.tolerance, 1 / (1 + self.tolerance)
        if self.low > most:
            return "slower"
        if self.high < least:
            return "faster"
        return "no change" if least <= self.low and self.high <= most else "inconclusive"

    @property
    def exit_code(self) -> int:
        """1 slower, 5 inconclusive, 0 else; also 0 where it may be faster, but is surely not slower."""
        if self.verdict == "slower":
            return 1
        return 5 if self.high > 1 + self.tolerance else 0


def change_between(
    before: Profile, after: Profile, *, tolerance: float = TOLERANCE, seed: int = 0, same_inputs: bool = True
) -> Change:
    """Return how the median of *after* compares with that of *before*.

    Of two that were timed in turn, blocks of simultaneous runs are compared: the median of their ratios, with the
    interval of a bootstrap that draws processes, and blocks within them. Else each is taken over its own reference
    model, and the interval is wider by what such records differ by when nothing has changed.

    Args:
        before, after: of one machine and one runtime.
        tolerance: a share, as 0.05.
        seed: of the resampling.
        same_inputs: whether both must have been fed the same.

    Raises:
        BadConfiguration: the two cannot be compared, or were timed too briefly.
    """
    check_comparable(before, after, same_inputs=same_inputs)
    generator = np.random.default_rng(seed)
    if before.reference_ns == after.reference_ns and _processes(before) == _processes(after):
        logs_PK = np.log(_block_medians(after, after.samples_ns) / _block_medians(before, before.samples_ns))
        low, high = np.percentile(_resampled(logs_PK, generator), [2.5, 97.5])
        return _change(float(np.median(logs_PK)), float(low), float(high), tolerance, interleaved=True)
    before_PK, after_PK = (
        np.log(_block_medians(one, one.samples_ns) / _block_medians(one, one.reference_ns)) for one in (before, after)
    )
    middle = float(np.median(after_PK) - np.median(before_PK))
    low, high = np.percentile(_resampled(after_PK, generator) - _resampled(before_PK, generator), [2.5, 97.5])
    apart = NORMAL_95 * APART_SD
    wide = middle - np.hypot(middle - low, apart), middle + np.hypot(high - middle, apart)
    return _change(middle, float(wide[0]), float(wide[1]), tolerance, interleaved=False)


def check_comparable(before: Profile, after: Profile, *, same_inputs: bool = True) -> None:
    """Stop where a ratio of the two would be one of something else than the models.

    Raises:
        BadConfiguration: they differ in machine, power mode, runtime, threads or batch, with *same_inputs* also in
            shapes, preprocessing or in how they were fed, or are of too few runs, or not of as many of the reference
            model. Records that say nothing of shapes are like each other only.
    """
    for what, setting in {**_SETTINGS, **(_FED if same_inputs else {})}.items():
        first, second = setting(before), setting(after)
        if first != second:
            raise BadConfiguration(
                f"the profiles come from different {what}, {first} and {second}, and cannot be compared; two of the"
                " same are needed."
            )
    for one in (before, after):
        if min(len(one.samples_ns), len(one.reference_ns)) < LEAST_RUNS:
            raise BadConfiguration(
                f"the profile of {one.model} has {len(one.samples_ns)} runs; {LEAST_RUNS} are needed to compare it."
            )
        if len(one.samples_ns) != len(one.reference_ns):
            raise BadConfiguration(
                f"the profile of {one.model} has {len(one.samples_ns)} runs and {len(one.reference_ns)} of the"
                " reference model; as many of each are needed to compare it."
            )


def _shapes(profile: Profile) -> str:
    shapes = sorted((one.name, one.sizes) for one in profile.fed)
    return " ".join(f"{name}={','.join(map(str, sizes))}" for name, sizes in shapes) or "some that it does not name"


def _preprocessed(profile: Profile) -> str:
    one = profile.preprocessing
    return "none" if one is None else f"{one.file} {one.sha256[:12]}… in {one.runtime} {one.runtime_version}"


def _change(middle: float, low: float, high: float, tolerance: float, *, interleaved: bool) -> Change:
    ratio, least, most = np.exp([middle, min(low, middle), max(high, middle)])
    return Change(ratio=float(ratio), low=float(least), high=float(most), tolerance=tolerance, interleaved=interleaved)


def _processes(profile: Profile) -> tuple[int, ...]:
    """Return how many samples each process gave; all are taken for one's where the record does not say."""
    told = min(profile.runs, default=0) > 0 and sum(profile.runs) == len(profile.samples_ns)
    return profile.runs if told else (len(profile.samples_ns),)


def _block_medians(profile: Profile, samples_ns: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the medians of blocks of consecutive runs, [P, K]."""
    parts = np.split(np.asarray(samples_ns, np.float64), np.cumsum(_processes(profile))[:-1])
    blocks = max(1, min(BLOCKS, min(map(len, parts)) // 5))
    return np.array([[np.median(block) for block in np.array_split(part, blocks)] for part in parts])


def _resampled(logs_PK: NDArray[Any], generator: np.random.Generator, draws: int = 2000) -> NDArray[Any]:
    """Return [D] medians, over processes drawn again and blocks drawn again within them."""
    processes, blocks = logs_PK.shape
    drawn_DP = generator.integers(0, processes, (draws, processes, 1))
    drawn_DPK = generator.integers(0, blocks, (draws, processes, blocks))
    medians_D: NDArray[Any] = np.median(logs_PK[drawn_DP, drawn_DPK].reshape(draws, -1), axis=1)
    return medians_D
