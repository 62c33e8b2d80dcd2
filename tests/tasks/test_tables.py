"""Tables from files: what becomes a number, a word, a sentence."""

import datetime
import gzip
from contextlib import suppress

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpmkd_edge.errors import BadConfiguration, BadData, EdgeError
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.tables import read_table
from hpmkd_edge.tasks.task import Task

CSV = b'age,job,y\n1,x,a\n2,"q ""r"", s",b\n,\xc3\xa9,a\n4,,b\n5,x,a\n6,z,b\n'
NUMBERS = st.lists(st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=7, max_size=7)
# A letter first: else the text of a CSV could be read as a number, a date or nothing.
WORDS = st.lists(
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4).map("w".__add__),
    min_size=7,
    max_size=7,
)


def table_file(folder, text, name="table.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def columns_of(path, label="y"):
    return {column.name: column for column in read_table(path, label, None).inputs.columns}


def test_numbers_words_and_blanks(tmp_path):
    """A blank is NaN in a column of numbers and "" among words; booleans are 0 and 1."""
    path = table_file(tmp_path, "n,b,w,y\n1,true,x,p\n,false,,q\nNA,,NA,p\n2.5,true,é,q\n")
    columns = columns_of(path)

    np.testing.assert_array_equal(columns["n"].values, np.array([1, np.nan, np.nan, 2.5], np.float32))
    np.testing.assert_array_equal(columns["b"].values, np.array([1, 0, np.nan, 1], np.float32))
    assert columns["n"].values.dtype == np.float32
    assert columns["w"].kind == "category"
    assert columns["w"].values.tolist() == ["x", "", "NA", "é"]


def test_columns_keep_their_order_and_the_label_is_none_of_them(tmp_path):
    """The order of the file is the order of the inputs."""
    reading = read_table(table_file(tmp_path, "b,y,a,part\n1,p,2,train\n3,q,4,test\n"), "y", "part")

    assert [column.name for column in reading.inputs.columns] == ["b", "a"]
    assert reading.labels.classes == ("p", "q")
    assert reading.split.parts.tolist() == [0, 2]


def test_every_type_of_number_and_text_in_parquet_is_read(tmp_path):
    """Decimals, half floats, dictionaries of words and of numbers."""
    columns = {
        "decimal": pyarrow.array([1, 2, None], pyarrow.decimal128(5, 2)),
        "half": pyarrow.array(np.array([1, 2, 3], np.float16)),
        "words": pyarrow.array(["b", None, "a"]).dictionary_encode(),
        "codes": pyarrow.array([7, None, 9]).dictionary_encode(),
        "y": pyarrow.array(["p", "q", "p"], pyarrow.large_string()).dictionary_encode(),
    }
    path = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    read = columns_of(path)

    np.testing.assert_array_equal(read["decimal"].values, [1, 2, np.nan])
    np.testing.assert_array_equal(read["half"].values, [1, 2, 3])
    np.testing.assert_array_equal(read["codes"].values, [7, np.nan, 9])
    assert read["words"].values.tolist() == ["b", "", "a"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=NUMBERS, words=WORDS)
def test_csv_tsv_gzip_and_parquet_are_the_same_task(tmp_path, numbers, words):
    """One table has one digest, whatever file it comes in."""
    table = pyarrow.table(
        {
            "n": pyarrow.array([1.5, *numbers]),
            "w ü": pyarrow.array(["word", *words]),
            "v": pyarrow.array(range(8)),
            "y": pyarrow.array(["p", "q"] * 4),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "table.parquet")
    for name, delimiter in (("table.csv", ","), ("table.tsv", "\t")):
        options = pyarrow.csv.WriteOptions(delimiter=delimiter)
        pyarrow.csv.write_csv(table, tmp_path / name, options)
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress((tmp_path / "table.csv").read_bytes()))
    tasks = [open_task(str(tmp_path / f"table.{kind}"), label="y") for kind in ("csv", "tsv", "csv.gz", "parquet")]

    assert len({task.digest for task in tasks}) == 1
    assert {task.name for task in tasks} == {"table"}


@pytest.mark.parametrize("kind", ["csv", "parquet", "csv.gz"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_a_task_or_a_sentence(tmp_path, kind, data):
    """No other error leaves the reader, whatever the bytes are."""
    path = tmp_path / f"table.{kind}"
    whole = CSV if kind == "csv" else gzip.compress(CSV, mtime=0)
    if kind == "parquet":
        table = pyarrow.table({"n": [1.0, 2, 3] * 4, "w": ["a", "b", None] * 4, "y": ["p", "q"] * 6})
        pyarrow.parquet.write_table(table, path)
        whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 8)))
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:])
    with suppress(EdgeError):
        assert isinstance(open_task(str(path), label="y"), Task)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n1,p\n2,q,3\n", "row 2 has 3 fields; 2 are needed"),
        ("a,a,y\n1,2,p\n1,2,q\n", "two columns are named 'a'"),
        (",a,y\n1,2,p\n1,2,q\n", "column 1 has no name"),
        ("probabilities,y\n1,p\n2,q\n", "as the shipped file's output"),
        ("a,y\n1,p\ninf,q\n", "row 2 of column 'a' holds inf"),
        ("a,y\n1,p\n1e39,q\n", r"row 2 of column 'a' holds 1e\+39"),
        ("a,b,y\n1,,p\n2,,q\n", "column 'b' has no value"),
        ("a,y\n2020-01-01,p\n2020-01-02,q\n", "column 'a' holds date32"),
        ("a,y\n1,p\n2,\n", "row 2 of label column 'y' is missing"),
        ("a,y\n1,3\n2,\n", "row 2 of label column 'y' is missing"),
        ("a,y\n1,0.5\n2,0.5\n", "one value only, 0.5"),
        ("a,y\n1,2020-01-01\n2,2020-01-02\n", "label column 'y' holds date32"),
        ("a,y\n1,p\n2,p\n", "one class only, 'p'"),
        ("a,y\n", "no rows"),
        ("a,y", "holds no rows; a header and rows are needed"),
        ("y\np\nq\n", "no column beside 'y'"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_sentence(tmp_path, text, message):
    """What was found, and where: rows count from 1, without the header."""
    with pytest.raises(BadData, match=message):
        read_table(table_file(tmp_path, text), "y", None)


def test_text_that_is_not_utf8_is_named(tmp_path):
    """In a cell or in the header."""
    path = tmp_path / "table.csv"
    for content, message in (
        (b"a,y\n\xff,p\n\xfe,q\n", "'a' holds text that"),
        (b"\xff,y\n1,p\n", "holds text"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadData, match=f"{message}.*not UTF-8"):
            read_table(path, "y", None)


def test_dates_nested_and_missing_columns_of_parquet_are_refused(tmp_path):
    """Only numbers, booleans and text can be encoded."""
    path = tmp_path / "table.parquet"
    columns = {
        "timestamp": [datetime.datetime(2020, 1, 1), None],
        "list<": [[1], [2]],
        "no value": ["", None],
    }
    for message, column in columns.items():
        pyarrow.parquet.write_table(pyarrow.table({"a": column, "y": ["p", "q"]}), path)
        with pytest.raises(BadData, match=f"column 'a' h.*{message}"):
            read_table(path, "y", None)


@pytest.mark.parametrize(
    ("label", "split", "message"),
    [
        (None, None, "--label is needed"),
        ("incom", None, "no --label column 'incom'. Did you mean 'income'"),
        ("income", "spit", "no --split column 'spit'. Did you mean 'split'"),
        ("income", "income", "both name 'income'"),
    ],
)
def test_a_column_that_is_not_there_is_a_sentence(tmp_path, label, split, message):
    """With the nearest name that is."""
    path = table_file(tmp_path, "income,split,a\np,train,1\nq,test,2\n")
    with pytest.raises(BadConfiguration, match=message):
        read_table(path, label, split)


def test_a_split_column_of_numbers_is_refused(tmp_path):
    """The parts have names."""
    path = table_file(tmp_path, "a,part,y\n1,0,p\n2,1,q\n")
    with pytest.raises(BadData, match="split column 'part' holds int64; train, validation"):
        read_table(path, "y", "part")


@pytest.mark.parametrize(("rows", "named"), [(1000, False), (1001, True)])
def test_a_column_of_names_is_refused(tmp_path, rows, named):
    """More than 1,000 words, and more than half of the rows: the schema must say that they are categories."""
    path = table_file(tmp_path, "w,n,y\n" + "".join(f"w{row},{row},{'pq'[row % 2]}\n" for row in range(rows)))
    schema = tmp_path / "schema.yaml"
    schema.write_text("columns: {w: category}")
    if named:
        with pytest.raises(BadData, match=r"column 'w' holds 1,001 distinct words in 1,001 rows.*--schema: drop, id"):
            open_task(str(path), label="y")

    assert len(open_task(str(path), label="y", schema=str(schema) if named else None).train.inputs.columns) == 2


def test_many_words_that_come_back_are_no_names(tmp_path):
    """Half of the rows is the limit."""
    lines = (f"w{row % 1001},{'pq'[row % 2]}\n" for row in range(2 * 1001))

    assert read_table(table_file(tmp_path, "w,y\n" + "".join(lines)), "y", None).inputs.columns[0].kind == "category"


def test_a_file_is_the_same_in_small_blocks_and_in_one(tmp_path, monkeypatch):
    """Also where a later block shows that the types of the first do not hold."""
    rows = [f"{row},{row % 3 or ''},{row},w{row % 5},{'pq'[row % 2]}\n" for row in range(400)]
    rows[-1] = "1.5,,word,,q\n"
    path = table_file(tmp_path, "a,b,c,d,y\n" + "".join(rows))
    whole = read_table(path, "y", None)
    monkeypatch.setattr("hpmkd_edge.tasks.table_files.BLOCK_BYTES", 600)
    blocks = read_table(path, "y", None)

    assert [column.kind for column in whole.inputs.columns] == ["number", "number", "category", "category"]
    for one, other in zip(whole.inputs.columns, blocks.inputs.columns, strict=True):
        assert one.kind == other.kind
        np.testing.assert_array_equal(one.values, other.values)
    rows[300] = "inf,,word,,q\n"
    with pytest.raises(BadData, match="row 301 of column 'a' holds inf"):
        read_table(table_file(tmp_path, "a,b,c,d,y\n" + "".join(rows[:-1])), "y", None)


def test_row_groups_of_parquet_are_one_table(tmp_path):
    """However many there are, and whatever else a name begins with."""
    table = pyarrow.table({"a": range(50), "a.b": ["x", "y"] * 25, "y": ["p", "q"] * 25})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet", row_group_size=7)
    columns = columns_of(tmp_path / "t.parquet")

    assert columns["a"].values.tolist() == list(range(50))
    assert columns["a.b"].values.tolist() == ["x", "y"] * 25


def test_three_rows_are_too_few(tmp_path):
    """Each class needs a row in each part."""
    with pytest.raises(BadData, match="class 'q' has 1 row; at least 3 are needed"):
        open_task(str(table_file(tmp_path, "a,y\n1,p\n2,p\n3,q\n")), label="y")


def test_a_constant_column_is_noted_and_a_table_of_them_refused(tmp_path):
    """A missing value in all rows of train is one value, too."""
    rows = "".join(f"{row},1,same,{'pq'[row % 2]}\n" for row in range(20))
    task = open_task(str(table_file(tmp_path, "n,one,w,y\n" + rows)), label="y")

    assert len(task.notes) == 1
    assert "'one', 'w'; --schema can drop" in task.notes[0]
    rows = "".join(f"1,same,{'pq'[row % 2]}\n" for row in range(20))
    with pytest.raises(BadData, match="no column has two different values in the training rows"):
        open_task(str(table_file(tmp_path, "one,w,y\n" + rows)), label="y")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_file_of_utf_16_is_called_so(tmp_path, codec):
    """Spreadsheets write it, with its mark; as cells its bytes would be ragged."""
    path = tmp_path / "t.tsv"
    path.write_bytes("\ufeffx\ty\n1\ta\n".encode(codec))

    with pytest.raises(BadData, match=r"t\.tsv is UTF-16; UTF-8 is needed: iconv"):
        open_task(str(path), label="y")
