"""A store of its own for each test, without the user's settings, and a clock that moves when it is told to."""

from dataclasses import dataclass

import pytest

from hpmkd_edge.store.database import open_database
from hpmkd_edge.store.objects import Store


@dataclass
class Clock:
    """Seconds since 1970, two minutes further at each look, so that every use is written down."""

    now: float = 0.0

    def __call__(self):
        self.now += 120.0
        return self.now


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    monkeypatch.delenv("HPMKD_EDGE_MEMORY", raising=False)
    monkeypatch.delenv("HPMKD_EDGE_CACHE_GB", raising=False)


@pytest.fixture
def another(tmp_path):
    """Open the test's store as one more process would."""
    clock = Clock()

    def open_again(most_bytes=10**9):
        folder = tmp_path / "cache"
        return Store(folder, open_database(str(folder / "memory.sqlite")), most_bytes=most_bytes, clock=clock)

    return open_again


@pytest.fixture
def store(another):
    """An empty store of 1 GB."""
    return another()
