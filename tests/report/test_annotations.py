"""Workflow commands: one line each, worst first, escaped as the runner reads them."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from sample_records import BOARD, make_profile, make_report, make_target

from hpmkd_edge.report.annotations import workflow_commands
from hpmkd_edge.report.gate import judge_again

MET, BROKEN = make_report(), make_report(profile=make_profile(ms=9.0))
UNKNOWN = make_report(make_target(device=BOARD))
COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)")


def commands(*reports):
    return [COMMAND.fullmatch(line).groups() for line in workflow_commands(judge_again(reports))]


def read(text):
    """Undo the escapes, as the runner does."""
    for letter in "\r\n:,%":
        text = text.replace(f"%{ord(letter):02X}", letter)
    return text


def test_what_is_met_is_a_notice_alone():
    """One a report; a dominated candidate is no news."""
    assert commands(MET) == [("notice", "pets [2] on host", "host: ✓ met (4 of 4 budgets met)")]


def test_errors_come_before_warnings():
    """GitHub shows the first ten of a kind."""
    levels = [level for level, _, _ in commands(UNKNOWN, BROKEN)]

    assert levels == ["error", "warning", "warning", "notice", "notice"]


def test_a_broken_budget_is_named_with_its_reason():
    """And with the data and the target, since a job may judge several."""
    level, title, message = commands(BROKEN)[0]

    assert (level, read(title)) == ("error", "latency_ms.p90, pets [2] on host")
    assert message == "broken: 9 ms p90 is above 8"


@given(st.text(max_size=20))
def test_no_name_begins_a_command_of_its_own(name):
    """Read back, each is what it was."""
    (_, title, _) = commands(replace(MET, data=replace(MET.data, name=name)))[-1]

    assert read(title) == f"{name} on host"
