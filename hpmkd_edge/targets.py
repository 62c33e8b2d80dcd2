"""Devices, runtimes and budgets, read strictly from targets.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Final, Literal, NoReturn, get_args, get_origin, get_type_hints

from hpmkd_edge.accuracy_curve import CurvePoint, fault_of
from hpmkd_edge.errors import BadConfiguration, nearest, unknown
from hpmkd_edge.yaml_lines import Place, Source, read_yaml

HOST: Final = "host"  # the device that stands for whatever machine runs the tool
# Not "." or "..", nor a path.
NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]*"

Percentile = Literal["p50", "p90", "p95", "p99"]
RuntimeName = Literal["onnxruntime", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What is known of a module, and how it is recognized.

    Attributes:
        identity: parts of the name in a board's device tree (or of the CPU's name), any of
            which tells the module; empty for `host`.
        memory_mb: nominal, or None where boards of this name differ.
        power_modes: nvpmodel's names; empty where the device has none, or they are not known.
        status, source: how far the facts were checked, and where.
    """

    name: str
    description: str
    identity: tuple[str, ...]
    memory_mb: float | None
    bandwidth_gb_s: float | None
    power_modes: tuple[str, ...]
    status: str
    source: str

    def __post_init__(self) -> None:
        _check_positive(memory_mb=self.memory_mb, bandwidth_gb_s=self.bandwidth_gb_s)

    def recognizes(self, model: str, memory_mb: float) -> bool:
        """Tell whether a machine that calls itself *model* and has *memory_mb* is this device."""
        if self.name == HOST:
            return True
        # Modules of one name come with 4 or 8, 16 or 32 GB. A board keeps some of it for itself.
        if self.memory_mb is not None and not 0.7 < memory_mb / self.memory_mb < 1.2:
            return False
        return any(part in model for part in self.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most that is allowed; beyond *warn* is a warning, beyond *fail* a failure."""

    fail: float | None = None
    warn: float | None = None

    def __post_init__(self) -> None:
        _check_positive(fail=self.fail, warn=self.warn)
        if self.fail is None and self.warn is None:
            raise ValueError("neither fail nor warn was found; one of them is needed")
        if self.fail is not None and self.warn is not None and self.warn >= self.fail:
            raise ValueError(f"warn is {self.warn:g} and fail is {self.fail:g}; a warn below fail is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyLimit:
    """A limit in ms on one percentile of the latency."""

    percentile: Percentile
    limit: Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyLimit:
    """The least accuracy, or R²: a share, and the most that may be lost against the best teacher."""

    min: float | None = None
    max_drop: float | None = None
    relative_to: Literal["teacher"] = "teacher"

    def __post_init__(self) -> None:
        _check_share(min=self.min, max_drop=self.max_drop)
        if self.min is None and self.max_drop is None:
            raise ValueError("neither min nor max_drop was found; one of them is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLimit:
    """The largest mean absolute error of values, in the label's units."""

    max: float

    def __post_init__(self) -> None:
        _check_positive(max=self.max)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementLimit:
    """The least share of the multiply-adds that must run where they were meant to."""

    min_macs_share: float
    warn_macs_share: float | None = None

    def __post_init__(self) -> None:
        _check_share(min_macs_share=self.min_macs_share, warn_macs_share=self.warn_macs_share)
        if self.warn_macs_share is not None and self.warn_macs_share <= self.min_macs_share:
            raise ValueError(
                f"warn_macs_share is {self.warn_macs_share:g} and min_macs_share is "
                f"{self.min_macs_share:g}; a warn above the least is needed"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What a model may cost and must reach; MB is 10⁶ bytes; None sets no limit.

    Of values r2 and mae are judged. A target without them has its `accuracy.max_drop` read as R² points there, so that
    it serves both; see `verdict.judge`. `accuracy_for_size` is the least accuracy, or R², by the model file's size.
    """

    latency_ms: tuple[LatencyLimit, ...] = ()
    peak_memory_mb: Limit | None = None
    model_size_mb: Limit | None = None
    accuracy: AccuracyLimit | None = None
    placement: PlacementLimit | None = None
    engine_build_s: Limit | None = None
    r2: AccuracyLimit | None = None
    mae: ErrorLimit | None = None
    accuracy_for_size: tuple[CurvePoint, ...] | None = None

    def __post_init__(self) -> None:
        fault = None if self.accuracy_for_size is None else fault_of(self.accuracy_for_size)
        if fault is not None:
            raise ValueError(f"accuracy_for_size: {fault.reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A device in a power mode, a runtime, and the budgets to keep there.

    Attributes:
        precisions: tried in this order.
        host: ssh://user@board[:port] to profile on, or None.
        threads: of the runtime, in one inference.
    """

    name: str
    device: Device
    runtime: RuntimeName
    precisions: tuple[Precision, ...]
    host: str | None = None
    threads: int = 1
    power_mode: str | None = None
    budgets: Budgets


def load_targets(path: Path | None = None) -> dict[str, Target]:
    """Read the shipped targets and, over them, those of a user's file.

    Args:
        path: may use shipped devices, and replaces shipped targets and devices of the same name.

    Raises:
        BadConfiguration: the file cannot be read, or a key or a value in it is wrong.
    """
    devices, targets = _read(_shipped(), {})
    if path is not None:
        targets |= _read(path, devices)[1]
    return targets


def own_targets(path: Path, names: Iterable[str]) -> dict[str, Target]:
    """Read the targets of a user's file, which may use shipped devices; of shipped targets it has none.

    Raises:
        BadConfiguration: as `load_targets`, or one of *names* is not in the file; the nearest in it is offered.
    """
    own = _read(path, _read(_shipped(), {})[0])[1]
    for name in names:
        if name not in own:
            raise BadConfiguration(f"there is no target {name!r} in {path}. {nearest(name, own)}")
    return own


def find_target(name: str, targets: Mapping[str, Target]) -> Target:
    """Return the target called *name*.

    Raises:
        BadConfiguration: there is none; the nearest name is offered.
    """
    if name not in targets:
        raise unknown("target", name, targets)
    return targets[name]


def _shipped() -> Path:
    packaged = Path(__file__).with_name("targets.yaml")
    return packaged if packaged.is_file() else Path(__file__).parents[1] / "targets.yaml"


# How the file is written: names are keys, a target names its device, percentiles are keys.


@dataclass(frozen=True, slots=True, kw_only=True)
class _DeviceEntry:
    description: str
    identity: tuple[str, ...] = ()
    memory_mb: float | None = None
    bandwidth_gb_s: float | None = None
    power_modes: tuple[str, ...] = ()
    status: str
    source: str

    def __post_init__(self) -> None:
        _check_positive(memory_mb=self.memory_mb, bandwidth_gb_s=self.bandwidth_gb_s)
        if not all(part.strip() for part in self.identity):
            raise ValueError("identity has an empty text, which would recognize every machine")


@dataclass(frozen=True, slots=True, kw_only=True)
class _LatencyEntry:
    p50: Limit | None = None
    p90: Limit | None = None
    p95: Limit | None = None
    p99: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _BudgetsEntry:
    latency_ms: _LatencyEntry | None = None
    peak_memory_mb: Limit | None = None
    model_size_mb: Limit | None = None
    accuracy: AccuracyLimit | None = None
    placement: PlacementLimit | None = None
    engine_build_s: Limit | None = None
    r2: AccuracyLimit | None = None
    mae: ErrorLimit | None = None
    accuracy_for_size: tuple[CurvePoint, ...] | None = None

    def __post_init__(self) -> None:
        if not any(getattr(self, field.name) for field in fields(self)):
            raise ValueError("no budget was found; at least one is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class _TargetEntry:
    device: str
    runtime: RuntimeName
    precisions: tuple[Precision, ...]
    host: str | None = None
    threads: int = 1
    power_mode: str | None = None
    budgets: _BudgetsEntry

    def __post_init__(self) -> None:
        _check_positive(threads=self.threads)
        if not self.precisions:
            raise ValueError("precisions is empty; at least one is needed")
        if self.host is not None and not re.fullmatch(r"ssh://[^\s/@:]+@[^\s/@:]+(:\d{1,5})?", self.host):
            raise ValueError(f"host is {self.host!r}; ssh://user@board[:port] is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    devices: dict[str, _DeviceEntry] | None = None
    targets: dict[str, _TargetEntry]


def _read(path: Path, devices: Mapping[str, Device]) -> tuple[dict[str, Device], dict[str, Target]]:
    """Read the devices and targets of one file; *devices* may be used in it too."""
    from pydantic import TypeAdapter, ValidationError

    source = read_yaml(path, may_be_null=frozenset({"host", "power_mode"}))
    try:
        # As JSON, since strict pydantic makes dataclasses and tuples of nothing else.
        file = TypeAdapter(_File).validate_json(json.dumps(source.value, default=str))
    except ValidationError as error:
        # One mistake at a time; a misspelled key comes before the missing one that it explains.
        first = min(error.errors(), key=lambda fault: fault["type"] == "missing")
        _explain(source, first["loc"], first["type"], first["msg"], first["input"])
    known = {
        **devices,
        **{name: _device(source, name, entry) for name, entry in (file.devices or {}).items()},
    }
    return known, {name: _target(source, name, entry, known) for name, entry in file.targets.items()}


def _device(source: Source, name: str, entry: _DeviceEntry) -> Device:
    if name != HOST and not entry.identity:
        source.refuse(("devices", name), "identity is missing; a part of the board's own name is needed.")
    return Device(
        name=name,
        description=entry.description,
        identity=entry.identity,
        memory_mb=entry.memory_mb,
        bandwidth_gb_s=entry.bandwidth_gb_s,
        power_modes=entry.power_modes,
        status=entry.status,
        source=entry.source,
    )


def _target(source: Source, name: str, entry: _TargetEntry, devices: Mapping[str, Device]) -> Target:
    place: Place = ("targets", name)
    if not re.fullmatch(NAME, name):
        source.refuse(place, "a target's name becomes a folder's: letters, digits, '.', '_' and '-' are needed.")
    if entry.device not in devices:
        known = nearest(entry.device, devices)
        source.refuse((*place, "device"), f"there is no device {entry.device!r}. {known}")
    device = devices[entry.device]
    if entry.power_mode is not None and device.power_modes and entry.power_mode not in device.power_modes:
        known = nearest(entry.power_mode, device.power_modes)
        source.refuse((*place, "power_mode"), f"{device.name} has no mode {entry.power_mode!r}. {known}")
    budgets = entry.budgets
    latency = tuple(
        LatencyLimit(percentile=percentile, limit=limit)
        for percentile in get_args(Percentile)
        if (limit := getattr(budgets.latency_ms, percentile, None)) is not None
    )
    if budgets.latency_ms is not None and not latency:
        source.refuse((*place, "budgets", "latency_ms"), "no percentile was found; p90, for one, is needed.")
    fault = None if budgets.accuracy_for_size is None else fault_of(budgets.accuracy_for_size)
    if fault is not None:
        source.refuse((*place, "budgets", "accuracy_for_size", *fault.place), f"{fault.reason}.")
    return Target(
        name=name,
        device=device,
        runtime=entry.runtime,
        precisions=entry.precisions,
        host=entry.host,
        threads=entry.threads,
        power_mode=entry.power_mode,
        budgets=Budgets(
            latency_ms=latency,
            peak_memory_mb=budgets.peak_memory_mb,
            model_size_mb=budgets.model_size_mb,
            accuracy=budgets.accuracy,
            placement=budgets.placement,
            engine_build_s=budgets.engine_build_s,
            r2=budgets.r2,
            mae=budgets.mae,
            accuracy_for_size=budgets.accuracy_for_size,
        ),
    )


def _explain(source: Source, place: Place, kind: str, message: str, found: object) -> NoReturn:
    """Put pydantic's first complaint into one sentence with its line."""
    if kind == "unexpected_keyword_argument":
        source.refuse(place, f"there is no such key. {nearest(str(place[-1]), _keys(place[:-1]))}")
    if kind == "missing":
        source.refuse(place[:-1], f"{place[-1]} is missing; it is needed.")
    if kind == "value_error":  # of a __post_init__ above, which begins with the key that it means
        reason = message.removeprefix("Value error, ")
        inner = (*place, reason.split()[0])
        source.refuse(inner if inner in source.lines else place, f"{reason}.")
    shown = "a mapping" if isinstance(found, dict) else f"{found!r:.60}"
    needs = {"dataclass_type": "a mapping", "dict_type": "a mapping", "tuple_type": "a list"}
    need = needs.get(kind, message.removeprefix("Input should be "))
    source.refuse(place, f"{shown} was found; {need} is needed.")


def _keys(place: Place) -> list[str]:
    """Return the keys that the file may have at *place*."""
    kind: Any = _File
    for key in place:
        if hasattr(kind, "__dataclass_fields__"):
            kind = get_type_hints(kind)[str(key)]
        else:  # an item of tuple[X, ...], or a value of dict[str, X]
            kind = get_args(kind)[0 if get_origin(kind) is tuple else -1]
        options = [option for option in get_args(kind) if option is not NoneType]
        if NoneType in get_args(kind):
            kind = options[0]
    return [field.name for field in fields(kind)]


def _check_positive(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise ValueError(f"{name} is {number:g}; a number above 0 is needed")


def _check_share(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not 0 <= number <= 1:
            raise ValueError(f"{name} is {number:g}; a share from 0 to 1 is needed")
