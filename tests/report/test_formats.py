"""What people and machines read of a report."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from sample_records import BOARD, FULL, make_foretold, make_profile, make_report, make_target

from hpmkd_edge.report.catalog import target_as_text, targets_as_text
from hpmkd_edge.report.figures import in_unit, quantity, ratio, signed
from hpmkd_edge.report.gate import gate
from hpmkd_edge.report.machine import reports_to_json, to_json, verdicts_to_json
from hpmkd_edge.report.markdown import to_markdown
from hpmkd_edge.report.rows import headline
from hpmkd_edge.report.terminal import show, show_verdicts
from hpmkd_edge.targets import load_targets

COMMAND = f"ssh BOARD python3 -m hpmkd_edge.bench {'long/' * 20}student.onnx"
UNKNOWN = make_report(make_target(device=BOARD, budgets=FULL), board_command=COMMAND)
FLAWED = make_report(
    make_target(budgets=FULL), make_profile(ms=9.123456, placement_share=0.123456, engine_build_s=12.5)
)


@pytest.fixture(params=[80, 120])
def width(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def numbers_of(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*\.?\d*", text)]


FORETOLD = make_report(make_target(device=BOARD), foretold=(make_foretold(2.512345, 3.123456, 4.212345),))


@pytest.mark.parametrize("report", [UNKNOWN, FLAWED, FORETOLD], ids=["unknown", "flawed", "foretold"])
def test_markdown_has_every_number_of_the_judgements(report):
    """Value, limit, warn level and this host's number, to six digits, in the row of the budget."""
    text = to_markdown(report).replace("\\", "")
    for judgement in report.verdict.judgements:
        row = next(line for line in text.splitlines() if f"| {judgement.budget} |" in line)
        shown = numbers_of(row.split(judgement.budget)[1])
        for number in (judgement.value, judgement.limit, judgement.warn, judgement.here, judgement.low):
            assert number is None or number == pytest.approx(min(shown, key=lambda x: abs(x - number)), rel=1e-5)
        assert judgement.reason in row
        assert judgement.provenance.value in row


def test_markdown_tells_all_parts_of_a_run():
    """Probes, rounds with their reasons, settings, environment, and the command unbroken."""
    text = to_markdown(UNKNOWN)

    for part in (
        "Sizes measured untrained",
        "Round 1: cnn-64x3 → cnn-32x3",
        "Settings",
        "Environment",
        "Teachers",
    ):
        assert f"## {part}" in text
    for turn in UNKNOWN.rounds:
        assert turn.reason in text
    assert f"```sh\n{COMMAND}\n```" in text
    assert "0.01 \\| cosine" in text


def test_markdown_tables_are_as_wide_as_their_headers():
    """A name with a bar in it does not break a row."""
    for table in re.findall(r"(?:^\|.*\n)+", to_markdown(UNKNOWN), re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}

        assert len(columns) == 1


def test_the_terminal_keeps_to_its_width(width, capsys):
    """Nothing is wider but a command, which must be copied whole."""
    show(UNKNOWN)
    lines = capsys.readouterr().out.splitlines()

    assert COMMAND in lines
    assert max(len(line) for line in lines if line != COMMAND) <= width


def test_the_terminal_writes_no_codes_into_a_pipe(capsys):
    """Color is for terminals; symbols and words say the same."""
    show(UNKNOWN)
    show_verdicts([FLAWED.verdict])
    text = capsys.readouterr().out

    assert "\x1b" not in text
    assert "✗ broken" in text
    assert "? inconclusive" in text
    assert "✓ met" in text


def test_the_terminal_says_what_a_reader_must_know(width, capsys):
    """Ratios, rounds with gain intervals, verdict with provenance, notes."""
    show(UNKNOWN)
    text = capsys.readouterr().out

    for part in (
        "8.75× fewer",
        "3.52× smaller",
        "−1.76 points",
        "+0.70 to +2.30",
        "measured",
        "unknown on board",
    ):
        assert part in text
    assert "• The second teacher was trained on the spot." in text


def test_names_are_not_read_as_markup(capsys):
    """A data set may be called [bold]."""
    show(replace(UNKNOWN, data=replace(UNKNOWN.data, name="[bold]x[/nothing]")))

    assert "[bold]x[/nothing]" in capsys.readouterr().out


def test_machines_get_outcomes_and_the_exit_code():
    """The JSON of a gate has what a program decides by."""
    found = json.loads(verdicts_to_json([UNKNOWN.verdict, FLAWED.verdict]))

    assert found["schema"] == "hpmkd-edge/gate/1"
    assert found["exit_code"] == 1
    assert [verdict["outcome"] for verdict in found["verdicts"]] == ["inconclusive", "broken"]
    assert found["verdicts"][1]["judgements"][1]["value"] == 9.123456


def test_reports_and_targets_become_json():
    """Each as its file has it."""
    assert json.loads(reports_to_json([FLAWED]))[0]["run_id"] == FLAWED.run_id
    assert json.loads(to_json(load_targets()))["jetson"]["runtime"] == "tensorrt"
    assert json.loads(to_json(make_target()))["name"] == "host"


def test_targets_are_listed_with_their_budgets():
    """Every budget of a target is shown, and only those."""
    targets = load_targets()
    text = target_as_text(targets["jetson"])

    assert all(name in targets_as_text(targets) for name in targets)
    for part in ("at most 8 ms, warn above 7 ms", "at least 0.95 of", "at most 0.02 below", "verified"):
        assert part in text
    assert "placement" not in target_as_text(targets["host"])


def test_a_headline_counts_the_budgets():
    """What is met, and what is not."""
    assert headline(make_report().verdict) == "host: ✓ met (4 of 4 budgets met)"
    assert headline(UNKNOWN.verdict) == "board: ? inconclusive (2 of 7 budgets met, 5 inconclusive)"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (10.0, 1.0, "10.0× less"),
        (1.0, 10.0, "10.0× more"),
        (861_620, 98_522, "8.75× less"),
        (1.0, 1.0, "the same"),
        (None, 1.0, "–"),
        (0.0, 1.0, "–"),
    ],
)
def test_a_ratio_says_which_way(before, after, text):
    """A cost that grew is told as plainly as one that shrank."""
    assert ratio(before, after, ("less", "more")) == text


def test_numbers_are_rounded_for_people():
    """Counts whole, the rest to significant digits, never with an exponent."""
    assert quantity(861_620, "") == "861,620"
    assert quantity(0.021345, " ms") == "0.0213 ms"
    assert quantity(1234.5, " MB") == "1,234 MB"
    assert in_unit(8.0, "ms", 4) == "8 ms"
    assert in_unit(123456.7, "MB", 4) == "123,457 MB"
    assert in_unit(0.912345, "share", 6) == "0.912345"
    assert signed(-1.5) == "−1.50"


def test_a_prediction_is_shown_as_one(capsys):
    """Its interval stands where a measured number does; judged by it, a budget says so, met or not."""
    show(FORETOLD)
    left_open = capsys.readouterr().out
    allowed = gate([FORETOLD], allow_predicted=True)
    show_verdicts(allowed)
    judged = capsys.readouterr().out

    assert "2.512 to 4.212 ms" in left_open
    assert "predicted 3.123 ms (2.512 to 4.212) from 8 records, 8 ms allowed" in " ".join(left_open.split())
    assert "2.512 to 4.212 ms" in judged
    assert "predicted 3.123 ms (2.512 to 4.212) from 8 records: 4.212 ms p90 is at most 7" in " ".join(judged.split())
    assert headline(allowed[0]).endswith("(3 of 4 budgets met, 1 inconclusive, 1 judged by a prediction)")
