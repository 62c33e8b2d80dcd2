"""The ways to find settings are compared set by set, on means over seeds."""

import pytest

from hpmkd_edge.bench.scripts.choices import WAYS, Choice, summarize, table_of

TRAININGS = {"own": 1.0, "search": 30.0, "empty": 2.9, "others": 1.4}


def choice(name, way, accuracy, *, seed=0, trainings=None, remembered=None):
    paid = TRAININGS[way] if trainings is None else trainings
    return Choice(
        set=name,
        seed=seed,
        way=way,
        recipe="",
        validation_accuracy=accuracy,
        test_accuracy=accuracy,
        trainings=paid,
        seconds=2 * paid,
        remembered=8 * (way == "others") if remembered is None else remembered,
        student="mlp 8×1",
        epochs=9,
        teacher_accuracy=0.95,
        reason="",
    )


def suite(count, **changes):
    """*count* sets where every way is alike, but for the accuracies that are given."""
    return [
        choice(f"set {number}", way, changes.get(way, 0.9) + number / 1000) for number in range(count) for way in WAYS
    ]


def test_equal_students_at_less_cost_hold_every_claim():
    """Ratios of cost are those of each set."""
    summary = summarize(suite(6))

    assert all(summary["claims"].values())
    assert summary["differences_points"]["empty over search"]["test_accuracy"]["mean"] == pytest.approx(0)
    assert summary["costs"]["empty over search"]["trainings"]["most"] == pytest.approx(2.9 / 30)
    assert "empty over search: +0.00 points [+0.00, +0.00] over 6 sets, 6 within 0.5" in table_of(summary)


@pytest.mark.parametrize(
    ("choices", "broken"),
    [
        (suite(5), "on 6 sets or more"),
        (suite(6, empty=0.89), "of the search, on 6"),
        (suite(6, others=0.89), "no worse than without"),
        ([*suite(6), choice("set 0", "empty", 0.9, seed=1, trainings=28.0)], "of its cost, on each set"),
        ([*suite(6), choice("set 0", "others", 0.9, seed=1, trainings=300.0)], "and cheaper"),
    ],
)
def test_what_is_not_so_is_said(choices, broken):
    """One claim breaks, and no other."""
    claims = summarize(choices)["claims"]

    assert [broken in claim for claim, holds in claims.items() if not holds] == [True]


def test_a_lone_set_proves_nothing():
    """It has no interval."""
    summary = summarize(suite(1))

    assert summary["differences_points"]["empty over search"]["test_accuracy"]["low"] is None
    assert list(summary["claims"].values()) == [False, True, False, True]


def test_a_memory_of_another_kind_is_left_out():
    """It has told the manager nothing: the set is compared without it."""
    told = suite(6)
    alone = [choice("digits", way, 0.9, remembered=0) for way in WAYS]
    differences = summarize([*told, *alone])["differences_points"]

    assert differences["others over empty"]["test_accuracy"]["sets"] == 6
    assert differences["empty over search"]["test_accuracy"]["sets"] == 7
