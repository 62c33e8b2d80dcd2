"""The encoding of tables: what every feature is."""

import numpy as np
import pytest

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.encoding import (
    BINS,
    CLIP,
    LEAST_ROWS_A_BIN,
    MOST_SHARES,
    MOST_WORDS,
    CategoryEncoding,
    encode,
    fit_encoding,
)
from hpmkd_edge.tasks.task import MISSING_NUMBER, Column, Table


def numbers(*values, name="n"):
    return Column(name=name, kind="number", values=np.array(values, np.float32))


def words(*values, name="w"):
    return Column(name=name, kind="category", values=np.array(values, object))


def codes(*values, name="c"):
    return Column(name=name, kind="category", values=np.array(values, np.int64))


def table(*columns):
    return Table(columns=columns)


def test_numbers_of_train_are_standardized():
    """Mean 0, deviation 1."""
    train = table(numbers(*np.random.default_rng(0).normal(1000, 3, 500)))
    features = encode(fit_encoding(train), train)

    assert features.dtype == np.float32
    np.testing.assert_allclose([features[:, 0].mean(), features[:, 0].std()], [0, 1], atol=1e-4)


def test_the_features_do_not_depend_on_unit_or_origin():
    """encode(a x + b) is encode(x) for a > 0."""
    values = np.random.default_rng(0).normal(size=100)
    first, second = table(numbers(*values)), table(numbers(*(8 * values + 16)))

    np.testing.assert_allclose(encode(fit_encoding(first), first), encode(fit_encoding(second), second), atol=1e-5)


def test_a_missing_number_is_the_median_and_is_marked():
    """The mark comes after all numbers; a column that train has whole has none."""
    train = table(numbers(1, np.nan, 2, 9), numbers(1, 2, 3, 4, name="whole"))
    encoding = fit_encoding(train)
    features = encode(encoding, table(numbers(2, np.nan), numbers(np.nan, 2.5, name="whole")))

    assert encoding.width == features.shape[1] == 3
    assert encoding.numbers[0].fill == 2
    np.testing.assert_array_equal(features[0, 0], features[1, 0])
    np.testing.assert_array_equal(features[:, 1], [0, 0])
    np.testing.assert_array_equal(features[:, 2], [0, 1])


def test_a_column_that_train_does_not_show_encodes_around_zero():
    """No value to fit on: fill 0, deviation 1."""
    encoding = fit_encoding(table(numbers(np.nan, np.nan)))

    np.testing.assert_array_equal(encode(encoding, table(numbers(np.nan, 2))), [[0, 1], [2, 0]])


@pytest.mark.parametrize("value", [0, 0.1, 1e30, 1e-45])
def test_a_constant_is_zero_and_another_value_is_its_difference(value):
    """Its deviation is 1, though the rounded sum of equal numbers would give another."""
    encoding = fit_encoding(table(numbers(*[value] * 7)))
    features = encode(encoding, table(numbers(value, np.float32(value) + np.float32(2))))

    assert encoding.numbers[0].deviation == 1
    np.testing.assert_allclose(features[:, 0], [0, 2 if value < 1e30 else 0], atol=1e-6)


def test_far_and_infinite_values_end_at_the_limit():
    """Even where their difference from the mean is beyond float32."""
    encoding = fit_encoding(table(numbers(-3e38, 3e38, 3e38)))
    near = fit_encoding(table(numbers(-1, 1)))

    assert np.isfinite(encode(encoding, table(numbers(3.4e38, -3.4e38)))).all()
    np.testing.assert_array_equal(
        encode(near, table(numbers(1e38, -np.inf, 5)))[:, 0], np.array([CLIP, -CLIP, 5], np.float32)
    )


def test_words_are_one_hot_and_an_unseen_word_is_zero():
    """Sorted; missing is a word where train had it."""
    encoding = fit_encoding(table(words("b", "", "a", "b")))
    features = encode(encoding, table(words("", "a", "b", "c")))

    assert encoding.columns == (CategoryEncoding(name="w", words=("", "a", "b")),)
    np.testing.assert_array_equal(features, np.eye(4, 3))


def test_a_missing_word_that_train_does_not_show_is_zero():
    """As any other unseen word."""
    features = encode(fit_encoding(table(words("b", "a"))), table(words("")))

    np.testing.assert_array_equal(features, [[0, 0]])


def test_only_the_most_frequent_words_are_known():
    """Of equally frequent words the first in the alphabet stay."""
    many = [f"{index:03}" for index in range(2 * MOST_WORDS)]
    encoding = fit_encoding(table(words(*many, many[-1])))

    assert encoding.columns[0].words == (*many[: MOST_WORDS - 1], many[-1])


def test_numbers_come_first_then_marks_then_words():
    """Whatever the order of the columns."""
    train = table(words("a", "b"), numbers(1, np.nan), numbers(1, 3, name="m"))
    features = encode(fit_encoding(train), train)

    np.testing.assert_array_equal(features, [[0, -1, 0, 1, 0], [0, 1, 1, 0, 1]])


def test_columns_are_found_by_name():
    """A table in another order has the same features; one without a column is a sentence."""
    first, second = numbers(1, 2, 4), words("a", "b", "b")
    encoding = fit_encoding(table(first, second))

    np.testing.assert_array_equal(encode(encoding, table(first, second)), encode(encoding, table(second, first)))
    with pytest.raises(BadData, match="column 'w' is not in the table"):
        encode(encoding, table(first))
    with pytest.raises(BadData, match="column 'n' is a category; the encoding needs it as a number"):
        encode(encoding, table(words("a", name="n"), second))


def test_whole_numbers_of_a_category_are_one_hot_after_the_words():
    """An unseen one is zero; a missing one is a value if train had it, else unseen."""
    encoding = fit_encoding(table(codes(7, MISSING_NUMBER, 5, 7), words("a", "b", "a", "b")))
    features = encode(encoding, table(codes(5, 7, 8, MISSING_NUMBER), words("a", "b", "a", "b")))
    whole = fit_encoding(table(codes(7, 5)))

    assert encoding.categories[1].words == (MISSING_NUMBER, 5, 7)
    np.testing.assert_array_equal(features[:, 2:], [[0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(encode(whole, table(codes(MISSING_NUMBER, 6, 9))), np.zeros((3, 2)))


def test_a_category_of_the_other_type_is_a_sentence():
    """Words are no whole numbers."""
    with pytest.raises(BadData, match="column 'w' is a category of whole numbers; the encoding needs one of text"):
        encode(fit_encoding(table(words("a", "b"))), table(codes(1, 2, name="w")))


def many(rows=BINS * LEAST_ROWS_A_BIN, name="n"):
    return numbers(*np.random.default_rng(0).lognormal(sigma=2, size=rows), name=name)


def test_the_shares_of_bins_follow_the_formula():
    """clip((x - low) / (high - low), 0, 1) - 1/2 with quantiles as edges; their mean is the rank."""
    train = table(many())
    encoding = fit_encoding(train)
    shares = encode(encoding, train)[:, 1:]
    (edges,) = encoding.edges
    values = train.columns[0].values.astype(np.float64)[:, None]
    low, high = np.array(edges[:-1]), np.array(edges[1:])
    rank = values[:, 0].argsort().argsort() / (len(values) - 1)

    assert shares.shape[1] == BINS
    np.testing.assert_allclose(shares, np.clip((values - low) / (high - low), 0, 1) - 0.5, atol=1e-5)
    np.testing.assert_allclose(shares.mean(1) + 0.5, rank, atol=0.1)
    np.testing.assert_array_equal(np.sort(shares, axis=1)[:, ::-1], shares)


def test_a_missing_number_has_the_shares_of_the_median_and_far_ones_their_ends():
    """The mark tells the first from the median; shares never leave ±1/2."""
    train = table(many())
    encoding = fit_encoding(table(numbers(np.nan, *train.columns[0].values)))
    features = encode(encoding, table(numbers(np.nan, encoding.numbers[0].fill, np.inf, -3.4e38)))

    np.testing.assert_array_equal(features[0, :-1], features[1, :-1])
    np.testing.assert_array_equal(features[2:, 1:-1], [[0.5] * BINS, [-0.5] * BINS])


def test_a_student_is_not_drowned_in_bins():
    """None for few rows or two values; in a wide table fewer a column."""
    few = fit_encoding(table(many(rows=2 * LEAST_ROWS_A_BIN - 1)))
    two = fit_encoding(table(numbers(*[0, 1] * 1200)))
    column = many()
    wide = fit_encoding(table(*(numbers(*column.values, name=f"n{place}") for place in range(MOST_SHARES // 3))))

    assert few.width == two.width == 1
    assert wide.width == MOST_SHARES // 3 * 4


def test_blocks_of_rows_do_not_show(monkeypatch):
    """The features of a row are its own."""
    train = table(many(), words(*["a", "b", ""] * 800), codes(*[1, 2, 3] * 800))
    encoding = fit_encoding(train)
    whole = encode(encoding, train)
    monkeypatch.setattr("hpmkd_edge.tasks.encoding.ROWS_AT_ONCE", 7)

    np.testing.assert_array_equal(encode(encoding, train), whole)
