"""A built engine on disk, with a manifest that says what it was built from, by what and for which GPU.

An engine is code for one GPU and one version of TensorRT. It is compared with what is here before TensorRT sees a byte
of it: a foreign one can crash the process that reads it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from hpmkd_edge.bench.runtimes.cuda_driver import Gpu
from hpmkd_edge.bench.runtimes.tensor_rt_build import Allowance, Built, Range
from hpmkd_edge.bench.strict_json import decode
from hpmkd_edge.errors import BadOutput, MeasurementFailed
from hpmkd_edge.json_file import parse, write_json

SCHEMA: Final = "hpmkd-edge/engine/1"
ENGINE_SUFFIXES: Final = (".engine", ".plan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Where an engine comes from, and where it runs.

    Attributes:
        engine_sha256: of the plan that lies beside.
        model, model_sha256: the ONNX file's name and content.
        gpu, compute_capability: of the device that it is tied to; None where TensorRT-RTX built, which ties to none.
        capabilities: that TensorRT-RTX was told to build for; empty for those of its own choice.
        tensorrt: the package and its version.
        timing_cache: the name of the file beside that shortens a build from the ONNX file, or None.
    """

    schema: Literal["hpmkd-edge/engine/1"] = SCHEMA
    engine_sha256: str
    engine_bytes: int
    model: str
    model_sha256: str
    gpu: str | None
    compute_capability: str | None
    capabilities: tuple[str, ...]
    tensorrt: str
    precision: str
    inputs: tuple[Range, ...]
    build_s: float
    workspace_bytes: int
    dla_core: int | None
    flags: tuple[str, ...]
    timing_cache: str | None
    tool_version: str


def is_engine(path: Path) -> bool:
    """Tell whether *path* is named as a built engine."""
    return path.suffix in ENGINE_SUFFIXES


def manifest_path(engine: Path) -> Path:
    """Return where the manifest of *engine* lies."""
    return engine.with_name(engine.name + ".json")


def save_engine(
    built: Built, engine: Path, *, model: Path, gpu: Gpu | None, tensorrt: str, allowance: Allowance, tool_version: str
) -> Manifest:
    """Write an engine, its manifest and, where there is one, the timing cache beside.

    Raises:
        BadOutput: they cannot be written.
    """
    timing = engine.with_name(engine.name + ".timing") if built.timing_cache else None
    manifest = Manifest(
        engine_sha256=sha256(built.plan).hexdigest(),
        engine_bytes=len(built.plan),
        model=model.name,
        model_sha256=sha256(model.read_bytes()).hexdigest(),
        gpu=gpu.name if gpu else None,
        compute_capability=gpu.compute_capability if gpu else None,
        capabilities=allowance.capabilities,
        tensorrt=tensorrt,
        precision=built.precision,
        inputs=built.inputs,
        build_s=built.seconds,
        workspace_bytes=allowance.workspace_bytes,
        dla_core=allowance.dla_core,
        flags=built.flags,
        timing_cache=timing.name if timing else None,
        tool_version=tool_version,
    )
    try:
        if timing is not None:
            timing.write_bytes(built.timing_cache)
        # The manifest last: an engine that was cut off has one that does not fit, or none.
        manifest_path(engine).unlink(missing_ok=True)
        engine.write_bytes(built.plan)
    except OSError as error:
        raise BadOutput(f"the engine {engine} cannot be written: {error.strerror}.") from error
    write_json(asdict(manifest), manifest_path(engine))
    return manifest


def read_manifest(engine: Path) -> Manifest:
    """Read the manifest of *engine*.

    Raises:
        MeasurementFailed: there is none, or it cannot be read as one.
    """
    path = manifest_path(engine)
    try:
        return decode(Manifest, parse(path.read_text(encoding="utf-8")), "the manifest")
    except FileNotFoundError:
        raise MeasurementFailed(
            f"{engine.name} has no manifest {path.name} beside it, so that nothing says which GPU it is for; "
            "an engine that `hpmkd-edge export --output` has saved is needed, or the ONNX file."
        ) from None
    except (OSError, ValueError) as error:
        raise MeasurementFailed(f"{path} cannot be read as the manifest of an engine: {error}.") from error


def read_engine(engine: Path, gpu: Gpu, tensorrt: str) -> tuple[bytes, Manifest]:
    """Return the plan of *engine* and its manifest, if it is for this *gpu* and this version of TensorRT.

    Raises:
        MeasurementFailed: it is for others, it has no manifest, or it is not the one that the manifest means.
    """
    manifest = read_manifest(engine)
    here = f"{gpu.name} (compute capability {gpu.compute_capability})"
    rebuild = f"build it here from {manifest.model}"
    if manifest.tensorrt != tensorrt:
        raise MeasurementFailed(f"{engine.name} was built by {manifest.tensorrt}; this is {tensorrt}: {rebuild}.")
    if manifest.gpu is not None and (manifest.gpu, manifest.compute_capability) != (gpu.name, gpu.compute_capability):
        was = f"{manifest.gpu} (compute capability {manifest.compute_capability})"
        raise MeasurementFailed(f"{engine.name} was built for {was}; this is {here}: {rebuild}.")
    if manifest.capabilities and gpu.compute_capability not in manifest.capabilities:
        were = ", ".join(manifest.capabilities)
        raise MeasurementFailed(
            f"{engine.name} was built for GPUs of compute capability {were}; this is {here}: {rebuild}."
        )
    plan = engine.read_bytes()
    if sha256(plan).hexdigest() != manifest.engine_sha256:
        raise MeasurementFailed(f"{engine.name} is not the engine of its manifest, or was cut off: {rebuild}.")
    return plan, manifest
