"""Every model of a run is one point, and what another beats is told by comparing all with all."""

from collections import Counter
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import make_report

from hpmkd_edge.report.points import Point, dominated, points_of

FEW = st.sampled_from([0.5, 1.0, 2.0])
POINTS = st.lists(st.tuples(st.sampled_from([-0.5, 0.5, 0.9]), FEW | st.none(), st.integers(1, 3) | st.none()))


def make_points(figures):
    return tuple(
        Point(
            name=f"model {number}",
            role="candidate",
            accuracy=accuracy,
            p90_ms=ms,
            file_bytes=size,
            parameters=None,
            precision="fp32",
        )
        for number, (accuracy, ms, size) in enumerate(figures)
    )


def roles(report):
    return Counter(point.role for point in points_of(report))


def twice(report, **changes):
    """Return a report whose round comes a second time, with *changes*."""
    (turn,) = report.rounds
    return replace(report, rounds=(turn, replace(turn, number=2, **changes)))


def test_every_model_of_a_run_is_a_point():
    """Two teachers; a chain's two members; two ways to train that lost and int8, which could; the one that ships."""
    report = make_report()
    points = points_of(report)

    assert roles(report) == {"teacher": 2, "chain member": 2, "candidate": 3, "shipped": 1}
    assert points[-1].role == "shipped"
    assert len({point.name for point in points}) == len(points)
    assert [point.accuracy for point in points[:4]] == [0.935, 0.92, 0.925, 0.895]
    assert {point.precision for point in points if point.role == "candidate"} == {"fp32", "int8"}


def test_a_point_has_the_figures_of_its_record():
    """The bound of the p90 where there is one; of what ships the one that was taken beside teacher and chain."""
    report = make_report()
    first, _, member, weak, labels, _, int8, shipped = points_of(report)

    assert (first.p90_ms, first.file_bytes, first.parameters) == (6.75, 3_520_000, 861_620)
    assert (member.p90_ms, member.file_bytes, member.round) == (2.75, 1_580_000, 1)
    assert (weak.p90_ms, weak.is_whole) == (None, False)
    assert (labels.p90_ms, labels.file_bytes) == (shipped.p90_ms, shipped.file_bytes)
    assert labels.cost_of == "the fp32 file of cnn-32x3"
    assert (int8.p90_ms, int8.file_bytes, int8.accuracy) == (1.625, 300_000, 0.905)
    assert shipped.p90_ms == report.student.cost.p90_bound_ms == 1.125
    assert {point.parameters for point in (labels, int8, shipped)} == {98_522}


def test_what_ships_is_never_a_candidate_too():
    """Nor where another round has made the same model again; one that came out otherwise is a candidate."""
    report = make_report()
    (turn,) = report.rounds
    fp32, *rest = turn.precisions
    worse = (replace(fp32, accuracy=0.91), *rest)

    assert roles(twice(report))["candidate"] == 6
    assert roles(twice(report, precisions=worse))["candidate"] == 7
    assert roles(twice(report, chain=("cnn-16x3",)))["candidate"] == 7
    assert roles(twice(report))["shipped"] == 1


def test_an_older_report_has_points_too():
    """Without precisions and members: what lost would cost what the student does, and a round's winner is not lost."""
    report = make_report()
    bare = replace(report, rounds=(replace(report.rounds[0], precisions=(), members=()),))
    candidates = [point for point in points_of(bare) if point.role == "candidate"]

    assert roles(bare) == {"teacher": 2, "candidate": 2, "shipped": 1}
    assert {point.p90_ms for point in candidates} == {report.student.cost.p90_bound_ms}
    assert roles(twice(bare, chain=("cnn-16x3",)))["candidate"] == 5


def test_values_are_points_by_their_r2():
    """Which may be negative; the worse of two that cost the same is beaten."""
    report = make_report()
    (turn,) = report.rounds
    rivals = (replace(turn.rivals[0], validation_accuracy=-2.5), *turn.rivals[1:])
    report = replace(
        report,
        classes=(),
        answers=None,
        data=replace(report.data, goal="value"),
        rounds=(replace(turn, rivals=rivals),),
    )
    beaten = dict(dominated(points_of(report)))
    worst = next(point for point in beaten if point.accuracy == -2.5)

    assert beaten[worst].accuracy > -2.5


def test_a_time_of_another_machine_is_no_time_here():
    """As where a board's record was handed in for one file, and the others were timed on the desk."""
    report = make_report()
    (turn,) = report.rounds
    teacher, *others = report.teachers
    elsewhere = replace(
        report,
        teachers=(replace(teacher, cost=replace(teacher.cost, host="desk")), *others),
        rounds=(replace(turn, members=(replace(turn.members[0], host="desk"),)),),
    )
    here = replace(elsewhere, host=replace(report.host, name="desk"))

    assert [points_of(elsewhere)[place].p90_ms for place in (0, 2)] == [None, None]
    assert [points_of(here)[place].p90_ms for place in (0, 2)] == [6.75, 2.75]


def test_what_ships_has_the_time_of_its_own_session_where_there_is_no_other_here():
    """Older reports have none beside the teacher; and where a board's record was handed in, that was on the desk."""
    report = make_report()
    cost = report.student.cost

    for changed in (replace(cost, p90_bound_ms=None), replace(cost, host="desk")):
        bare = replace(report, student=replace(report.student, cost=changed))
        *_, labels, _, _, shipped = points_of(bare)

        assert shipped.p90_ms == labels.p90_ms == report.student.p90_bound_ms


def test_a_file_that_does_not_ship_keeps_its_own_time():
    """The fp32 file of another round has a session of its own, and so has that of an int8 student."""
    report = make_report()
    (turn,) = report.rounds
    other = [point for point in points_of(twice(report, chain=("cnn-16x3",))) if point.round == 2]
    fp32, *rest = turn.precisions
    unshipped = replace(report, rounds=(replace(turn, precisions=(replace(fp32, ships=False), *rest)),))

    assert {point.p90_ms for point in other if point.cost_of} == {fp32.p90_bound_ms}
    assert {point.p90_ms for point in points_of(unshipped) if point.cost_of} == {fp32.p90_bound_ms}


@given(POINTS)
def test_what_is_dominated_is_found_by_comparing_all_with_all(figures):
    """No worse in accuracy, time and size, and better in one; what is not measured beats nothing and is not beaten."""
    slow = set()
    for mine, (accuracy, ms, size) in enumerate(figures):
        for other_accuracy, other_ms, other_size in figures:
            if None not in (ms, size, other_ms, other_size):
                no_worse = other_accuracy >= accuracy and other_ms <= ms and other_size <= size
                better = other_accuracy > accuracy or other_ms < ms or other_size < size
                if no_worse and better:
                    slow.add(f"model {mine}")

    assert {point.name for point, _ in dominated(make_points(figures))} == slow


@pytest.mark.parametrize(
    "figures", [[(0.9, 1.0, 1), (0.5, 1.0, 1), (0.5, 2.0, 2)], [(0.9, 1.0, 2), (0.9, 1.0, 2), (0.9, 1.0, 1)]]
)
def test_the_order_of_points_decides_only_who_is_named(figures):
    """The first that beats it; the same points are beaten, and equals never beat each other."""
    points = make_points(figures)
    found = [dominated(order) for order in permutations(points)]

    assert len({frozenset(point for point, _ in one) for one in found}) == 1
    for one, order in zip(found, permutations(points), strict=True):
        for point, by in one:
            assert (by.accuracy, by.p90_ms, by.file_bytes) != (point.accuracy, point.p90_ms, point.file_bytes)
            beaters = [other for other in order if (point, other) in dominated((other, point))]
            assert by == beaters[0]


def test_a_rival_that_lost_the_race_does_not_beat_what_ships():
    """It would cost the same, and the race had reasons to prefer the other; a file that was measured does beat it."""
    rival, shipped = make_points([(0.91, 1.0, 1), (0.9, 1.0, 1)])
    rival, shipped = replace(rival, cost_of="the fp32 file"), replace(shipped, role="shipped")

    assert dominated((rival, shipped)) == ()
    assert dominated((replace(rival, cost_of=None), shipped)) == ((shipped, replace(rival, cost_of=None)),)
