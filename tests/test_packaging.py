"""What is installed elsewhere works there: the wheel, made from the sdist, away from the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_SOURCE = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__")


def run(*arguments, **options):
    result = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the sdist from a copy of the source, the wheel from the sdist, and unpack it as pip does."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=NOT_SOURCE)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "source")
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"hpmkd_edge"}
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder / "site", wheel)
    return folder / "site"


@pytest.mark.slow
def test_the_installed_package_works_away_from_the_repository(site, tmp_path):
    """All rooms come from the wheel, the shipped targets are read, a model is measured in a child process."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    program = (
        "import hpmkd_edge.kernels, hpmkd_edge.export, hpmkd_edge.bench, hpmkd_edge.targets as t\n"
        "import hpmkd_edge.compress\n"
        "for m in (hpmkd_edge, hpmkd_edge.kernels, hpmkd_edge.export, hpmkd_edge.bench): print(m.__file__)\n"
        "print('jetson' in t.load_targets())\n"
    )
    *places, jetson = run(sys.executable, "-c", program, cwd=tmp_path, env=environment).split()

    assert jetson == "True"
    assert all(place.startswith(str(site)) for place in places)
    assert run(site / "bin" / "hpmkd-edge", "targets", "list", cwd=tmp_path, env=environment).count("\n") >= 5
    model = site / "hpmkd_edge" / "bench" / "reference.onnx"
    run(
        sys.executable,
        "-m",
        "hpmkd_edge.bench",
        model,
        "--protocol",
        "quick",
        "--output",
        "p.json",
        cwd=tmp_path,
        env=environment,
    )
    assert (tmp_path / "p.json").is_file()
