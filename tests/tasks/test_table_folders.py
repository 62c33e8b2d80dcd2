"""Folders of train, validation and test tables."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from sample_texts import sentences, write_tsv

from hpmkd_edge.errors import BadConfiguration, BadData
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.table_folders import table_parts


def table(rows, first=0):
    return "n,w,y\n" + "".join(f"{row},w{row % 3},{'pq'[row % 2]}\n" for row in range(first, first + rows))


def folder_of(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_rows_are_in_the_order_train_validation_test(tmp_path):
    """Positions count through the files, whatever their names sort as; other files are left alone."""
    folder_of(
        tmp_path, test__csv=table(4, 30), dev__csv=table(6, 20), train__csv=table(20), notes__csv="x", more__md=""
    )
    task = open_task(str(tmp_path), label="y")
    parts = (task.train, task.validation, task.test)

    assert [rows.positions.tolist() for rows in parts] == [[*range(20)], [*range(20, 26)], [*range(26, 30)]]
    assert [rows.inputs.columns[0].values.tolist() for rows in parts] == [
        [*range(20)],
        [*range(20, 26)],
        [*range(30, 34)],
    ]
    assert task.split_rule == "The split is given by the files train.csv, dev.csv and test.csv."
    assert task.name == tmp_path.name


def test_a_folder_is_the_task_of_one_file_with_a_split(tmp_path):
    """The same rows in the same parts have the same digest, in whatever kinds of files, for tables and for text."""
    texts, labels = sentences(60)
    parts = np.repeat(["train", "val", "test"], [30, 15, 15])
    whole = pyarrow.table({"text": texts, "label": labels, "split": parts})
    pyarrow.parquet.write_table(whole, tmp_path / "whole.parquet")
    folder = tmp_path / "folder"
    folder.mkdir()
    pyarrow.parquet.write_table(whole.slice(30, 15).drop_columns("split"), folder / "val.parquet")
    for name, start, end in (("train", 0, 30), ("test", 45, 60)):
        lines = (f"{text}\t{label}\n" for text, label in zip(texts[start:end], labels[start:end], strict=True))
        (folder / f"{name}.tsv").write_text("text\tlabel\n" + "".join(lines))
    one, other = (
        open_task(str(tmp_path / "whole.parquet"), label="label", split="split"),
        open_task(str(folder), label="label"),
    )

    assert one.kind == other.kind == "text"
    assert one.digest == other.digest
    assert open_task(str(folder), label="label", text="text").digest == one.digest


@pytest.mark.parametrize(("name", "drawn"), [("test", "validation"), ("valid", "test")])
def test_the_part_that_is_missing_is_drawn_from_train(tmp_path, name, drawn):
    """15 % of it; the part that is given stays whole."""
    write_tsv(tmp_path / "train.tsv", 100)
    write_tsv(tmp_path / f"{name}.tsv", 20, seed=1)
    task = open_task(str(tmp_path), label="label")
    given = task.test if name == "test" else task.validation

    assert given.positions.tolist() == [*range(100, 120)]
    assert len(getattr(task, drawn)) == 15
    assert f"are {drawn}." in task.split_rule


def test_train_alone_is_a_single_file(tmp_path):
    """It may then name the parts in a column."""
    write_tsv(tmp_path / "train.tsv", 100)

    assert (
        open_task(str(tmp_path), label="label").digest == open_task(str(tmp_path / "train.tsv"), label="label").digest
    )


def test_class_folders_stay_images(tmp_path):
    """A list of the files beside them is no table to learn from, unless a label says so."""
    for name in ("train/a/1.png", "train/a/2.png", "train/b/1.png", "test/a/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    folder_of(tmp_path, train__csv=table(20), test__csv=table(9))

    assert open_task(str(tmp_path)).kind == "images"
    assert open_task(str(tmp_path), label="y").kind == "table"


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"test__csv": "n,y\n1,p\n"}, BadData, r"train\.csv has a column 'w' and test\.csv has none; the same columns"),
        ({"dev__csv": "n,w,v,y\n1,w,0,p\n"}, BadData, r"dev\.csv has a column 'v' and train\.csv has none"),
        ({"test__csv": "n,w,y\nx,w,p\n"}, BadData, r"'n' holds float in train\.csv, string in test\.csv; one type"),
        ({"test__csv": "n,w,y\n1,p\n"}, BadData, r"test\.csv cannot be read: row 1 has 2 fields; 3 are needed"),
        ({"test__csv": "n,w,y\n"}, BadData, "the split has no test rows"),
        ({"dev__csv": table(9), "val__csv": table(9)}, BadData, r"dev\.csv and val\.csv; one validation file"),
        ({"train__tsv": "n\ty\n"}, BadData, r"train\.csv and train\.tsv; one train file"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, files, error, message):
    """Each is one table with the others."""
    folder_of(tmp_path, train__csv=table(20), **files)
    with pytest.raises(error, match=message):
        open_task(str(tmp_path), label="y")


def test_a_split_column_and_split_files_are_refused_together(tmp_path):
    """One of both is the split."""
    folder_of(tmp_path, train__csv=table(20), test__csv=table(9))
    with pytest.raises(BadConfiguration, match=r"is split by its files, train\.csv, test\.csv; --split cannot"):
        open_task(str(tmp_path), label="y", split="w")


@pytest.mark.parametrize("label", [None, "y"])
def test_a_folder_of_tables_without_train_is_refused(tmp_path, label):
    """Nothing could be learned from its test rows."""
    folder_of(tmp_path, test__csv=table(20), dev__csv=table(20))

    with pytest.raises(BadData, match=r"holds dev\.csv and test\.csv and no train file; one, as train\.csv, is needed"):
        open_task(str(tmp_path), label=label)


def test_a_folder_of_neither_is_refused(tmp_path):
    """With what both kinds of folder need."""
    assert table_parts(tmp_path) == {}
    with pytest.raises(BadData, match=r"no class folders of images and no table train\.\*"):
        open_task(str(tmp_path))
