"""Everything that the adapter takes from TensorRT is there in each version that boards and desktops have.

What it takes is read off its source; what there is, off the real bindings, imported over a stub of TensorRT's
libraries. The bindings (1.3 MB each) come from the package index.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hpmkd_edge.bench import runtimes

ROOM = Path(runtimes.__file__).parent
SOURCES = (*sorted(ROOM.glob("tensor_rt*.py")), ROOM / "timing_cache.py")
# A manifest is no object of TensorRT's; "engine" is a path there.
SOURCES = tuple(path for path in SOURCES if path.name != "tensor_rt_plan.py")
# What the source calls an object of TensorRT's, and the class that it is of.
NATIVE = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "failure": "ParserError",
    "inspector": "EngineInspector",
    "layer": "ILayer",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "tensor": "ITensor",
    "timing": "ITimingCache",
}
# What our classes over TensorRT's have beside what they override.
OWN = {"close", "last_error"}
# TensorRT-RTX alone has these, and is asked alone.
RTX_ALONE = {
    ("module", "ComputeCapability"),
    ("ComputeCapability", "__members__"),
    ("IBuilderConfig", "num_compute_capabilities"),
    ("IBuilderConfig", "set_compute_capability"),
}
VERSIONS = (
    "tensorrt_cu12_bindings==10.3.0",  # JetPack 6.1 and 6.2
    "tensorrt_cu12_bindings==10.7.0",
    "tensorrt_cu12_bindings==10.13.2.6",
    "tensorrt_cu13_bindings==10.16.1.11",  # JetPack 7
    "tensorrt_cu13_bindings==11.0.0.114",
    "tensorrt_cu13_bindings==11.4.0.106",
    "tensorrt_rtx_cu13_bindings==1.5.0.114",
    "tensorrt_rtx_cu13_bindings==1.7.1.116",
)
LIBRARIES = (
    *(f"lib{name}.so.{major}" for name in ("nvinfer", "nvonnxparser", "nvinfer_plugin") for major in (10, 11)),
    "libtensorrt_rtx.so.1",
    "libtensorrt_onnxparser_rtx.so.1",
)
LIST = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
module = importlib.import_module(sys.argv[2])
found = {name: dir(getattr(module, name)) for name in dir(module) if isinstance(getattr(module, name), type)}
found["ILogger.Severity"] = dir(module.ILogger.Severity)
print(json.dumps({"module": dir(module), **found}))
"""


def taken():
    """Return (class, attribute) of all that the source takes; of the package itself, the class is "module"."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                found |= uses(node)
            elif isinstance(node, ast.ClassDef):
                bases = [base.attr for base in node.bases if isinstance(base, ast.Attribute) and of_module(base.value)]
                methods = [one.name for one in node.body if isinstance(one, ast.FunctionDef)]
                found |= {(base, name) for base in bases for name in methods if name[0] != "_" and name not in OWN}
    return found


def uses(node):
    inner = node.value
    if of_module(inner):
        return {("module", node.attr)}
    if isinstance(inner, ast.Attribute) and of_module(inner.value):
        return {(inner.attr, node.attr)}
    outer = inner.value if isinstance(inner, ast.Attribute) else None
    if isinstance(outer, ast.Attribute) and of_module(outer.value) and inner.attr[0].isupper():
        return {(f"{outer.attr}.{inner.attr}", node.attr)}
    kind = NATIVE.get(name_of(inner))
    return {(kind, node.attr)} if kind else set()


def of_module(node):
    return name_of(node) == "module"


def name_of(node):
    """Return the last name of `engine`, `self._engine`, `library.module` or `_module()`, without underscores."""
    if isinstance(node, ast.Call):
        return name_of(node.func) if isinstance(node.func, ast.Name) else ""
    last = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return last.strip("_")


def test_the_source_is_read_whole():
    """Each of its objects is met, and what a build and a run cannot do without is among what they take."""
    found = taken()

    assert {kind for kind, _ in found} > set(NATIVE.values()) | {"module", "IProgressMonitor", "IProfiler", "ILogger"}
    assert found > {
        ("Builder", "build_serialized_network"),
        ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
        ("IExecutionContext", "execute_async_v3"),
        ("ILogger.Severity", "ERROR"),
        ("IProgressMonitor", "step_complete"),
        *RTX_ALONE,
    }


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """A folder with the stub under the names of all libraries."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build the stub of TensorRT's libraries")
    folder = tmp_path_factory.mktemp("libraries")
    built = folder / "stub.so"
    source = Path(__file__).with_name("bindings_stub.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, source], check=True)
    for name in LIBRARIES:
        shutil.copy(built, folder / name)
    return folder


def unpacked(version, folder):
    """Return where the bindings of *version* lie, downloaded once; skip where no package index is reached."""
    place = folder / f"{version}-cp{sys.version_info.major}{sys.version_info.minor}"
    if not place.is_dir():
        download = folder / f"{place.name}.wheel"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        tried = subprocess.run([*command, "--dest", download, version], capture_output=True, text=True, timeout=120)
        if tried.returncode:
            reason = tried.stderr.strip().splitlines()[-1] if tried.stderr.strip() else "pip gave no reason"
            pytest.skip(f"the bindings {version} cannot be downloaded: {reason}")
        (wheel,) = download.glob("*.whl")
        draft = folder / f"{place.name}.partial"
        zipfile.ZipFile(wheel).extractall(draft)
        draft.replace(place)
        shutil.rmtree(download)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_the_bindings_have_all_that_is_taken(version, libraries, request):
    """By class and attribute; an interface that a version lacks shows here, not on a board."""
    place = unpacked(version, request.config.cache.mkdir("tensorrt-bindings"))
    package = "tensorrt_rtx_bindings" if "rtx" in version else "tensorrt_bindings"
    # Without site-packages, whose TensorRT has libraries of its own.
    listed = subprocess.run(
        [sys.executable, "-S", "-c", LIST, place, package],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
    )
    there = json.loads(listed.stdout)
    wanted = taken() if "rtx" in version else taken() - RTX_ALONE

    assert sorted(f"{kind}.{name}" for kind, name in wanted if name not in there.get(kind, ())) == []
