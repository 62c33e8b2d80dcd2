"""Where the store lies follows from the environment."""

from pathlib import Path

import pytest

from hpmkd_edge.errors import BadConfiguration, BadOutput
from hpmkd_edge.store.opening import cache_folder, open_store


def test_the_folder_is_the_variable_s_else_the_user_s(monkeypatch, tmp_path):
    """Own variable, then the desktop's, then the home."""
    found = []
    monkeypatch.setenv("HPMKD_EDGE_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    for name in ("HPMKD_EDGE_CACHE", "XDG_CACHE_HOME", None):
        found.append(cache_folder())
        if name:
            monkeypatch.delenv(name)

    assert found == [tmp_path, Path("/xdg/hpmkd-edge"), Path.home() / ".cache/hpmkd-edge"]


def test_the_bound_and_the_database_are_the_variables(monkeypatch, tmp_path):
    """20 GB beside the files, if nothing is said; a folder that is named keeps its database to itself."""
    monkeypatch.setenv("HPMKD_EDGE_CACHE", str(tmp_path / "a"))
    usual = open_store()
    monkeypatch.setenv("HPMKD_EDGE_CACHE", str(tmp_path / "b"))
    monkeypatch.setenv("HPMKD_EDGE_CACHE_GB", "0.5")
    monkeypatch.setenv("HPMKD_EDGE_MEMORY", str(tmp_path / "elsewhere.sqlite"))
    own = open_store()
    named = open_store(tmp_path / "c")

    assert (usual.most_bytes, own.most_bytes) == (20_000_000_000, 500_000_000)
    assert usual.engine.url.database == str(tmp_path / "a" / "memory.sqlite")
    assert own.engine.url.database == str(tmp_path / "elsewhere.sqlite")
    assert named.engine.url.database == str(tmp_path / "c" / "memory.sqlite")


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf"])
def test_a_bound_that_is_none_is_refused(monkeypatch, tmp_path, text):
    """Before anything is made."""
    monkeypatch.setenv("HPMKD_EDGE_CACHE_GB", text)

    with pytest.raises(BadConfiguration, match=f"HPMKD_EDGE_CACHE_GB is '{text}'; a number of gigabytes above 0"):
        open_store(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    """A file stands in its place."""
    monkeypatch.setenv("HPMKD_EDGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").write_text("")

    with pytest.raises(BadOutput, match=r"the cache .*cache cannot be written: .*; set HPMKD_EDGE_CACHE to a folder"):
        open_store()
