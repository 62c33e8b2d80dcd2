"""Which commit a file is of."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from hpmkd_edge.checkout import commit_of


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one tracked file and one that is not."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (tmp_path / "kept.py").write_text("1")
    (tmp_path / "loose.py").write_text("1")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "kept.py"), (*who, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    return tmp_path


def test_a_tracked_file_is_of_its_commit(checkout):
    """Twelve digits, and "-dirty" once a tracked file has changed."""
    commit = commit_of(checkout / "kept.py")
    (checkout / "kept.py").write_text("2")

    assert len(commit) == 12
    assert commit_of(checkout / "kept.py") == f"{commit}-dirty"


def test_a_file_that_is_not_tracked_is_of_no_commit(checkout, tmp_path_factory):
    """As a package is that is installed below another project's checkout, or outside of any."""
    outside = tmp_path_factory.mktemp("outside") / "loose.py"

    assert commit_of(checkout / "loose.py") is None
    assert commit_of(outside) is None
