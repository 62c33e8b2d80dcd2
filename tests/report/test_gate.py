"""The gate judges again, and its exit code is that of the worst verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sample_records import BOARD, make_foretold, make_host, make_profile, make_report, make_target

from hpmkd_edge.baseline import Allowance
from hpmkd_edge.bench.profile import Preprocessing
from hpmkd_edge.errors import BadConfiguration, BadReport
from hpmkd_edge.record import write_report
from hpmkd_edge.report.gate import exit_code_of, gate, judge_again, reports_at
from hpmkd_edge.targets import Budgets, Limit
from hpmkd_edge.verdict import Outcome, Provenance

ON_BOARD = make_host(model="Maker Board 9 rev 1")
UNKNOWN = make_report(make_target(device=BOARD))


def test_an_honest_report_keeps_its_verdict():
    """Nothing is judged otherwise than before."""
    met, broken = make_report(), make_report(profile=make_profile(ms=9.0))

    assert gate([met, broken, UNKNOWN]) == (met.verdict, broken.verdict, UNKNOWN.verdict)


def test_judging_by_the_same_budgets_gives_the_same_verdict():
    """The report holds all that a judgement needs."""
    for report in (make_report(), make_report(profile=make_profile(ms=9.0)), UNKNOWN):
        assert gate([report], {report.target: report.judged_against}) == (report.verdict,)


def tampered(report, **changes):
    """Return *report* with its accuracy judged otherwise."""
    *rest, accuracy = report.verdict.judgements
    return replace(report, verdict=replace(report.verdict, judgements=(*rest, replace(accuracy, **changes))))


# Without answers, which would deny its accuracy.
POOR = replace(make_report(), answers=None)
POOR = replace(POOR, student=replace(POOR.student, test_accuracy=0.5))
DENIED = [
    tampered(POOR, value=0.95),
    tampered(POOR, limit=0.1),
    tampered(POOR, limit=None),
    tampered(make_report(), outcome=Outcome.INCONCLUSIVE),
    tampered(make_report(), value=0.93),
    tampered(make_report(), limit=0.9),
    tampered(make_report(), provenance=Provenance.UNKNOWN),
    replace(make_report(), target="jetson"),
    replace(make_report(), verdict=replace(make_report().verdict, target="jetson")),
    replace(make_report(), verdict=replace(make_report().verdict, judgements=make_report().verdict.judgements[1:])),
    replace(make_report(), answers=None, student=replace(make_report().student, test_accuracy=0.2)),
]


@pytest.mark.parametrize("report", DENIED)
def test_a_verdict_that_the_report_s_own_numbers_deny_is_refused(report):
    """Whichever of the two was altered, in whichever way, and whatever it is judged by: it proves nothing."""
    for asked in ({}, {"targets": {report.target: make_target()}}, {"profiles": [make_profile()]}):
        with pytest.raises(BadReport, match="does not follow from its numbers"):
            gate([report], **asked)


def test_a_verdict_may_differ_from_its_numbers_by_a_rounding():
    """Another machine may sum in another order."""
    report = make_report()
    near = tampered(report, value=report.student.test_accuracy * (1 + 1e-12))

    assert gate([near]) == (report.verdict,)


def test_a_report_that_is_judged_by_nothing_is_refused():
    """No budget is no proof."""
    report = make_report()
    target = replace(report.judged_against, budgets=Budgets())
    blank = replace(report, judged_against=target, verdict=replace(report.verdict, judgements=()))

    with pytest.raises(BadReport, match="no budget"):
        gate([blank])


def test_other_budgets_are_found_by_name():
    """A tighter file breaks what the run had met."""
    tight = make_target(budgets=Budgets(model_size_mb=Limit(fail=0.5)))

    (verdict,) = gate([make_report()], {"host": tight})

    assert verdict.exit_code == 1


def test_a_target_that_the_file_does_not_have_is_an_error():
    """No budgets, no verdict."""
    with pytest.raises(BadConfiguration, match="there is no target 'host'"):
        gate([make_report()], {"other": make_target()})


@pytest.mark.parametrize(("ms", "code"), [(1.0, 0), (9.0, 1)])
def test_a_profile_from_the_board_settles_what_was_unknown(ms, code):
    """The student is judged by the board's own numbers, by recorded or given budgets."""
    taken = make_profile(ms=ms, host=ON_BOARD)

    assert UNKNOWN.verdict.exit_code == 5
    assert exit_code_of(gate([UNKNOWN], profiles=[taken])) == code
    assert exit_code_of(gate([UNKNOWN], {"board": UNKNOWN.judged_against}, [taken])) == code


def test_a_profile_from_another_machine_settles_nothing():
    """It is no better than the recorded one."""
    taken = make_profile(ms=9.0, host=make_host(model="Board 8"))

    assert exit_code_of(gate([UNKNOWN], profiles=[taken])) == 5


def test_the_better_provenance_is_taken():
    """A transferred number gives way to a measured one, in either order."""
    report = make_report(make_target(device=BOARD, power_mode="15W"))
    other = make_profile(ms=9.0, host=replace(ON_BOARD, power_mode="7W"))
    right = make_profile(ms=1.0, host=replace(ON_BOARD, power_mode="15W"))

    assert exit_code_of(gate([report], profiles=[other, right])) == 0
    assert exit_code_of(gate([report], profiles=[right, other])) == 0


@pytest.mark.parametrize("mode", ["15W", "7W"])
def test_two_profiles_that_are_worth_the_same_are_refused(mode):
    """Else their order would give the exit code; both are named."""
    report = make_report(make_target(device=BOARD, power_mode="15W"))
    slow, fast = (
        make_profile(ms=ms, host=replace(ON_BOARD, power_mode=mode, name=name), taken_at=name)
        for ms, name in ((9.0, "mon"), (1.0, "tue"))
    )

    for profiles in ([slow, fast], [fast, slow]):
        with pytest.raises(
            BadConfiguration, match=r"2 profiles that are .* on board, taken on .* and on .*; one is ne"
        ):
            gate([report], profiles=profiles)
    if mode == "7W":
        best = make_profile(host=replace(ON_BOARD, power_mode="15W"))
        assert exit_code_of(gate([report], profiles=[slow, fast, best])) == 0


def test_profiles_that_say_nothing_of_a_target_may_be_several():
    """As where two boards were measured, and the run had a third target too."""
    taken = [make_profile(ms=ms, host=make_host(model=name)) for ms, name in ((9.0, "Board 7"), (1.0, "Board 8"))]

    assert gate([UNKNOWN], profiles=taken) == gate([UNKNOWN], profiles=taken[::-1]) == (UNKNOWN.verdict,)


def test_a_profile_of_another_model_is_refused():
    """A measurement says which file it is of."""
    with pytest.raises(BadConfiguration, match="sha256 666666666666…; one of a report's student is needed: 5555"):
        gate([make_report()], profiles=[make_profile(model_sha256="6" * 64)])


def test_a_profile_without_the_report_s_preprocessing_is_refused():
    """What was timed is both files of the run: neither less nor another first file."""
    before = Preprocessing(file="p.onnx", sha256="7" * 64, bytes=9, runtime="onnxruntime", runtime_version="1.20")
    report = make_report(profile=make_profile(preprocessing=before))
    same = make_profile(preprocessing=replace(before, file="q.onnx"))

    assert gate([report], profiles=[same]) == gate([report])
    for profile in (make_profile(), make_profile(preprocessing=replace(before, sha256="8" * 64))):
        with pytest.raises(BadConfiguration, match="another preprocessing file than the report's, or without one"):
            gate([report], profiles=[profile])


def test_the_worst_verdict_gives_the_exit_code():
    """Broken before inconclusive before met; a warning passes."""
    met, warned = make_report().verdict, make_report(profile=make_profile(ms=7.5)).verdict
    broken, unknown = make_report(profile=make_profile(ms=9.0)).verdict, UNKNOWN.verdict

    assert warned.outcome is Outcome.WARNED
    assert exit_code_of([]) == 0
    assert exit_code_of([met, warned]) == 0
    assert exit_code_of([met, unknown]) == 5
    assert exit_code_of([unknown, broken, met]) == 1


FORETOLD = make_report(make_target(device=BOARD), foretold=(make_foretold(2.5, 3.1, 7.5),))


def outcomes(report, **asked):
    ((verdict,), *_) = (gate([report], **asked),)
    return {judgement.budget: judgement.outcome for judgement in verdict.judgements}


def test_a_prediction_counts_only_where_it_is_allowed():
    """By its upper bound, warned of here; what no prediction is of stays open."""
    closed, allowed = outcomes(FORETOLD), outcomes(FORETOLD, allow_predicted=True)

    assert gate([FORETOLD]) == (FORETOLD.verdict,)
    assert closed["latency_ms.p90"] is Outcome.INCONCLUSIVE
    assert allowed == {**closed, "latency_ms.p90": Outcome.WARNED}
    assert gate([UNKNOWN], allow_predicted=True) == (UNKNOWN.verdict,)


def test_a_prediction_may_break_a_budget():
    """The slowest that it may be is over the limit, though its middle is not."""
    slow = make_report(make_target(device=BOARD), foretold=(make_foretold(2.5, 3.1, 8.1),))

    assert exit_code_of(gate([slow])) == 5
    assert exit_code_of(gate([slow], allow_predicted=True)) == 1


@pytest.mark.parametrize(("ms", "code"), [(1.0, 0), (9.0, 1)])
def test_a_profile_from_the_board_counts_more_than_a_prediction(ms, code):
    """On either side of the limit."""
    taken = make_profile(ms=ms, host=ON_BOARD)

    assert exit_code_of(gate([FORETOLD], profiles=[taken], allow_predicted=True)) == code


def test_a_prediction_is_for_one_device_mode_and_number_of_threads():
    """Other budgets of the same target are judged by it; another machine's are not."""
    target = FORETOLD.judged_against
    tight = replace(target, budgets=replace(target.budgets, latency_ms=()), name="board")
    other = replace(target, threads=4)
    (judged, *_) = gate([FORETOLD], {"board": other}, allow_predicted=True)[0].judgements

    assert outcomes(FORETOLD, targets={"board": target}, allow_predicted=True)["latency_ms.p90"] is Outcome.WARNED
    assert "latency_ms.p90" not in outcomes(FORETOLD, targets={"board": tight}, allow_predicted=True)
    assert judged.outcome is Outcome.INCONCLUSIVE
    assert "for another device, runtime, power mode or number of threads" in judged.reason


def test_an_altered_prediction_is_refused():
    """A report tells it twice, in its verdict too."""
    altered = replace(FORETOLD, foretold=(make_foretold(2.5, 3.1, 4.2),))

    with pytest.raises(BadReport, match=r"does not follow from its numbers \(latency_ms.p90\)"):
        gate([altered], allow_predicted=True)


MET = make_report()


def beside(report, *baselines, **asked):
    """Return the outcomes of what *report* may be worse by, and the verdict's exit code."""
    (gated,) = judge_again([report], baselines=baselines, **asked)
    judged = gated.verdict.judgements
    return {one.budget: one.outcome.value for one in judged if "baseline" in one.budget}, gated.verdict.exit_code


def test_a_report_is_no_worse_than_itself():
    """Not by a point, not by a percent; its own budgets are judged as ever."""
    nothing = Allowance(accuracy_drop=0.0, latency_growth=0.0, size_growth=0.0)
    (gated,) = judge_again([MET], baselines=[MET], allowance=nothing)

    assert gated.verdict.judgements[: len(MET.verdict.judgements)] == MET.verdict.judgements
    assert [one.value for one in gated.verdict.judgements[-3:]] == [0.0, 0.0, 0.0]
    assert gated.verdict.exit_code == 0
    assert (gated.comparison.baseline, gated.comparison.run_id) == (MET.run_id, MET.run_id)


def test_a_slower_student_breaks_what_its_baseline_allows():
    """Though it meets every budget of its target; the size is judged where that is asked."""
    slower = make_report(profile=make_profile(ms=2.0, reference_ns=(301_000,) * 1000))

    assert slower.verdict.exit_code == 0
    assert beside(slower, MET) == ({"accuracy vs baseline": "met", "latency vs baseline": "broken"}, 1)
    assert beside(MET, slower) == ({"accuracy vs baseline": "met", "latency vs baseline": "met"}, 0)
    assert beside(slower, MET, allowance=Allowance(latency_growth=120.0, size_growth=0.0)) == (
        {"accuracy vs baseline": "met", "latency vs baseline": "met", "size vs baseline": "met"},
        0,
    )


def test_a_report_without_a_baseline_is_inconclusive():
    """It is named; never a pass."""
    other = replace(MET, data=replace(MET.data, name="birds"))
    (gated,) = judge_again([other], baselines=[MET])

    assert gated.verdict.exit_code == 5
    assert {one.reason for one in gated.verdict.judgements[-2:]} == {"no baseline of birds on host"}
    assert (gated.comparison.baseline, gated.comparison.differences) == (None, ())


def test_a_growth_measured_elsewhere_is_judged_as_a_prediction_where_that_is_allowed():
    """In another mode of the board both were as fast; of another machine than the board it says nothing."""
    there = make_profile(host=ON_BOARD)
    mode = make_report(make_target(device=BOARD, power_mode="15W"), make_profile(host=ON_BOARD))

    assert beside(mode, mode)[0]["latency vs baseline"] == "inconclusive"
    assert beside(mode, mode, allow_predicted=True)[0]["latency vs baseline"] == "met"
    for allowed in (False, True):
        assert beside(UNKNOWN, UNKNOWN, allow_predicted=allowed)[0]["latency vs baseline"] == "inconclusive"
    assert beside(UNKNOWN, UNKNOWN, profiles=[there]) == (
        {"accuracy vs baseline": "met", "latency vs baseline": "met"},
        0,
    )


def test_a_baseline_that_denies_itself_is_refused():
    """It would let a worse model pass."""
    with pytest.raises(BadReport, match="does not follow from its numbers"):
        judge_again([MET], baselines=[POOR])


def test_a_baseline_that_no_report_matches_is_not_looked_at():
    """Whatever is in it, it decides nothing."""
    other = replace(POOR, data=replace(POOR.data, name="birds"))

    assert beside(MET, MET, other) == beside(MET, MET)


def test_the_order_of_reports_moves_no_verdict():
    """Nor the exit code of all."""
    reports = [make_report(profile=make_profile(ms=9.0)), UNKNOWN, MET]
    forth, back = (judge_again(some, baselines=[MET, UNKNOWN]) for some in (reports, reports[::-1]))

    assert [one.verdict for one in forth] == [one.verdict for one in back[::-1]]
    assert exit_code_of([one.verdict for one in forth]) == exit_code_of([one.verdict for one in back]) == 1


def test_dominated_candidates_are_named_and_decide_nothing():
    """A teacher or a chain member is no candidate."""
    (gated,) = judge_again([MET])

    assert [(point.name, by.name) for point, by in gated.dominated if point.role != "shipped"]
    assert {point.role for point, _ in gated.dominated} <= {"candidate", "shipped"}
    assert gated.verdict == MET.verdict


def test_a_run_s_folder_stands_for_its_reports(tmp_path):
    """Its own, or one a target; one that holds none, or is not finished, is refused."""
    for place in ("one", "two/host", "two/jetson"):
        (tmp_path / place).mkdir(parents=True)
        write_report(MET, tmp_path / place / "report.json")
    (tmp_path / "none").mkdir()
    (tmp_path / "two.partial").mkdir()

    assert reports_at(tmp_path / "one") == (tmp_path / "one" / "report.json",)
    assert [path.parent.name for path in reports_at(tmp_path / "two")] == ["host", "jetson"]
    assert reports_at(tmp_path / "gone.json") == (tmp_path / "gone.json",)
    for name, sentence in (("none", "holds no report.json"), ("two.partial", "holds an interrupted run")):
        with pytest.raises(BadReport, match=sentence):
            reports_at(tmp_path / name)


def cost(report, **changes):
    return replace(report, student=replace(report.student, cost=replace(report.student.cost, **changes)))


def answered(report, **changes):
    return replace(report, answers=replace(report.answers, **changes))


def taught(report, accuracy):
    best, *others = report.teachers
    return replace(report, teachers=(replace(best, test_accuracy=accuracy), *others))


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (cost(MET, file_bytes=-5), "student.cost.file_bytes is -5; at least 1 is needed"),
        (cost(MET, parameters=10**30), "a number of 31 digits; less than 2"),
        (replace(MET, student=replace(MET.student, test_accuracy=1.5)), "is 1.5; at least 0 and at most 1"),
        (replace(MET, profile=make_profile(samples_ns=(0, *[9] * 99))), "the shortest of samples_ns is 0"),
        (replace(MET, profile=make_profile(reference_ns=(-3,) * 99)), "the shortest of reference_ns is -3"),
        (replace(MET, profile=make_profile(peak_memory_mb=-1.0)), "peak_memory_mb is -1"),
        (replace(MET, profile=make_profile(placement_share=1.01)), "placement_share is 1.01; at least 0 and at most 1"),
        (replace(MET, profile=make_profile(model_sha256="6" * 64)), "sha256 666666666666…, and a student with 5555"),
        (replace(MET, rounds=(replace(MET.rounds[0], chain=()),)), "a round 1 with an empty chain"),
        (replace(MET, data=replace(MET.data, test_rows=0)), "data.test_rows is 0"),
        (cost(MET, file_bytes=999_999), "a student of 999,999 bytes, and 1,000,000 bytes were timed"),
        (replace(MET, profile=make_profile(runs=(1000, 0))), "the smallest of runs is 0; at least 1 is needed"),
        (replace(MET, profile=make_profile(runs=(500, 499))), "1,000 samples_ns of 999 runs; one of each run"),
        (replace(MET, profile=make_profile(reference_ns=(9,) * 999)), "1,000 samples_ns and 999 reference_ns"),
        (replace(MET, student=replace(MET.student, test_accuracy=0.9126)), "4,562 of 5,000 answers right"),
        (replace(MET, data=replace(MET.data, test_rows=4_999)), "answers to 5,000 rows, and 4,999 test rows"),
        (answered(MET, neither_right=0), "whose rows add up to 5,000 and "),
        (answered(MET, classes=MET.answers.classes[:1]), "whose rows add up to 5,000 and 5,000 and "),
        (answered(MET, both_right=0), "add up to"),
        (answered(MET, both_right=4_241, student_alone_right=321), "the student has right|the teacher has right"),
        (taught(MET, 0.94), "4,650 of 5,000 answers of the best teacher right and its accuracy as 0.94"),
    ],
)
def test_a_number_that_none_can_be_is_refused(report, sentence):
    """In a report, and in a baseline; it would meet any limit."""
    for reports in ([[report]], [[MET], [report]]):
        with pytest.raises(BadReport, match=sentence):
            judge_again(reports[0], baselines=reports[1] if len(reports) > 1 else None)
