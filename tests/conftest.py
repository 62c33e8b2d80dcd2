"""What many tests share: a short way to measure, small data on disk, a cache of their own."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from sample_data import blobs

from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench.runtimes import tensor_rt


def pytest_configure(config):
    """Let each of several workers compile for itself: numba's cache cannot be written by two at once."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        os.environ["NUMBA_CACHE_DIR"] = str(config.rootpath / ".cache" / "tests" / f"numba-{worker}")


@pytest.fixture(autouse=True, scope="session")
def _interruptible():
    """A shell starts jobs in the background with Ctrl-C ignored; tests interrupt themselves and what they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test reads what another, or the user, has left in the cache."""
    monkeypatch.setenv("HPMKD_EDGE_CACHE", str(tmp_path_factory.mktemp("cache")))
    for name in ("HPMKD_EDGE_MEMORY", "HPMKD_EDGE_CACHE_GB"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def brief(monkeypatch):
    """Let `quick` take a twentieth of a second: enough samples for a bound of the p90, in little time."""
    short = replace(
        SAMPLINGS["quick"], least_seconds=0.05, warmup_seconds=0.01, warmup_limit_seconds=0.05, warmup_runs=20
    )
    monkeypatch.setitem(SAMPLINGS, "quick", short)


@pytest.fixture
def images_npz(tmp_path):
    """240 small images of three classes in an NPZ."""
    x, y = blobs()
    path = tmp_path / "blobs.npz"
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture
def table_csv(tmp_path):
    """300 rows of two numbers, a category and missing values, of two classes."""
    generator = np.random.default_rng(1)
    lines = ["size,heat,color,kind"]
    for number in range(300):
        kind = number % 2
        size = "" if number % 17 == 0 else f"{generator.normal(3 * kind, 1):.3f}"
        color = generator.choice(["red", "blue"], p=[0.8, 0.2] if kind else [0.3, 0.7])
        lines.append(f"{size},{generator.normal():.3f},{color},{'new' if kind else 'old'}")
    path = tmp_path / "things.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def rtx(monkeypatch):
    """TensorRT-RTX, which builds without a GPU, in place of whichever package comes first."""
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(tensor_rt, "PACKAGES", ("tensorrt_rtx",))
    tensor_rt._module.cache_clear()
    tensor_rt._logger.cache_clear()
    yield
    tensor_rt._module.cache_clear()
    tensor_rt._logger.cache_clear()
