"""The progress of a build: within 0 and 1, never back, whole at the end; Ctrl-C stops the build."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.bench.runtimes.tensor_rt_progress import Progress, monitor_for

Module = SimpleNamespace(IProgressMonitor=object)


def test_a_phase_fills_one_step_of_its_parent():
    """Half of the first of four steps is an eighth."""
    progress = Progress()
    progress.start("engine", None, 4)
    progress.start("graph", "engine", 2)
    progress.step("graph", 0)
    assert progress.fraction == pytest.approx(1 / 8)

    progress.finish("graph")
    progress.step("engine", 0)
    assert progress.fraction == pytest.approx(1 / 4)


@given(st.recursive(st.integers(1, 4), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=12))
def test_progress_never_goes_back_and_ends_whole(phases):
    """Whatever phases there are in each other."""
    progress, seen = Progress(), []

    def run(phase, name, parent):
        steps = phase if isinstance(phase, int) else len(phase)
        progress.start(name, parent, steps)
        for step in range(steps):
            if isinstance(phase, list):
                run(phase[step], f"{name}.{step}", name)
            progress.step(name, step)
            seen.append(progress.fraction)
        progress.finish(name)

    run(phases, "engine", None)

    assert seen == sorted(seen)
    assert progress.fraction == pytest.approx(1.0)


def test_ctrl_c_in_a_report_ends_the_build(monkeypatch):
    """No exception crosses TensorRT's own frames; it is told to stop instead."""
    monitor = monitor_for(Module)
    monitor.phase_start("engine", None, 2)
    assert monitor.step_complete("engine", 0)

    def interrupt(name, step):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "step", lambda self, name, step: interrupt(name, step))
    assert not monitor.step_complete("engine", 1)
    assert monitor.stopped


def test_a_terminal_sees_one_line(monkeypatch, capsys):
    """Written over, and cleared at the end; elsewhere there is none."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monitor = monitor_for(Module)
    monitor.phase_start("engine", None, 2)
    monitor.step_complete("engine", 0)
    monitor.phase_finish("engine")
    monitor.close()
    shown = capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    monitor_for(Module).phase_start("engine", None, 2)

    assert shown.split("\r\x1b[K") == ["", "  0% engine", " 50% engine", "100% engine", ""]
    assert capsys.readouterr().err == ""
