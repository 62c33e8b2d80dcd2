"""Which precision of a student ships: what breaks fewest budgets, is not slower than fp32, and stands first."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sample_records import HERE, make_host, make_profile, make_target
from torch import nn

from hpmkd_edge.accuracy_curve import CurvePoint
from hpmkd_edge.bench.scoring import Score
from hpmkd_edge.delivery import MOST_LOST, Delivery, Made, chosen, in_order
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.targets import AccuracyLimit, Limit

TEACHER = 0.92


def made(path, precision, *, accuracy=0.91, size=1_000):
    path.write_bytes(bytes(size))
    scored = Score(labels=np.zeros(1), predictions=np.zeros(1), loss=0.3, accuracy=accuracy)
    artifact = Artifact(path=path, precision=precision, parity=None)
    return Made(artifact=artifact, plain=artifact, module=nn.Identity(), how="made here", score=scored)


def delivery(*, goal="classes", most_bytes=None, **changes):
    preparation = SimpleNamespace(
        best=SimpleNamespace(accuracy=TEACHER),
        task=SimpleNamespace(goal=goal),
        allowance=SimpleNamespace(most_bytes=most_bytes),
    )
    target = make_target(precisions=("int8", "fp32"), **changes)
    return Delivery(target=target, preparation=preparation, facts={}, cut_for=None)


def weigh(tmp_path, *, int8_ms=0.5, accuracy=0.91, size=400, own=None, **profile):
    asked = own or delivery()
    files = [
        made(tmp_path / "a-int8.onnx", "int8", accuracy=accuracy, size=size),
        made(tmp_path / "a.onnx", "fp32"),
    ]
    times = [make_profile(ms=int8_ms, precision="int8", **profile), make_profile(ms=1.0, **profile)]
    return asked.weigh(files, times)


def test_of_files_that_keep_all_budgets_the_first_in_the_targets_order_ships(tmp_path):
    """The target says what it would rather have."""
    assert chosen(weigh(tmp_path)).made.artifact.precision == "int8"
    assert chosen(weigh(tmp_path)[::-1]).made.artifact.precision == "fp32"


@pytest.mark.parametrize("ms", [1.001, 1.3, 3.0])
def test_fewer_bits_that_are_slower_do_not_ship_for_their_name(tmp_path, ms):
    """Both keep all budgets; the record says what is slower."""
    weighed = weigh(tmp_path, int8_ms=ms)

    assert weighed[0].slower
    assert weighed[0].change.ratio == pytest.approx(ms, rel=1e-3)
    assert chosen(weighed).made.artifact.precision == "fp32"


def test_what_is_slower_on_another_machine_says_nothing_of_the_target(tmp_path):
    """The board's runtime is another; its order holds."""
    board = delivery(device=replace(HERE, name="board", identity=("Board 9",)))
    weighed = weigh(tmp_path, int8_ms=2.0, own=board)

    assert not weighed[0].slower
    assert chosen(weighed).made.artifact.precision == "int8"


def test_a_file_that_breaks_a_budget_does_not_ship_beside_one_that_keeps_all(tmp_path):
    """Accuracy first, then even a slower file is better than a broken budget."""
    lossy = weigh(tmp_path, accuracy=TEACHER - 0.03)
    budgets = replace(make_target().budgets, model_size_mb=Limit(fail=500e-6))
    small = weigh(tmp_path, int8_ms=2.0, own=delivery(budgets=budgets))

    assert lossy[0].broken == 1
    assert chosen(lossy).made.artifact.precision == "fp32"
    assert (small[0].broken, small[1].broken) == (0, 1)
    assert chosen(small).made.artifact.precision == "int8"


def test_what_loses_more_than_half_a_point_does_not_ship_where_no_budget_asks(tmp_path):
    """A rounding that makes another model is not what was trained."""
    free = delivery(budgets=replace(make_target().budgets, accuracy=None))
    weighed = weigh(tmp_path, accuracy=0.12, own=free)

    assert (weighed[0].broken, weighed[0].lossy) == (0, True)
    assert chosen(weighed).made.artifact.precision == "fp32"


def test_the_least_compression_counts_where_bytes_decide_it(tmp_path):
    """The size was chosen by its int8 file; its fp32 file is too large, and so not met."""
    weighed = weigh(tmp_path, int8_ms=3.0, own=delivery(most_bytes=500))

    assert [one.broken for one in weighed] == [0, 1]
    assert chosen(weighed).made.artifact.precision == "int8"


def test_a_record_of_another_machine_costs_the_ratio_and_not_the_run(tmp_path):
    """One file was measured on the board by hand, the other here."""
    asked = delivery()
    files = [made(tmp_path / "a-int8.onnx", "int8", size=400), made(tmp_path / "a.onnx", "fp32")]
    board = make_profile(ms=9.0, host=make_host(model="Board 9"), precision="int8", reference_ns=(1,) * 1000)
    weighed = asked.weigh(files, [board, make_profile(ms=1.0)])

    assert weighed[0].change is None
    assert not weighed[0].slower


def test_the_fp32_file_is_known_by_itself_and_not_by_what_a_record_calls_it(tmp_path):
    """Records that are taken by hand may call every file fp32."""
    weighed = weigh(tmp_path, int8_ms=2.0)
    mislabeled = delivery().weigh(
        [one.made for one in weighed], [replace(one.profile, precision="fp32") for one in weighed]
    )

    assert [one.slower for one in mislabeled] == [True, False]


@pytest.mark.parametrize(
    ("budgets", "most"),
    [
        ({"r2": AccuracyLimit(max_drop=0.02), "accuracy": AccuracyLimit(min=0.919)}, 0.002),
        ({"r2": None, "accuracy": AccuracyLimit(max_drop=0.02, min=0.9019)}, 0.002),
        ({"r2": None, "accuracy": AccuracyLimit(min=0.9019)}, MOST_LOST),
    ],
)
def test_of_values_the_limit_of_r2_says_how_much_may_be_lost(tmp_path, budgets, most):
    """As the verdict judges them."""
    asked = delivery(goal="value", budgets=replace(make_target().budgets, **budgets))

    assert asked.most_lost(made(tmp_path / "a.onnx", "fp32", accuracy=0.902)) == pytest.approx(most)


@pytest.mark.parametrize(("size_mb", "most"), [(0.001, 0.002), (0.0001, MOST_LOST), (1.0, 0.002)])
def test_what_a_file_of_its_size_must_reach_says_too_how_much_may_be_lost(tmp_path, size_mb, most):
    """By the file that is there: from 0.001 MB on 0.9 is needed, below it 0.8."""
    points = ((0.0001, 0.8), (0.001, 0.9))
    curve = tuple(CurvePoint(model_size_mb=size, min=least) for size, least in points)
    asked = delivery(budgets=replace(make_target().budgets, accuracy=None, accuracy_for_size=curve))
    file = made(tmp_path / "a.onnx", "fp32", accuracy=0.902, size=round(1e6 * size_mb))

    assert asked.most_lost(file) == pytest.approx(most)


def test_fp32_is_tried_last_where_a_target_does_not_list_it():
    """It runs everywhere, and what else there is may lose too much."""
    assert in_order(make_target(precisions=("int8", "fp16"))) == ("int8", "fp16", "fp32")
    assert in_order(make_target(precisions=("fp32", "int8"))) == ("fp32", "int8")


@pytest.mark.parametrize(
    ("accuracy", "limit", "most"),
    [
        (0.92, AccuracyLimit(max_drop=0.02), MOST_LOST),
        (0.902, AccuracyLimit(max_drop=0.02), 0.002),
        (0.902, AccuracyLimit(min=0.9015, max_drop=0.05), 0.0005),
        (0.85, AccuracyLimit(max_drop=0.02), MOST_LOST),
        (0.85, None, MOST_LOST),
    ],
)
def test_int8_may_lose_half_a_point_and_no_more_than_the_budget_leaves(tmp_path, accuracy, limit, most):
    """A student that misses its budget anyway is not asked for more than others."""
    asked = delivery(budgets=replace(make_target().budgets, accuracy=limit))

    assert asked.most_lost(made(Path(tmp_path / "a.onnx"), "fp32", accuracy=accuracy)) == pytest.approx(most)
