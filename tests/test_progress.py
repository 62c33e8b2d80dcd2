"""Bars: the terminal decides, unless the user wants quiet."""

import io

import pytest
from tqdm import tqdm

from hpmkd_edge.progress import QUIET, hidden, hide_bars


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _as_found(monkeypatch):
    monkeypatch.setenv(QUIET, "")


def shown():
    terminal = Terminal()
    list(tqdm(range(3), file=terminal, disable=hidden()))
    return terminal.getvalue() != ""


def test_quiet_hides_bars_on_a_terminal():
    """Where they would be seen."""
    before = shown()
    hide_bars()

    assert (before, shown()) == (True, False)


def test_without_a_terminal_there_is_no_bar():
    """A log file is not filled with them."""
    file = io.StringIO()
    list(tqdm(range(3), file=file, disable=hidden()))

    assert file.getvalue() == ""
