"""Latency by length, in every form of a report."""

from sample_records import make_report

from hpmkd_edge.bench.profile import LengthLatency
from hpmkd_edge.record import read_report, write_report
from hpmkd_edge.report.length_rows import by_length
from hpmkd_edge.report.markdown import to_markdown
from hpmkd_edge.report.pages.lengths import lines
from hpmkd_edge.report.pages.run import to_html

LENGTHS = (
    LengthLatency(pieces=8, p50_ms=0.08, p90_ms=0.09, runs=500),
    LengthLatency(pieces=48, p50_ms=0.149, p90_ms=0.207, runs=400),
)


def test_lengths_stand_in_the_record_the_page_and_the_document(tmp_path):
    """What was measured is read back as it was, and shown as it is."""
    report = make_report(lengths=LENGTHS)
    write_report(report, tmp_path / "report.json")

    assert read_report(tmp_path / "report.json").lengths == LENGTHS
    assert "A sentence of 48 pieces takes 0.149 ms" in to_html([report], links=[[]])
    assert "| 48 | 0.149 ms | 0.207 ms | 400 |" in to_markdown(report)


def test_a_report_of_others_says_nothing_of_lengths():
    """Images and rows of a table are all alike."""
    report = make_report()

    assert by_length(report.lengths).rows == ()
    assert "pieces" not in to_html([report], links=[[]]) + to_markdown(report)


def test_the_figure_has_what_the_table_has():
    """Two lines, a point a length."""
    p50, p90 = lines(LENGTHS).data

    assert list(p50.x) == list(p90.x) == [8, 48]
    assert (list(p50.y), list(p90.y)) == ([0.08, 0.149], [0.09, 0.207])
