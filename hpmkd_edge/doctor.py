"""What runs on this machine, and what to do where something does not."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from hpmkd_edge.bench import footprint
from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.bench.profile import BUSY_PER_CORE
from hpmkd_edge.bench.runtimes import cuda_driver, onnx_runtime, tensor_rt
from hpmkd_edge.errors import EdgeError
from hpmkd_edge.store.folder import cache_folder

State = Literal["ok", "warning", "missing"]

SCHEMA: Final = "hpmkd-edge/doctor/1"
LEAST_PYTHON: Final = (3, 10)
LEAST_GB: Final = 2.0
IMPORT_TIMEOUT_S: Final = 120.0
# The optional ones by what to install; the other names are those of packages, too.
NEEDED: Final = ("numpy", "torch", "onnx", "onnxscript", "onnxruntime", "numba", "sqlalchemy")
OPTIONAL: Final = {"tensorrt": "hpmkd-edge[tensorrt]", "tensorrt_rtx": "hpmkd-edge[tensorrt-rtx]"}
NOT_INSTALLED: Final = "not installed"
# Flags of /proc/cpuinfo by which eight-bit products are one instruction.
INTEGER_FLAGS: Final = {
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "amx_int8": "AMX",
    "asimddp": "NEON dot products",
    "i8mm": "NEON int8 matrices",
}
SINGLE_THREAD: Final = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        advice: what to do; None where all is well.
        needed: whether `compress` cannot run without it.
    """

    name: str
    state: State
    found: str
    advice: str | None = None
    needed: bool = False


def exit_code_of(checks: tuple[Check, ...]) -> int:
    """Return 0 where `compress` can run, 3 where something that every run needs is missing."""
    return 3 if any(check.needed and check.state == "missing" for check in checks) else 0


def examine() -> tuple[Check, ...]:
    """Look at everything; nothing is changed but by opening the memory where there is one."""
    return tuple(_checks())


def _checks() -> Iterator[Check]:
    yield _python()
    if platform.system() != "Linux":
        # Nothing below can be read elsewhere.
        yield Check(
            name="system",
            state="missing",
            found=platform.system(),
            advice="Linux is needed: measuring reads its /proc.",
            needed=True,
        )
        return
    yield from _libraries()
    yield _tensorrt()
    yield _gpu()
    yield from _machine()
    yield integer_units(_text("/proc/cpuinfo"), platform.machine())
    yield _memory()
    yield _high_water()
    yield _ssh()
    yield from _kept()


def _python() -> Check:
    found = platform.python_version()
    if sys.version_info < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        return Check(name="Python", state="missing", found=found, advice=f"install {least} or later.", needed=True)
    return Check(name="Python", state="ok", found=found, needed=True)


def _libraries() -> Iterator[Check]:
    """Import each library in a process of its own: one that is half installed shows only then, and may crash."""
    names = [*NEEDED, *OPTIONAL]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = dict(zip(names, pool.map(_imported, names), strict=True))
    for name in names:
        version, fault = answers[name]
        needed = name in NEEDED
        if version is not None:
            yield Check(name=name, state="ok", found=version, needed=needed)
        elif needed:
            yield Check(name=name, state="missing", found=fault, advice=f"pip install {name}", needed=True)
        elif fault != NOT_INSTALLED:
            yield Check(name=name, state="warning", found=fault, advice=f"pip install '{OPTIONAL[name]}'")
    if answers["onnxruntime"][0] is not None:
        said, fault = _asked("import onnxruntime as o; print(*o.get_available_providers(), sep=', ')")
        here = said is not None and onnx_runtime.PROVIDER in said
        yield Check(
            name="providers of ONNX Runtime",
            state="ok" if here else "missing",
            found=said or fault,
            advice=None if here else f"install an onnxruntime with {onnx_runtime.PROVIDER}.",
            needed=True,
        )


def _imported(name: str) -> tuple[str | None, str]:
    """Return a library's version, or None and what is wrong."""
    said, fault = _asked(
        "import importlib.util as u, sys\n"
        f"if u.find_spec({name!r}) is None: sys.exit({NOT_INSTALLED!r})\n"
        f"import {name}; print({name}.__version__)"
    )
    return said, fault


def _asked(program: str) -> tuple[str | None, str]:
    """Return the last line that *program* prints, or None and the last that it complains of."""
    try:
        ended = subprocess.run(  # noqa: S603  our own program, under this interpreter
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=IMPORT_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {IMPORT_TIMEOUT_S:g} s"
    lines = (ended.stdout if ended.returncode == 0 else ended.stderr).strip().splitlines()
    last = lines[-1] if lines else f"ended with code {ended.returncode}"
    return (last, "") if ended.returncode == 0 else (None, last)


def _tensorrt() -> Check:
    cannot_run, cannot_build = tensor_rt.missing(), tensor_rt.cannot_build()
    if cannot_run is None:
        return Check(name="TensorRT", state="ok", found="builds and runs engines here")
    advice = "files for TensorRT can be made here; check and measure them on the board (--host ssh://USER@BOARD)."
    if cannot_build is None:
        return Check(name="TensorRT", state="warning", found=f"builds, but cannot run: {cannot_run}", advice=advice)
    if not any(map(find_spec, OPTIONAL)):
        advice = f"pip install '{OPTIONAL['tensorrt']}' where a GPU by NVIDIA is; else {advice}"
    return Check(name="TensorRT", state="missing", found=cannot_run, advice=advice)


def _gpu() -> Check:
    reason = cuda_driver.missing()
    if reason is not None:
        advice = "none is needed but to run TensorRT here; training takes the processor."
        return Check(name="GPU", state="missing", found=reason, advice=advice)
    try:
        gpu = cuda_driver.describe()
    except EdgeError as error:
        return Check(name="GPU", state="warning", found=str(error), advice="look at nvidia-smi, then at its driver.")
    found = f"{gpu.name}, {gpu.memory_bytes / 1e9:.1f} GB, compute capability {gpu.compute_capability}"
    return Check(name="GPU", state="ok", found=found)


def _machine() -> Iterator[Check]:
    host = describe_host()
    own = len(os.sched_getaffinity(0))
    yield Check(name="machine", state="ok", found=f"{host.model}, {host.system}")
    yield cores(host.cores, own, os.environ)
    busy = host.load_average > BUSY_PER_CORE * host.cores
    yield Check(
        name="load",
        state="warning" if busy else "ok",
        found=f"{host.load_average:.1f} on {host.cores} cores",
        advice="end other programs before measuring: times will be noisy." if busy else None,
    )
    slow = host.governor not in (None, "performance")
    yield Check(
        name="clock governor",
        state="warning" if slow else "ok",
        found=host.governor or "the system has none",
        advice="sudo cpupower frequency-set -g performance, before measuring." if slow else None,
    )
    if host.power_mode is not None:
        yield Check(name="power mode", state="ok", found=host.power_mode)


def cores(count: int, own: int, environment: Mapping[str, str]) -> Check:
    """Say how many cores there are, and what holds a run to fewer.

    Args:
        count: of the machine.
        own: that this process may use.
        environment: with the variables that set numbers of threads.
    """
    held = [f"{name}={environment[name]}" for name in SINGLE_THREAD if environment.get(name)]
    found = f"{count}, {own} for this process{''.join(f', {one}' for one in held)}"
    if own < count:
        return Check(
            name="cores", state="warning", found=found, advice="taskset or a container holds training to fewer."
        )
    if held:
        return Check(name="cores", state="warning", found=found, advice="unset it, unless training is to take fewer.")
    return Check(name="cores", state="ok", found=found)


def integer_units(cpuinfo: str, machine: str) -> Check:
    """Say whether the processor multiplies eight-bit integers faster than floats; int8 pays there.

    Args:
        cpuinfo: the text of /proc/cpuinfo.
        machine: as platform.machine() names it.
    """
    flags: set[str] = set()
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            flags |= set(value.split())
    found = [word for flag, word in INTEGER_FLAGS.items() if flag in flags]
    if found:
        return Check(name="int8 units", state="ok", found=", ".join(found))
    return Check(
        name="int8 units",
        state="warning",
        found=f"none of {', '.join(INTEGER_FLAGS.values())} on this {machine}",
        advice="int8 makes files smaller here, hardly faster; export --precision int8 times it.",
    )


def _memory() -> Check:
    import psutil

    found = psutil.virtual_memory()
    total, available = found.total, found.available
    low = available < LEAST_GB * 1e9
    return Check(
        name="memory",
        state="warning" if low else "ok",
        found=f"{total / 1e9:.1f} GB, {available / 1e9:.1f} GB available",
        advice=f"end other programs: training takes up to {LEAST_GB:g} GB and more." if low else None,
    )


def _high_water() -> Check:
    if footprint.reset_high_water():
        return Check(name="peak memory", state="ok", found="/proc/self/clear_refs can be written")
    return Check(
        name="peak memory",
        state="warning",
        found="/proc/self/clear_refs cannot be written",
        advice="peaks will be unknown, and budgets of memory inconclusive; measure outside of this sandbox.",
    )


def _ssh() -> Check:
    program = shutil.which("ssh")
    if program is None:
        return Check(
            name="ssh",
            state="missing",
            found="no ssh on the PATH",
            advice="install the OpenSSH client, to measure on boards (--host ssh://USER@BOARD).",
        )
    return Check(name="ssh", state="ok", found=program)


def _kept() -> Iterator[Check]:
    """Look at the cache and the memory; what does not exist yet is not made."""
    folder = cache_folder()
    cache = cache_at(folder)
    yield cache
    own = os.environ.get("HPMKD_EDGE_MEMORY")
    name = "memory of trials"
    if cache.state == "missing" or find_spec("sqlalchemy") is None:
        return
    if own is None and not (folder / "memory.sqlite").exists():
        yield Check(name=name, state="ok", found="none yet; the first run makes it", needed=True)
        return
    from hpmkd_edge.plan.memory import Memory
    from hpmkd_edge.store.opening import open_store

    try:
        trials = len(Memory(open_store().engine).trials())
    except EdgeError as error:
        advice = "move it away, or set HPMKD_EDGE_MEMORY to another."
        yield Check(name=name, state="missing", found=str(error), advice=advice, needed=True)
        return
    yield Check(name=name, state="ok", found=f"{trials:,} trials", needed=True)


def cache_at(folder: Path) -> Check:
    """Say whether things can be kept in *folder*, what they take, and what room is left."""
    name, needed = "cache", True
    standing = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=standing):
            pass
        size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
        free = shutil.disk_usage(standing).free
    except OSError as error:
        advice = "set HPMKD_EDGE_CACHE to a folder that can be written."
        found = f"{folder}: {error.strerror} ({standing})"
        return Check(name=name, state="missing", found=found, advice=advice, needed=needed)
    found = f"{folder}: {size / 1e9:.2f} GB, {free / 1e9:.1f} GB left on the disk"
    if free < LEAST_GB * 1e9:
        return Check(
            name=name, state="warning", found=found, advice="make room: hpmkd-edge memory prune --gb 1.", needed=needed
        )
    return Check(name=name, state="ok", found=found, needed=needed)


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")
