"""What a user says about columns."""

import datetime

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from hpmkd_edge.errors import BadConfiguration, BadData
from hpmkd_edge.tasks.schema import read_schema
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.tables import read_table
from hpmkd_edge.tasks.task import MISSING_NUMBER

CSV = "age,zip,code,when,y\n31,10115,a7,2020-01-02,p\n40,,b8,2020-01-02,q\n?,10117,c9,2021-05-06,p\n"


def files(folder, columns, text=CSV, name="table.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    (folder / "schema.yaml").write_text(f"columns: {columns}\n", encoding="utf-8")
    return folder / name, read_schema(folder / "schema.yaml")


def columns_of(path, schema):
    return {column.name: column for column in read_table(path, "y", None, schema).inputs.columns}


def test_each_meaning_makes_its_column(tmp_path):
    """Whole numbers as a category stay int64, with a reserved number where missing; dates are their text."""
    path, schema = files(tmp_path, "{zip: category, code: drop, when: category}")
    columns = columns_of(path, schema)

    assert list(columns) == ["age", "zip", "when"]
    assert {name: column.kind for name, column in columns.items()} == dict.fromkeys(columns, "category")
    assert columns["zip"].values.dtype == np.int64
    assert columns["zip"].values.tolist() == [10115, MISSING_NUMBER, 10117]
    assert columns["zip"].missing.tolist() == [False, True, False]
    assert columns["when"].values.tolist() == ["2020-01-02", "2020-01-02", "2021-05-06"]


def test_text_keeps_what_the_file_spells(tmp_path):
    """Leading zeros too."""
    path, schema = files(tmp_path, "{n: text}", "n,y\n007,p\n7,q\n,p\n")

    assert columns_of(path, schema)["n"].values.tolist() == ["007", "7", ""]


def test_numbers_in_a_column_of_text_are_read_or_named(tmp_path):
    """A cell that is none stops with its row."""
    path, schema = files(tmp_path, "{a: number}", "a,y\n1.5,p\nNaN ,q\n -2,p\n,q\n")
    np.testing.assert_array_equal(columns_of(path, schema)["a"].values, np.float32([1.5, np.nan, -2, np.nan]))
    path, schema = files(tmp_path, "{age: number}")

    with pytest.raises(BadData, match=r"row 3 of column 'age' holds '\?'; a number is needed"):
        columns_of(path, schema)


def test_whole_numbers_that_pandas_wrote_as_floats_are_a_category(tmp_path):
    """It does so where one is missing; others than whole are refused."""
    path = tmp_path / "table.parquet"
    for value in (2.0, 2.5):
        pd.DataFrame({"a": [1, np.nan, value], "y": ["p", "q", "p"]}).to_parquet(path)
        _, schema = files(tmp_path, "{a: category}")
        if value == 2.0:
            assert columns_of(path, schema)["a"].values.tolist() == [1, MISSING_NUMBER, 2]
        else:
            with pytest.raises(BadData, match="column 'a' holds double, not all of them whole numbers"):
                columns_of(path, schema)


def test_dates_and_booleans_of_parquet_can_be_categories(tmp_path):
    """Without the schema a date is refused, and a boolean is a number."""
    path = tmp_path / "table.parquet"
    days = [datetime.date(2020, 1, 2), None, datetime.date(2020, 1, 3)]
    table = {"d": days, "b": [True, None, False], "y": ["p", "q", "p"]}
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    columns = columns_of(path, files(tmp_path, "{d: category, b: category}")[1])

    assert columns["d"].values.tolist() == ["2020-01-02", "", "2020-01-03"]
    assert columns["b"].values.tolist() == [1, MISSING_NUMBER, 0]
    with pytest.raises(BadData, match=r"column 'd' holds date32.* --schema to drop it or to call it a category"):
        read_table(path, "y", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("columns: {agee: number}", r"line 1: columns\.agee: the table has no such column\. Did you mean 'age'"),
        ("columns:\n  age: numbr", r"line 2: columns\.age: there is no type 'numbr'\. Did you mean 'number'"),
        ("columns: {age: [number]}", "there is no type"),
        ("columns: {y: category}", r"columns\.y: --label names this column too"),
        ("columns: {age: id, zip: id}", r"columns\.zip: a second column is called id"),
        ("colums: {age: number}", "columns and their types are needed"),
        ("columns: {age: number}\nother: 1", r"line 2: other: there is no such key\. Did you mean|Known: columns"),
        ("columns: [age]", "columns and their types are needed"),
    ],
)
def test_a_schema_that_does_not_fit_is_a_sentence(tmp_path, text, message):
    """With its line, and the nearest name."""
    path, _ = files(tmp_path, "{age: text}")
    (tmp_path / "schema.yaml").write_text(text)
    with pytest.raises(BadConfiguration, match=message):
        read_table(path, "y", None, read_schema(tmp_path / "schema.yaml"))


def test_a_schema_is_for_tables(tmp_path):
    """Digits have no columns."""
    files(tmp_path, "{age: text}")
    with pytest.raises(BadConfiguration, match="--schema is for a table, and digits is none"):
        open_task("digits", schema=str(tmp_path / "schema.yaml"))


def test_an_identifier_is_kept_and_not_learned_from(tmp_path):
    """In the spelling and order of the file; it must name each row."""
    rows = [f"{index:03},{index % 7},{'pq'[index % 2]}\n" for index in range(20)]
    path, _ = files(tmp_path, "{key: id}", "key,n,y\n" + "".join(rows))
    task = open_task(str(path), label="y", schema=str(tmp_path / "schema.yaml"))

    assert task.identifiers.values.tolist() == [f"{index:03}" for index in range(20)]
    assert [column.name for column in task.train.inputs.columns] == ["n"]
    for row, message in (("003", "row 21 of the id column 'key' holds '003' again"), ("", "row 21 .* is missing")):
        path.write_text("key,n,y\n" + "".join(rows) + f"{row},1,p\n")
        with pytest.raises(BadData, match=message):
            open_task(str(path), label="y", schema=str(tmp_path / "schema.yaml"))
