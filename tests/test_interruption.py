"""Ctrl-C asks once, and stops the second time."""

import os
import signal
import threading

import pytest

from hpmkd_edge.interruption import listening


def test_the_first_signal_asks_and_the_second_stops(capsys):
    """And the handler from before is back afterwards."""
    before = signal.getsignal(signal.SIGINT)
    with listening() as interruption:
        assert not interruption.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is before
    assert "Ctrl-C again" in capsys.readouterr().err


def test_another_thread_can_run_without_signals():
    """Only the main thread may set a handler; a library call from elsewhere must not fail."""
    asked = []

    def run():
        with listening() as interruption:
            asked.append(interruption.asked)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert asked == [False]
