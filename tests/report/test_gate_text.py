"""What the gate says to people: verdicts, the baseline, what is dominated."""

from dataclasses import replace

from sample_records import make_profile, make_report

from hpmkd_edge.report.gate import judge_again
from hpmkd_edge.report.gate_text import MOST_NAMED, beaten, show_gated, to_summary

MET = make_report()
SLOWER = make_report(profile=make_profile(ms=2.0, reference_ns=(301_000,) * 1000))


def test_the_summary_has_every_budget_and_the_baseline():
    """With both numbers, the difference and its interval."""
    text = to_summary(judge_again([SLOWER], baselines=[MET]))

    for part in (
        "## hpmkd-edge gate: ✗ broken",
        "### pets \\[2\\] on host: cnn-32x3, chain of 2, fp32 (run 3f5a9c1d)",
        "| ✗ broken | latency vs baseline | 99.34 % | ≤ 10 % | measured |",
        "- latency vs baseline: 99.3 % slower (95 % from +91.",
        "| latency | 1 ms | 2 ms | 99.3 % | 91.",
        "| accuracy | 0.9124 | 0.9124 | 0 points | – | 5,000 rows, paired; 0 lost and 0 won |",
        "- cnn-32x3, plain KD (round 1) is dominated by cnn-32x3, ",
    ):
        assert part in text
    assert text.endswith("\n\n")


def shipping_worse(report):
    """Return *report* with a student that ships and is worse in all than its own int8 file."""
    turn = report.rounds[0]
    fp32, int8, *rest = turn.precisions
    better = replace(int8, accuracy=0.99, p90_bound_ms=0.5)
    return replace(report, rounds=(replace(turn, precisions=(fp32, better, *rest)),))


def test_a_dominated_student_that_ships_is_a_warning_and_no_failure():
    """First of all that is said of it."""
    (gated,) = judge_again([shipping_worse(MET)])

    assert beaten(gated)[0] == (
        "warning: cnn-32x3, chain of 2, fp32, which ships, is dominated by cnn-32x3, chain of 2, int8 (round 1)."
    )
    assert gated.verdict.exit_code == 0


def test_of_many_dominated_candidates_some_are_named():
    """The rest is counted."""
    turn = MET.rounds[0]
    many = tuple(replace(turn.rivals[0], name=f"way {number}") for number in range(200))
    (gated,) = judge_again([replace(MET, rounds=(replace(turn, rivals=(*many, *turn.rivals)),))])
    said = beaten(gated)

    assert len(said) == MOST_NAMED + 1
    assert said[-1] == f"{len(gated.dominated) - MOST_NAMED} candidates more are dominated; --format json names them."


def test_several_reports_are_told_apart(capsys):
    """Of one alone the table says enough."""
    show_gated(judge_again([MET]))
    alone = capsys.readouterr().out
    show_gated(judge_again([MET, SLOWER]))
    both = capsys.readouterr().out

    assert "run 3f5a9c1d" not in alone
    assert both.count("(run 3f5a9c1d)") == 2
