"""The types hold, strictly, over the package as it is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_mypy_strict_finds_nothing(tmp_path):
    """mypy cannot see setuptools' package-dir, so it is shown a folder of links that looks as imports do."""
    package = tmp_path / "hpmkd_edge"
    package.mkdir()
    for entry in (ROOT / "hpmkd_edge").iterdir():
        (package / entry.name).symlink_to(entry)
    for room in ("kernels", "export", "bench"):
        (package / room).symlink_to(ROOT / room)

    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", "hpmkd_edge"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
