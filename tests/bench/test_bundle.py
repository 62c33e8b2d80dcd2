"""What a board is sent: all that the worker needs, in a Python that boards have."""

import ast
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hpmkd_edge.bench import bundle
from hpmkd_edge.bench.bundle import COMMAND, WORKER, bundle_tar, bundled, foreign_imports, write_bundle
from hpmkd_edge.bench.profile import read_profile

ENTRIES = (WORKER, COMMAND)


def older_pythons(program=""):
    """Return the Pythons 3.8 and 3.9 on this machine that can run *program*."""
    named = [shutil.which(name) for name in ("python3.8", "python3.9")]
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.[89].*/bin/python")
    found = [*filter(None, named), *sorted(map(str, kept))]
    return [
        one for one in found if not subprocess.run([one, "-c", program], capture_output=True, check=False).returncode
    ]


def unpack(folder, entry=WORKER):
    for name, content in bundled(entry).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def rewritten(source):
    return bundle._rewritten(ast.parse(textwrap.dedent(source)), "hpmkd_edge.bench.some")


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_bundle_is_python_3_8(entry):
    """By its grammar."""
    sources = {name: content for name, content in bundled(entry).items() if name.endswith(".py")}

    assert "hpmkd_edge/bench/worker.py" in sources
    for name, content in sources.items():
        ast.parse(content, name, feature_version=bundle.LEAST_PYTHON)


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_bundle_loads_no_package_but_numpy(entry):
    """What it imports on top is numpy or of the standard library; a runtime comes inside the functions."""
    assert foreign_imports(entry) - sys.stdlib_module_names == {"numpy"}


def test_the_bundle_is_small():
    """It goes over the line for each measurement; the reference model is in it."""
    assert "hpmkd_edge/bench/reference.onnx" in bundled()
    assert len(bundle_tar()) < 1_000_000


def test_the_bundle_stands_alone(tmp_path):
    """Every module of it is loaded, in a process that sees none of the installed packages but numpy's."""
    names = [name[:-3].replace("/", ".").removesuffix(".__init__") for name in bundled(COMMAND) if name.endswith(".py")]
    program = (
        "import sys, importlib\n"
        "for name in ('onnx', 'onnxruntime', 'torch', 'pydantic', 'psutil', 'yaml', 'tqdm'): sys.modules[name] = None\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "places = {m.__file__ for n, m in sys.modules.items() if n.startswith('hpmkd_edge')}\n"
        "print(sorted(place for place in places if not place.startswith(sys.argv[1])))"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpack(tmp_path, COMMAND))}
    command = [sys.executable, "-c", program, str(tmp_path)]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert (found.stdout.strip(), found.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("x: int | None = None", "x: _older.typing.Union[int, None] = None"),
        ("x: tuple[A | None, ...]", "x: _older.typing.Tuple[_older.typing.Union[A, None], ...]"),
        ("F = dict[str, list[int]]", "F = _older.typing.Dict[str, _older.typing.List[int]]"),
        ("from collections.abc import Callable, Iterator", "from typing import Callable, Iterator"),
        ("from functools import cache, partial", "from hpmkd_edge.bench.older_python import cache"),
        ("from functools import cache as once", "from hpmkd_edge.bench.older_python import cache as once"),
        ("zip(a, b, strict=True)", "_older.zip_strictly(a, b, strict=True)"),
        ("flags = a | b", "flags = a | b"),
        ("with (a as b, c as d): pass", "with a as b, c as d:"),
    ],
)
def test_what_is_newer_is_written_as_it_was(source, wanted):
    """The rest stays."""
    assert wanted in rewritten(source)


def test_what_is_needed_is_imported_behind_the_docstring_and_the_future():
    """Python demands that the future comes first."""
    lines = rewritten(
        '''
        """What it is."""
        from __future__ import annotations
        x: int | None = None
        '''
    ).splitlines()

    assert lines[1] == "from __future__ import annotations"
    assert lines[2] == "from hpmkd_edge.bench import older_python as _older"


@pytest.mark.parametrize("python", older_pythons() or [None])
def test_an_older_python_reads_what_we_write(tmp_path, python):
    """Fields with defaults before those without, optional ones, tuples: decoded by the bundle's own code."""
    if python is None:
        pytest.skip("there is no Python 3.8 or 3.9 on this machine")
    (tmp_path / "numpy").mkdir()
    # A stand-in for numpy's names: the modules that need no more can be tried without it.
    (tmp_path / "numpy" / "__init__.py").write_text("class _Any:\n    pass\nndarray = str_ = object_ = int64 = _Any\n")
    text = json.dumps({"name": "brief", "least_runs": 64, "least_seconds": 0, "processes": 1, "warmup_runs": 20,
                       "warmup_seconds": 0.5, "warmup_limit_seconds": 1.0, "settled": 0.5})  # fmt: skip
    program = textwrap.dedent("""
        import sys
        from hpmkd_edge.bench.older_python import as_file, cache, dataclass, files, zip_strictly
        from hpmkd_edge.bench.protocol import Sampling
        from hpmkd_edge.bench.strict_json import decode
        from hpmkd_edge.json_file import parse
        from hpmkd_edge.bench import older_python as o
        import hpmkd_edge.errors, hpmkd_edge.export.artifact

        found = decode(Sampling, parse(sys.argv[1]), "the sampling")
        assert (found.least_seconds, found.most_samples) == (0.0, 200000), found

        @dataclass(frozen=True, slots=True, kw_only=True)
        class Late:
            first: "o.typing.Union[int, None]" = None
            last: "o.typing.Tuple[str, ...]"

        assert decode(Late, parse('{"last": ["a", "b"]}'), "it") == Late(last=("a", "b"))
        assert list(zip_strictly([1], [2], strict=True)) == [(1, 2)]
        try:
            list(zip_strictly([1], [], strict=True))
        except ValueError:
            pass
        else:
            raise AssertionError("it was not strict")
        with as_file(files("hpmkd_edge.bench") / "reference.onnx") as path:
            assert path.stat().st_size > 1000
        print("read")
    """)
    found = subprocess.run(
        [python, "-c", program, text], cwd=unpack(tmp_path), capture_output=True, text=True, check=False
    )

    assert (found.stdout, found.stderr) == ("read\n", "")


@pytest.mark.slow
def test_one_file_measures_where_nothing_of_ours_is_installed(tmp_path, images_file):
    """`python3 FILE model.onnx` on a board writes the profile that the tool reads."""
    write_bundle(tmp_path / "board.pyz")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "board.pyz", str(images_file), "--protocol", "quick", "--output", "profile.json"]
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)

    assert read_profile(tmp_path / "profile.json").model == "images.onnx"


@pytest.mark.slow
def test_an_older_python_measures(tmp_path, images_file):
    """The whole way, where a Python 3.8 or 3.9 has numpy and ONNX Runtime."""
    found = older_pythons("import numpy, onnxruntime")
    if not found:
        pytest.skip("no Python 3.8 or 3.9 on this machine has numpy and onnxruntime")
    write_bundle(tmp_path / "board.pyz")
    command = [found[0], "board.pyz", str(images_file), "--protocol", "quick", "--output", "profile.json"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    taken = read_profile(tmp_path / "profile.json")

    assert taken.host.python.startswith(("3.8.", "3.9."))
    assert taken.percentile_bound_ms(90) > 0
