"""The new user's path, from a clone to a gate that fails and one that passes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_SOURCE = shutil.ignore_patterns(".git", ".venv", ".*cache", ".hypothesis", "runs", "data", "__pycache__")


@pytest.fixture
def repository(tmp_path):
    """A repository of the source as it is now, committed or not."""
    folder = tmp_path / "repository"
    shutil.copytree(ROOT, folder, ignore=NOT_SOURCE)
    git = ["git", "-C", folder, "-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "as it is"]):
        subprocess.run([*git, *words], check=True)
    return folder


@pytest.mark.slow
def test_a_new_user_gets_from_a_clone_to_a_gate_that_fails_and_one_that_passes(repository, tmp_path):
    """Each step in a folder of its own, with the package installed from the clone."""
    script = [ROOT / "tests" / "first_path.sh", repository, tmp_path / "a new user", sys.executable]
    done = subprocess.run(list(map(str, script)), capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    steps = ["clone", "install", "compress", "a budget that is too tight", "the budget loosened", "the page", "done"]
    assert re.findall("^== (.*)", done.stdout, re.MULTILINE) == steps
