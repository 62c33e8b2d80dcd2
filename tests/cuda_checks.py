"""Checks of the CUDA kernels against their twins: on a GPU, or as a program in Numba's simulator.

The simulator is chosen before Numba is imported, so its checks run in a process of their own; it prints one line of
JSON, the failure of each check by name, or null.
"""

import json
import traceback
import warnings
from itertools import pairwise

import naive_kernels as naive
import numpy as np

from hpmkd_edge.kernels import augment, cuda, table_views
from hpmkd_edge.kernels.metafeatures import describe_columns

DRAWS = np.random.default_rng(0)


def distillation_equals_its_slow_twin():
    student, teacher = (3 * DRAWS.normal(size=(9, 5)).astype(np.float32) for _ in range(2))
    labels = DRAWS.integers(0, 5, 9)
    for weights in ((0.7, 1.3, 0.1), (1.0, 0.0, 0.0), (0.0, 1.0, 0.3)):
        ways = dict(zip(("ce_weight", "kd_weight", "smoothing"), weights, strict=True))
        found = cuda.distill(student, teacher, labels, temperature=4.0, **ways)
        wanted = naive.distill(student, teacher, labels, temperature=4.0, **ways)
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-4, atol=1e-7)


def a_student_like_its_teacher_has_no_gradient():
    logits = 3 * DRAWS.normal(size=(7, 4)).astype(np.float32)
    losses, gradient = cuda.distill(logits, logits + 2, DRAWS.integers(0, 4, 7), temperature=2.0, ce_weight=0.0)
    np.testing.assert_allclose(losses, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-7)


def spunge_equals_the_cpu_s():
    numbers = DRAWS.normal(3, 2, (20, 4)).astype(np.float32)
    numbers[:, 1], numbers[:, 2] = DRAWS.integers(0, 60, 20), DRAWS.integers(0, 2, 20)
    numbers[DRAWS.random(numbers.shape) < 0.1] = np.nan
    codes = DRAWS.integers(0, 5, (20, 2)).astype(np.int32)
    for part, words in ((numbers, codes), (numbers[:, :0], codes), (numbers, codes[:, :0])):
        facts = describe_columns(part)
        for seed in (1, 2**40):
            ways = {"seed": seed, "share": 0.4, "noise_share": 0.6}
            found, wanted = (where.spunge(part, words, facts, **ways) for where in (cuda, table_views))
            np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6)
            np.testing.assert_array_equal(found[1], wanted[1])


def shifts_equal_the_cpu_s():
    pixels = DRAWS.integers(0, 256, (6, 5, 7, 2), dtype=np.uint8)
    for flip in (False, True):
        found, wanted = (where.shift_images(pixels, seed=2, reach=3, flip=flip) for where in (cuda, augment))
        np.testing.assert_array_equal(found, wanted)


def inference_equals_its_slow_twin():
    for widths in ((3, 2), (18, 20, 17, 3), (1, 33, 1)):
        count = sum(i * o + o for i, o in pairwise(widths))
        weights, features = DRAWS.normal(size=count).astype(np.float32), DRAWS.normal(size=(19, widths[0]))
        found = cuda.logits(weights, widths, features.astype(np.float32))
        wanted = naive.perceptron(weights.astype(float), widths, features.astype(np.float32))
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def nothing_gives_nothing():
    none = np.empty((0, 3), np.float32)
    assert cuda.distill(none, none, np.empty(0, np.int64), temperature=1.0)[1].shape == (0, 3)
    assert cuda.logits(np.zeros(8, np.float32), (3, 2), none).shape == (0, 2)
    assert cuda.shift_images(np.empty((0, 2, 2, 1), np.uint8), seed=0, reach=1).shape == (0, 2, 2, 1)


def what_does_not_fit_is_refused():
    rows, labels = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    calls = (
        ("the teacher needs", lambda: cuda.distill(rows, rows[:1], labels, temperature=1.0)),
        ("labels in 0 … 2", lambda: cuda.distill(rows, rows, labels + 3, temperature=1.0)),
        ("temperature above 0", lambda: cuda.distill(rows, rows, labels, temperature=0.0)),
        (r"weights \(8,\)", lambda: cuda.logits(np.zeros(7, np.float32), (3, 2), rows)),
        (r"\[N, 4\]", lambda: cuda.logits(np.zeros(10, np.float32), (4, 2), rows)),
        ("uint8", lambda: cuda.shift_images(rows, seed=0, reach=1)),
    )
    for message, call in calls:
        np.testing.assert_raises_regex(ValueError, message, call)


CHECKS = (
    distillation_equals_its_slow_twin,
    a_student_like_its_teacher_has_no_gradient,
    spunge_equals_the_cpu_s,
    shifts_equal_the_cpu_s,
    inference_equals_its_slow_twin,
    nothing_gives_nothing,
    what_does_not_fit_is_refused,
)


def failure_of(check):
    """Return why *check* fails, or None."""
    try:
        check()
    except Exception:  # noqa: BLE001 - told to the process that asked
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the simulator's integers overflow, as they should
    print(json.dumps({check.__name__: failure_of(check) for check in CHECKS}))
