"""Arrow's arrays as columns of numbers and categories, as labels and as identifiers."""

# Shape suffixes: N = rows.

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.schema import Meaning
from hpmkd_edge.tasks.task import MISSING_NUMBER, Column, Identifiers

if TYPE_CHECKING:
    import pyarrow

TEXT: Final = frozenset({"string", "large_string", "string_view"})
# Spellings of nothing among numbers, as pyarrow's reader of CSV takes them.
NOTHING: Final = frozenset({"", "#N/A", "#NA", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"})
# More distinct words than this, in more than half of the rows: they name the rows.
IDENTIFIER_WORDS: Final = 1000
IDENTIFIER_SHARE: Final = 0.5
ROWS_COUNT: Final = "(rows count from 1, without the header)"


def column_of(name: str, values_N: pyarrow.ChunkedArray, meaning: Meaning | None) -> Column:
    """Return a column as what the schema says, or as what its type says where *meaning* is None.

    Raises:
        BadData: it has no value, none of this meaning, or as many words as an identifier.
    """
    import pyarrow
    from pyarrow import types

    values_N = decoded(values_N)
    kind = values_N.type
    if types.is_null(kind):
        raise _all_missing(name)
    is_text = str(kind) in TEXT
    is_number = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    if meaning == "text" or (meaning == "category" and not is_number):
        if not is_text:
            values_N = _as_text(name, values_N)
        return _category(name, words_of(values_N))
    if meaning == "category":
        return _category(name, _whole_numbers(name, values_N))
    if is_number:
        doubles = values_N if types.is_float32(kind) else values_N.cast(pyarrow.float64(), safe=False)
        return number_column(name, doubles.to_numpy())
    if is_text:
        words_N = words_of(values_N)
        if meaning == "number":
            return number_column(name, _parsed(name, words_N))
        column = _category(name, words_N)
        _refuse_identifier(column)
        return column
    raise BadData(
        f"column {name!r} holds {_found(kind)}; numbers, booleans or text are needed, or --schema to drop it or to "
        "call it a category."
    )


def number_column(name: str, values_N: NDArray[Any]) -> Column:
    """Return numbers, NaN where missing, as a column.

    Raises:
        BadData: there is no value, or an infinite one.
    """
    numbers_N = to_float32(name, values_N)
    if np.isnan(numbers_N).all():
        raise _all_missing(name)
    return Column(name=name, kind="number", values=numbers_N)


def to_float32(name: str, values_N: NDArray[Any], first_row: int = 0) -> NDArray[np.float32]:
    """Return numbers in float32, with one NaN and one zero.

    Args:
        name: of the column, for the message.
        values_N: numbers of any type, NaN where missing.
        first_row: the place of their first in the file, from 0.

    Raises:
        BadData: one is infinite, or beyond float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        numbers_N = np.array(values_N, np.float32)
    infinite_N = np.isinf(numbers_N)
    if infinite_N.any():
        row = int(infinite_N.argmax())
        raise BadData(
            f"row {first_row + row + 1} of column {name!r} holds {values_N[row]}; finite numbers up to 3.4e38 are "
            f"needed {ROWS_COUNT}."
        )
    # One NaN and one zero (-0.0 + 0.0 is 0.0): their other bits would change the digest.
    numbers_N[np.isnan(numbers_N)] = np.nan
    numbers_N += 0.0
    return numbers_N


def decoded(values_N: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Return the values themselves where a column is stored as a dictionary of them."""
    from pyarrow import types

    kind = values_N.type
    return values_N.cast(kind.value_type) if types.is_dictionary(kind) else values_N


def words_of(values_N: pyarrow.ChunkedArray) -> NDArray[Any]:
    """Return text as Python strings, "" where missing: [N], one object a distinct word."""
    import pyarrow

    encoded = values_N.cast(pyarrow.large_string()).combine_chunks().dictionary_encode()
    words = encoded.dictionary.to_pylist()
    codes_N = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    vocabulary = np.array([*words, ""], object)
    return np.asarray(vocabulary[codes_N])


def labels_of(name: str, values_N: pyarrow.ChunkedArray) -> NDArray[Any]:
    """Return labels as a NumPy array, none of them missing.

    Raises:
        BadData: one is missing, or they are neither text nor numbers nor booleans.
    """
    import pyarrow
    from pyarrow import types

    column = decoded(values_N)
    words_N = words_of(column) if str(column.type) in TEXT else None
    missing_N = column.is_null(nan_is_null=True).to_numpy() if words_N is None else words_N == ""
    if missing_N.any():
        row = int(missing_N.argmax()) + 1
        raise BadData(f"row {row} of label column {name!r} is missing; a label is needed in every row.")
    if words_N is not None:
        return words_N
    if types.is_boolean(column.type) or types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    if types.is_floating(column.type) or types.is_decimal(column.type):
        return np.asarray(column.cast(pyarrow.float64(), safe=False).to_numpy())
    raise BadData(f"label column {name!r} holds {_found(column.type)}; text, whole numbers or booleans are needed.")


def identifiers_of(name: str, values_N: pyarrow.ChunkedArray) -> Identifiers:
    """Return the column that names rows.

    Raises:
        BadData: it is neither text nor whole numbers, or a value is missing or there twice.
    """
    from pyarrow import types

    column = decoded(values_N)
    if str(column.type) not in TEXT and not types.is_integer(column.type):
        raise BadData(f"the id column {name!r} holds {column.type}; whole numbers or text are needed.")
    names_N = words_of(column)
    order_N = np.argsort(names_N, kind="stable")
    again_N = np.flatnonzero(names_N[order_N[1:]] == names_N[order_N[:-1]])
    missing_N = np.flatnonzero(names_N == "")
    if len(missing_N):
        raise BadData(f"row {missing_N[0] + 1} of the id column {name!r} is missing; every row needs one.")
    if len(again_N):
        row = int(order_N[again_N[0] + 1])
        raise BadData(f"row {row + 1} of the id column {name!r} holds {names_N[row]!r} again; each is needed once.")
    return Identifiers(name=name, values=names_N)


def _found(kind: pyarrow.DataType) -> str:
    from pyarrow import types

    # pyarrow reads text of a CSV file as bytes where it is not UTF-8.
    return "text that is not UTF-8" if types.is_binary(kind) else str(kind)


def listed(names: Sequence[str]) -> str:
    """Return the first five of *names*, and how many there are more."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more


def _category(name: str, values_N: NDArray[Any]) -> Column:
    column = Column(name=name, kind="category", values=values_N)
    if column.missing.all():
        raise _all_missing(name)
    return column


def _as_text(name: str, values_N: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    import pyarrow

    try:
        return values_N.cast(pyarrow.large_string())
    except pyarrow.ArrowException as error:
        raise BadData(f"column {name!r} holds {values_N.type}, which is no text; drop it by --schema.") from error


def _whole_numbers(name: str, values_N: pyarrow.ChunkedArray) -> NDArray[np.int64]:
    """Return whole numbers, MISSING_NUMBER where missing; pandas writes those with missing ones as floats."""
    import pyarrow
    from pyarrow import types

    try:
        if types.is_floating(values_N.type):
            values_N = pyarrow.chunked_array([pyarrow.array(values_N.to_numpy(), from_pandas=True)])
        whole = values_N.cast(pyarrow.int64())
    except pyarrow.ArrowException as error:
        raise BadData(
            f"column {name!r} holds {values_N.type}, not all of them whole numbers of 64 bits; a category of whole "
            "numbers or of text is needed."
        ) from error
    return np.asarray(whole.fill_null(MISSING_NUMBER).to_numpy(), np.int64)


def _parsed(name: str, words_N: NDArray[Any]) -> NDArray[np.float64]:
    """Return text as the numbers that it spells."""
    spelled: dict[str, float] = {}
    for word in set(words_N.tolist()):
        bare = word.strip()
        try:
            # float takes 1_000, which no other reader takes for a number.
            spelled[word] = np.nan if bare in NOTHING else float(bare.replace("_", "?"))
        except ValueError:
            row = int((words_N == word).argmax()) + 1
            raise BadData(f"row {row} of column {name!r} holds {word!r}; a number is needed {ROWS_COUNT}.") from None
    return np.fromiter(map(spelled.__getitem__, words_N.tolist()), np.float64, len(words_N))


def _refuse_identifier(column: Column) -> None:
    distinct, rows = len(set(column.values.tolist())), len(column.values)
    if distinct > IDENTIFIER_WORDS and distinct > IDENTIFIER_SHARE * rows:
        raise BadData(
            f"column {column.name!r} holds {distinct:,} distinct words in {rows:,} rows, as a name of each row does; "
            f"--text {column.name} learns from it as sentences, or say what it is by --schema: drop, id, or category."
        )


def _all_missing(name: str) -> BadData:
    return BadData(f"column {name!r} has no value in any row; drop it, or at least one value is needed.")
