"""New rows of a table follow from a seed, and stay what a table of that kind can hold."""

import naive_kernels as naive
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.kernels import table_views
from hpmkd_edge.kernels.metafeatures import describe_columns
from hpmkd_edge.kernels.table_views import munge, nearest_rows, spunge


def table(rows=60, *, missing=0.0, seed=0):
    """Return a column of decimal numbers, one of counts, a yes or no, a constant; two of words; and the facts."""
    draws = np.random.default_rng(seed)
    columns = [draws.normal(3, 2, rows), draws.integers(0, 60, rows), draws.integers(0, 2, rows), np.full(rows, 7)]
    numbers = np.stack(columns, 1).astype(np.float32)
    numbers[draws.random(numbers.shape) < missing] = np.nan
    return numbers, draws.integers(0, 5, (rows, 2)).astype(np.int32), describe_columns(numbers)


def assert_close(one, other):
    """Words alike; numbers up to the last bit of a logarithm or cosine."""
    np.testing.assert_allclose(one[0], other[0], rtol=1e-6)
    np.testing.assert_array_equal(one[1], other[1])


@given(st.integers(0, 2**40), st.integers(1, 12), st.floats(0, 1), st.floats(0, 3), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_spunge_equals_its_slow_twin(seed, rows, share, noise, noise_share):
    """Whatever the shares, with missing values."""
    parts = table(rows, missing=0.2, seed=rows)
    ways = {"seed": seed, "share": share, "noise": noise, "noise_share": noise_share}

    assert_close(spunge(*parts, **ways), naive.spunge(*parts, **ways))


@given(st.integers(0, 2**40), st.integers(2, 12), st.floats(0, 1), st.floats(0.1, 9))
@settings(max_examples=40, deadline=None)
def test_munge_equals_its_slow_twin(seed, rows, share, narrowing):
    """Given the neighbors, with missing values."""
    parts = table(rows, missing=0.2, seed=rows)
    ways = {"seed": seed, "share": share, "narrowing": narrowing}
    nearest = nearest_rows(*parts, seed=seed)

    assert_close(munge(*parts, **ways), naive.munge(*parts, nearest, **ways))


@pytest.mark.parametrize("make", [spunge, munge])
def test_the_threads_change_nothing(make):
    """Draws count; they do not follow each other."""
    parts, most = table(500, missing=0.1), numba.get_num_threads()
    together = make(*parts, seed=3)
    numba.set_num_threads(1)
    alone = make(*parts, seed=3)
    numba.set_num_threads(most)

    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("make", [spunge, munge])
def test_a_share_of_nothing_is_the_identity(make):
    """And another seed gives other rows."""
    parts = table(missing=0.1)
    same = make(*parts, seed=1, share=0.0, **({"noise": 0.0} if make is spunge else {}))

    np.testing.assert_array_equal(same[0], parts[0])
    np.testing.assert_array_equal(same[1], parts[1])
    assert not np.array_equal(make(*parts, seed=1)[0], make(*parts, seed=2)[0], equal_nan=True)


@pytest.mark.parametrize("make", [spunge, munge])
def test_counts_stay_whole_and_a_yes_or_no_stays_one(make):
    """Whatever is added or swapped; words stay words of the table, and a constant stays."""
    numbers, codes, facts = table(400)
    ways = {"noise": 3.0, "noise_share": 1.0} if make is spunge else {}
    new, words = make(numbers, codes, facts, seed=4, share=0.5, **ways)

    np.testing.assert_array_equal(new[:, 1], np.round(new[:, 1]))
    assert (new[:, 1] != numbers[:, 1]).mean() > 0.3
    assert set(new[:, 2]) == {0, 1}
    assert set(new[:, 3]) == {7}
    assert set(words.ravel()) <= set(codes.ravel())


def test_resampled_cells_have_the_marginals_of_their_columns():
    """Each other row with equal probability: chi-square at 9 degrees of freedom, its 99.9 % point; never the row."""
    numbers = np.arange(10, dtype=np.float32)[:, None]
    codes = np.arange(10, dtype=np.int32)[:, None]
    facts = describe_columns(numbers)
    made = [spunge(numbers, codes, facts, seed=seed, share=1.0, noise=0.0) for seed in range(1_000)]
    numbers_drawn, codes_drawn = (np.stack(part)[:, :, 0].astype(int) for part in zip(*made, strict=True))

    for drawn in (numbers_drawn, codes_drawn):
        assert (drawn != np.arange(10)).all()
        assert ((np.bincount(drawn.ravel()) - 1_000) ** 2 / 1_000).sum() < 27.9
    assert abs(np.corrcoef(numbers_drawn.ravel(), codes_drawn.ravel())[0, 1]) < 0.2  # each column by itself


def test_noise_is_normal_with_the_deviation_that_is_asked():
    """Of the cells that have it, about a tenth; mean, deviation and kurtosis within five standard errors."""
    numbers = np.random.default_rng(0).normal(5, 4, (200_000, 1)).astype(np.float32)
    facts = describe_columns(numbers)
    new, _ = spunge(numbers, np.empty((len(numbers), 0), np.int32), facts, seed=2, share=0.0, noise=0.5)
    noise = (new - numbers)[new != numbers] / (0.5 * facts.deviation[0])

    assert abs(len(noise) / len(numbers) - 0.1) < 5 * np.sqrt(0.09 / len(numbers))
    assert abs(noise.mean()) < 5 / np.sqrt(len(noise))
    assert abs(noise.std() - 1) < 5 / np.sqrt(2 * len(noise))
    assert abs((noise**4).mean() - 3) < 5 * np.sqrt(96 / len(noise))


def test_a_missing_value_has_no_noise_and_is_taken_like_any_other():
    """A column of gaps keeps its gaps in place, and with cells resampled their share."""
    numbers, codes, facts = table(5_000, missing=0.3)
    noisy, _ = spunge(numbers, codes, facts, seed=1, share=0.0, noise_share=1.0)
    drawn, _ = spunge(numbers, codes, facts, seed=1, share=1.0, noise=0.0)

    np.testing.assert_array_equal(np.isnan(noisy), np.isnan(numbers))
    np.testing.assert_allclose(np.isnan(drawn).mean(0), np.isnan(numbers).mean(0), atol=0.04)


def test_noise_does_not_overflow():
    """The largest float32 stays finite, which teachers need."""
    numbers = np.array([[3.4e38], [-3.4e38], [0], [1]], np.float32)
    new, _ = spunge(numbers, np.empty((4, 0), np.int32), describe_columns(numbers), seed=0, noise=9, noise_share=1)

    assert np.isfinite(new).all()


@given(st.integers(2, 40), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_neighbor_is_the_nearest_other_row(rows, seed):
    """By all distances; standardized, so that units do not count."""
    numbers, codes, facts = table(rows, seed=seed)
    scaled = (numbers * np.array([8, 16, 4, 2])).astype(np.float32)

    np.testing.assert_array_equal(nearest_rows(numbers, codes, facts, seed=0), naive.nearest_rows(numbers, codes))
    np.testing.assert_array_equal(
        nearest_rows(scaled, codes, describe_columns(scaled), seed=0), nearest_rows(numbers, codes, facts, seed=0)
    )


def test_of_many_rows_a_drawn_part_is_compared(monkeypatch):
    """The neighbors are of it, and the nearest of it."""
    monkeypatch.setattr(table_views, "EXACT_ROWS", 50)
    monkeypatch.setattr(table_views, "CANDIDATES", 20)
    numbers, codes, facts = table(80)
    found, again = (nearest_rows(numbers, codes, facts, seed=seed) for seed in (0, 0))

    np.testing.assert_array_equal(found, again)
    assert len(set(found)) <= 20
    assert (found != np.arange(80)).all()
    assert not np.array_equal(found, nearest_rows(numbers, codes, facts, seed=1))


def test_a_munged_row_moves_toward_its_neighbor():
    """With everything swapped and no room around it, it is the neighbor."""
    parts = table()
    nearest = nearest_rows(*parts, seed=0)
    new, words = munge(*parts, seed=0, share=1.0, narrowing=1e9)

    np.testing.assert_allclose(new, parts[0][nearest], rtol=1e-5)
    np.testing.assert_array_equal(words, parts[1][nearest])


@pytest.mark.parametrize(
    ("make", "parts", "ways", "message"),
    [
        (spunge, lambda n, c, f: (n.astype(float), c, f), {}, "float32"),
        (spunge, lambda n, c, f: (n, c.astype(np.int64), f), {}, "int32"),
        (spunge, lambda n, c, f: (n, c[:5], f), {}, "as many rows"),
        (munge, lambda n, c, f: (n[:, :2], c, f), {}, "facts of 2 columns"),
        (spunge, lambda n, c, f: (n, c, f), {"share": 1.5}, "share in 0 … 1"),
        (spunge, lambda n, c, f: (n, c, f), {"noise_share": -1}, "noise in 0 … 1"),
        (spunge, lambda n, c, f: (n, c, f), {"noise": float("nan")}, "at least 0"),
        (munge, lambda n, c, f: (n, c, f), {"narrowing": 0}, "above 0"),
    ],
)
def test_what_is_no_table_or_share_is_refused(make, parts, ways, message):
    """The kernel under it would read past the arrays."""
    with pytest.raises(ValueError, match=message):
        make(*parts(*table()), seed=0, **ways)
