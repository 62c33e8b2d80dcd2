"""The CUDA kernels compute what their twins on the CPU do, in Numba's simulator and on a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_checks import CHECKS
from numba import cuda

NAMES = [check.__name__ for check in CHECKS]


@pytest.fixture(scope="module")
def failures():
    """What the checks say in a process that simulates a GPU."""
    program = Path(__file__).parents[1] / "cuda_checks.py"
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    ended = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_holds_in_the_simulator(failures, name):
    """Each of `cuda_checks`, by name."""
    assert failures[name] is None, failures[name]


@pytest.mark.skipif(not cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("check", CHECKS, ids=NAMES)
def test_it_holds_on_a_gpu(check):
    """The same checks, compiled."""
    check()


def test_nothing_imports_the_cuda_kernels_unasked():
    """A machine without a GPU does not pay for them."""
    said = "import sys; import hpmkd_edge.distill.lesson; print('hpmkd_edge.kernels.cuda' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "False"
