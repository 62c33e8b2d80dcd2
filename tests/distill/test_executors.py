"""Executors: the same results and errors here and in worker processes, and no worker left behind."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import sample_jobs
import torch

from hpmkd_edge.distill.executors import InProcess, LocalProcesses, WorkerTraceback
from hpmkd_edge.distill.pipeline import Job, run_jobs
from hpmkd_edge.distill.shared_arrays import LEAST, SharedArrays, unpack
from hpmkd_edge.errors import BadConfiguration, EdgeError, Interrupted, TrainingFailed


@pytest.fixture(scope="module")
def two():
    """Two workers that the tests of this file share, with 100 as their context."""
    with LocalProcesses(2, 1, context=100) as executor:
        yield executor


@pytest.fixture(params=["in process", "two workers"])
def executor(request):
    return request.getfixturevalue("two") if request.param == "two workers" else InProcess(100)


def job(name, call, *arguments, after=()):
    return Job(name=name, call=call, arguments=arguments, after=after)


def test_results_are_those_of_the_calls(executor):
    """By name, in the order of the jobs, on every executor."""
    jobs = [job(str(number), sample_jobs.add, number, 1) for number in range(5)]

    assert run_jobs(jobs, executor) == {str(number): 101 + number for number in range(5)}
    assert run_jobs([], executor) == {}


def test_a_job_finds_the_files_of_those_it_waits_for(executor, tmp_path):
    """A diamond, given backwards."""
    jobs = [
        job("d", sample_jobs.touch, tmp_path, "d", ("b", "c"), after=("b", "c")),
        job("c", sample_jobs.touch, tmp_path, "c", ("a",), after=("a",)),
        job("b", sample_jobs.touch, tmp_path, "b", ("a",), after=("a",)),
        job("a", sample_jobs.touch, tmp_path, "a"),
    ]

    assert run_jobs(jobs, executor) == dict.fromkeys("dcba", True)


def test_a_failure_keeps_its_class_and_message(executor):
    """Whichever process it happened in."""
    with pytest.raises(TrainingFailed, match=r"^the loss is nan after epoch 3\.$"):
        run_jobs([job("a", sample_jobs.diverge, "the loss is nan after epoch 3.")], executor)
    with pytest.raises(SystemExit, match="3"):
        run_jobs([job("a", sample_jobs.leave, 3)], executor)


def test_a_worker_s_traceback_is_the_cause(two):
    """The line in the worker is what a person needs."""
    with pytest.raises(TrainingFailed) as caught:
        run_jobs([job("a", sample_jobs.diverge, "nan.")], two)

    assert isinstance(caught.value.__cause__, WorkerTraceback)
    assert "sample_jobs.py" in str(caught.value.__cause__)


def test_an_error_that_cannot_be_rebuilt_arrives_by_name_and_message(two):
    """Instead of breaking the worker's pipe."""
    with pytest.raises(RuntimeError, match="Fussy: this and that"):
        run_jobs([job("a", sample_jobs.be_fussy)], two)


def test_two_workers_run_two_jobs_at_once(two, tmp_path):
    """Each waits for the other's file, so neither could end alone; and the processes are kept for the next graph."""
    jobs = [
        job("a", sample_jobs.meet, tmp_path, "a", "b"),
        job("b", sample_jobs.meet, tmp_path, "b", "a"),
    ]
    first = run_jobs(jobs, two)
    second = run_jobs(jobs, two)

    assert len({os.getpid(), *first.values()}) == 3
    assert set(second.values()) == set(first.values())


def test_a_failure_stops_the_jobs_beside_it(tmp_path, two):
    """They are asked, save, and are waited for; the error is that of the failure."""
    jobs = [
        job("beside", sample_jobs.wait_to_be_stopped, tmp_path, "beside"),
        job("bad", sample_jobs.diverge, "nan.", tmp_path, "beside began"),
        job("later", sample_jobs.touch, tmp_path, "later", after=("bad",)),
    ]
    with pytest.raises(TrainingFailed, match=r"^nan\.$"):
        run_jobs(jobs, two)

    assert (tmp_path / "beside saved").exists()
    assert not (tmp_path / "later").exists()


def test_a_stop_reaches_the_jobs_under_way_and_workers_serve_again_after_it(tmp_path, two):
    """Both save; the third never begins; the next graph is not stopped by what was asked before."""
    jobs = [job(name, sample_jobs.wait_to_be_stopped, tmp_path, name) for name in "abc"]
    with pytest.raises(Interrupted, match=r"stopped with 0 of 3 jobs finished\. waited for never; the state is saved"):
        run_jobs(jobs, two, stop=lambda: (tmp_path / "a began").exists() and (tmp_path / "b began").exists())

    assert {path.name for path in tmp_path.iterdir()} == {"a began", "a saved", "b began", "b saved"}
    assert run_jobs([job(name, sample_jobs.is_stopped) for name in "ab"], two) == {"a": False, "b": False}


@pytest.mark.parametrize(
    ("code", "how"),
    [(None, "was killed by SIGKILL, as the kernel does when memory runs out"), (3, "ended with code 3 and no answer")],
)
def test_a_worker_that_dies_fails_the_run_with_what_to_do(two, tmp_path, code, how):
    """No hang: the job is named, the one beside it is asked to stop, and new workers come for the next graph."""
    jobs = [
        job("beside", sample_jobs.wait_to_be_stopped, tmp_path, "beside"),
        job("big", sample_jobs.die, code),
    ]
    with pytest.raises(EdgeError, match=f"^big: the worker process, one of 2, {how}.*fewer --workers"):
        run_jobs(jobs, two)

    assert run_jobs([job("a", sample_jobs.add, 1)], two) == {"a": 101}


def test_a_worker_that_died_idle_is_replaced(two):
    """A death between two graphs costs nothing."""
    pid = run_jobs([job("a", sample_jobs.process)], two)["a"]
    psutil.Process(pid).kill()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # until it is dead; its end stays there to be seen

    assert run_jobs([job("a", sample_jobs.add, 1)], two) == {"a": 101}


def test_what_a_job_prints_and_logs_comes_here(monkeypatch, capfd, caplog):
    """Stdout is for results, so prints go to stderr; records go through this process's own handlers."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with caplog.at_level(logging.INFO, "hpmkd_edge"), LocalProcesses(1, 1) as one:
        run_jobs([job("a", sample_jobs.say, "hello")], one)
    out, err = capfd.readouterr()

    assert out == ""
    assert "hello" in err
    assert ("hpmkd_edge.sample", logging.INFO, "logged: hello") in caplog.record_tuples


@pytest.mark.slow
def test_large_arrays_are_maps_and_a_write_stays_in_the_worker(two):
    """NumPy arrays and tensors alike: nothing is copied, and nobody sees another's changes."""
    array = np.arange(LEAST, dtype=np.float32)
    tensor = torch.arange(LEAST, dtype=torch.float32)
    jobs = [
        job("changed", sample_jobs.total, tensor, True),
        job("array", sample_jobs.total, array, after=("changed",)),
        job("tensor", sample_jobs.total, tensor, after=("changed",)),
    ]
    expected = float(array.sum(dtype=np.float64))

    assert run_jobs(jobs, two) == {"changed": (0.0, True), "array": (expected, True), "tensor": (expected, True)}
    assert float(tensor[1]) == 1.0


def test_arrays_come_back_as_they_were():
    """Every dtype, shape and memory order, large and small, with a gradient and without."""
    values = [
        np.zeros((0, 3)),
        np.arange(2 * LEAST).reshape(2, -1).T,
        np.arange(3 * LEAST)[::3],
        np.array(["a", None], object),
        torch.tensor(3.5),
        torch.zeros(0, 2),
        torch.ones(LEAST, dtype=torch.bfloat16),
        torch.ones(2, 3, 64, 64).contiguous(memory_format=torch.channels_last),
        torch.ones(LEAST, requires_grad=True),
        torch.arange(LEAST, dtype=torch.uint8),
    ]
    arrays = SharedArrays()
    again = unpack(arrays.pack(values), arrays.descriptor)
    arrays.close()

    for value, other in zip(values, again, strict=True):
        if isinstance(value, torch.Tensor):
            assert value.requires_grad == other.requires_grad
            assert value.stride() == other.stride()
            torch.testing.assert_close(value, other, rtol=0, atol=0)
        else:
            assert value.dtype == other.dtype
            np.testing.assert_array_equal(value, other)


def test_an_array_is_kept_once_and_by_content():
    """Many lessons share their views; and one that was changed in place since is sent anew."""
    arrays, array = SharedArrays(), np.zeros(LEAST, np.uint8)
    first = arrays.pack({"view": array, "again": array.copy()})
    size = os.fstat(arrays.descriptor).st_size
    arrays.pack([array])
    unchanged = os.fstat(arrays.descriptor).st_size
    array += 1
    second = arrays.pack(array)

    assert size == unchanged == LEAST
    assert unpack(first, arrays.descriptor)["again"].sum() == 0
    assert unpack(second, arrays.descriptor).sum() == LEAST
    arrays.close()


@pytest.mark.slow
def test_a_worker_has_the_threads_that_it_was_given():
    """Of torch and of Numba: two workers on two cores take one each."""
    with LocalProcesses(1, 1) as one:
        assert run_jobs([job("a", sample_jobs.threads)], one) == {"a": (1, "1")}


def test_leaving_the_with_ends_the_workers():
    """By an exception too, as Ctrl-C is."""
    pids = []

    def be_interrupted():
        with LocalProcesses(1, 1) as one:
            pids.append(run_jobs([job("a", sample_jobs.process)], one)["a"])
            assert psutil.pid_exists(pids[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()

    assert not psutil.pid_exists(pids[0])


def test_a_terminal_s_interrupt_does_not_reach_a_worker(two):
    """It goes to the process group of the parent, which then asks the jobs itself."""
    assert run_jobs([job("a", sample_jobs.group)], two)["a"] != os.getpgrp()


def test_workers_die_with_a_killed_parent_and_a_script_needs_no_guard(tmp_path):
    """The parent has no `if __name__ == "__main__"`, is killed amid a job, and leaves no process behind."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        f"sys.path.append({str(Path(sample_jobs.__file__).parent)!r})\n"
        "import sample_jobs\n"
        "from hpmkd_edge.distill.executors import LocalProcesses\n"
        "from hpmkd_edge.distill.pipeline import Job, run_jobs\n"
        "executor = LocalProcesses(1, 1)\n"
        "print(run_jobs([Job(name='a', call=sample_jobs.process)], executor)['a'], flush=True)\n"
        f"endless = Job(name='b', call=sample_jobs.wait_to_be_stopped, arguments=({str(tmp_path)!r}, 'b'))\n"
        "run_jobs([endless], executor)\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    worker = psutil.Process(int(parent.stdout.readline()))
    sample_jobs.wait_for(tmp_path / "b began")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs([worker], timeout=sample_jobs.PATIENCE_S)

    assert (len(gone), alive) == (1, [])


def test_less_than_one_worker_or_thread_is_refused():
    """With what was found and what is needed."""
    with pytest.raises(BadConfiguration, match=r"0 workers.* 1 or more"):
        LocalProcesses(0, 1)
    with pytest.raises(BadConfiguration, match=r"0 threads.* 1 or more"):
        LocalProcesses(1, 0)
