"""Compiled losses equal their formulas, and teachers fold into one target without changing either value or slope."""

import naive_kernels as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.kernels.loss_blocks import exponential, logarithm
from hpmkd_edge.kernels.losses import METHODS, loss_gradient, soft_targets

FOR_CLASSES = [method for method in METHODS if method != "squares"]
KNOBS = {"ce_weight": 0.7, "label_smoothing": 0.1}


def lesson(rows=9, classes=4, teachers=1, seed=0):
    generator = np.random.default_rng(seed)
    student, *taught = 2 * generator.standard_normal((teachers + 1, rows, classes), np.float32)
    weights = [generator.uniform(0.1, 2, rows).astype(np.float32) for _ in taught]
    labels = generator.integers(0, classes, rows)
    return student, labels, taught, weights


def compiled(student, labels, taught, weights, *, method="kd", temperature=3.0, **knobs):
    guidance = soft_targets(taught, weights, method=method, temperature=temperature)
    return loss_gradient(student, labels, guidance, **{**KNOBS, **knobs})


@given(st.sampled_from(FOR_CLASSES), st.integers(1, 140), st.integers(2, 13), st.integers(1, 3), st.floats(0.5, 8.0))
@settings(max_examples=40, deadline=None)
def test_value_and_gradient_equal_the_slow_twin_s(method, rows, classes, teachers, temperature):
    """The twin adds teachers one by one, and takes slopes by central differences."""
    given_ = lesson(rows, classes, teachers)
    loss, gradient = compiled(*given_, method=method, temperature=temperature)
    wanted, slope = naive.loss_gradient(*given_, method=method, temperature=temperature, **KNOBS)

    np.testing.assert_allclose(loss, wanted, rtol=2e-5, atol=2e-5)
    # Two standardized logits are 1 and −1 whatever the student says: differences of theirs are noise.
    np.testing.assert_allclose(gradient * rows, slope * rows, rtol=2e-3, atol=2e-3 if method == "lskd" else 2e-4)


@pytest.mark.parametrize("method", FOR_CLASSES)
def test_a_shift_of_a_row_s_logits_changes_nothing(method):
    """Softmax does not see it, and neither may a loss."""
    student, labels, taught, weights = lesson()
    shifted = student + np.arange(len(student), dtype=np.float32)[:, None]
    here = compiled(student, labels, taught, weights, method=method)
    there = compiled(shifted, labels, [taught[0] - 2], weights, method=method)

    np.testing.assert_allclose(here[0], there[0], rtol=1e-5)
    np.testing.assert_allclose(here[1], there[1], atol=1e-6)


@pytest.mark.parametrize("method", FOR_CLASSES)
def test_an_order_of_the_classes_commutes_with_the_gradient(method):
    """No class is special."""
    student, labels, taught, weights = lesson()
    order = np.array([2, 0, 3, 1])
    here = compiled(student, labels, taught, weights, method=method)
    places = np.argsort(order)
    there = compiled(student[:, order], places[labels], [taught[0][:, order]], weights, method=method)

    np.testing.assert_allclose(here[0], there[0], rtol=1e-5)
    np.testing.assert_allclose(here[1][:, order], there[1], atol=1e-6)


@pytest.mark.parametrize("method", ["kd", "lskd", "logit_mse", "brier"])
def test_a_teacher_equal_to_the_student_teaches_nothing(method):
    """Its loss is zero, and so is its gradient. (WTTM softens the teacher alone, and asks for more.)."""
    student, labels, _, weights = lesson()
    loss, gradient = compiled(student, labels, [student], weights, method=method, ce_weight=0.0)

    np.testing.assert_allclose(loss, 0, atol=1e-5)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize("method", FOR_CLASSES)
def test_teachers_without_weight_leave_the_labels_alone(method):
    """Value and slope are those without guidance, to the bit."""
    student, labels, taught, weights = lesson()
    unheard = compiled(student, labels, taught, [0 * weights[0]], method=method)
    alone = loss_gradient(student, labels, None, **KNOBS)

    assert unheard[0] == alone[0]
    np.testing.assert_array_equal(unheard[1], alone[1])


@pytest.mark.parametrize("method", FOR_CLASSES)
def test_two_equal_teachers_are_one(method):
    """Weights add up."""
    student, labels, taught, weights = lesson()
    two = compiled(student, labels, taught * 2, [0.25 * weights[0], 0.75 * weights[0]], method=method)
    one = compiled(student, labels, taught, weights, method=method)

    np.testing.assert_allclose(two[0], one[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(two[1], one[1], atol=1e-6)


def test_values_are_learned_by_squares():
    """One output, float32 labels, and a teacher's values."""
    student, _, taught, weights = lesson(rows=70, classes=1, teachers=2)
    labels = np.linspace(-1, 1, 70, dtype=np.float32)
    loss, gradient = compiled(student, labels, taught, weights, method="squares")
    wanted, slope = naive.loss_gradient(student, labels, taught, weights, method="squares", temperature=1.0, **KNOBS)

    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, atol=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_student_that_has_failed_has_no_finite_loss(wrong):
    """Fast formulas may not hide it."""
    student, labels, taught, weights = lesson()
    student[3, 1] = wrong

    assert not np.isfinite(compiled(student, labels, taught, weights)[0])


def test_the_exponential_is_within_two_units_in_the_last_place():
    """From where e^x is the smallest normal number, up to where it is near the largest."""
    x = np.linspace(-87, 88, 4001, dtype=np.float32)
    found = np.array([exponential(one) for one in x])

    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=2 * 2.0**-23)
    assert np.isnan(exponential(np.float32(np.nan)))


def test_the_logarithm_is_exact_to_float32():
    """Over eighty orders of magnitude, and about 1."""
    x = np.concatenate([np.geomspace(1e-37, 1e37, 2001), np.linspace(0.5, 2, 2001)]).astype(np.float32)
    found = np.array([logarithm(one) for one in x])

    np.testing.assert_allclose(found, np.log(x.astype(np.float64)), rtol=2e-7, atol=2e-7)
    assert np.isnan(logarithm(np.float32(np.nan)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "dist"}, "no method 'dist' here; one of kd"),
        ({"temperature": 0.0}, "temperature above 0 is needed, not 0"),
        ({"method": "squares"}, "cannot be had of 4 columns"),
        ({"labels": np.full(9, 4)}, "labels are classes 4 … 4 and there are 4 outputs"),
        ({"labels": np.zeros(9, np.float32)}, "there are 4 outputs; 1 is needed"),
        ({"labels": np.zeros(8, np.int64)}, r"labels: int64 \(8,\) is given; int64 \[9\] is needed"),
        ({"taught": [np.zeros((9, 4))]}, r"logits: float64 \(9, 4\) is given; float32 \[any, any\] is needed"),
        ({"taught": [np.zeros((8, 4), np.float32)]}, r"weights: float32 \(9,\) is given; float32 \[8\]"),
        ({"weights": [np.full(9, -1, np.float32)]}, "weights below 0"),
        ({"weights": []}, "1 teachers have 0 weights"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    """Compiled loops read past the end instead."""
    student, labels, taught, weights = lesson()
    given_ = {"student": student, "labels": labels, "taught": taught, "weights": weights, **change}

    with pytest.raises(ValueError, match=message):
        compiled(**given_)
