"""From what --data names to a task."""

import numpy as np
import pytest

from hpmkd_edge.errors import BadConfiguration, BadData
from hpmkd_edge.tasks.source import open_task

ROWS = "".join(f"{index},{'w' * (index % 3)},{'pq'[index % 2]}\n" for index in range(20))


def table_file(folder, rows=ROWS, header="n,w,y\n", name="table.csv"):
    path = folder / name
    path.write_text(header + rows)
    return str(path)


def test_the_digits_are_split_and_whole():
    """The parts are disjoint, together they are all rows, and each row keeps its label."""
    task = open_task("digits")
    parts = (task.train, task.validation, task.test)
    positions = np.concatenate([rows.positions for rows in parts])

    assert sorted(positions) == list(range(1797))
    assert task.row_count == 1797
    assert task.classes == tuple("0123456789")
    assert task.kind == "images"
    for rows in parts:
        assert set(rows.labels.tolist()) == set(range(10))
        assert (np.diff(rows.positions) > 0).all()


def test_a_row_of_a_part_is_the_row_of_the_file_at_its_position(tmp_path):
    """Files of logits follow the positions."""
    task = open_task(table_file(tmp_path), label="y")

    for rows in (task.train, task.validation, task.test):
        numbers, words = (column.values for column in rows.inputs.columns)
        np.testing.assert_array_equal(numbers, rows.positions)
        assert words.tolist() == ["w" * (place % 3) for place in rows.positions]
        np.testing.assert_array_equal(rows.labels, rows.positions % 2)


def test_the_digest_follows_the_content_and_not_the_path(tmp_path):
    """Each of a cell, a word, a label, a name, a class and the seed changes it; the file's name does not."""
    first = open_task(table_file(tmp_path), label="y").digest
    moved = open_task(table_file(tmp_path, name="other.csv"), label="y").digest
    texts = {
        "cell": (ROWS.replace("19,", "20,"), "n,w,y\n"),
        "word": (ROWS.replace("1,w,", "1,v,"), "n,w,y\n"),
        "moved letter": (ROWS.replace("1,w,", "1,www,").replace("2,ww,", "2,,", 1), "n,w,y\n"),
        "label": (ROWS.replace("19,w,q", "19,w,p"), "n,w,y\n"),
        "class": (ROWS.replace("q", "r"), "n,w,y\n"),
        "name": (ROWS, "m,w,y\n"),
    }
    others = [open_task(table_file(tmp_path, *text), label="y").digest for text in texts.values()]
    others.append(open_task(table_file(tmp_path), label="y", split_seed=1).digest)

    assert moved == first
    assert len({first, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digit", "no file /.*/digit and no embedded data set 'digit'. Did you mean 'digits'"),
        ("missing.csv", r"no file /.*/missing\.csv"),
        ("notes.txt", r"notes\.txt has \.txt; \.csv,"),
        ("empty.csv", r"/empty\.csv is empty"),
    ],
)
def test_data_that_is_not_there_is_a_sentence(tmp_path, monkeypatch, data, message):
    """With the absolute path, and the nearest name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(BadData, match=message):
        open_task(data, label="y")


def test_a_flag_that_the_data_has_no_use_for_is_refused(tmp_path):
    """Digits and folders bring their labels; a seed has no sign."""
    with pytest.raises(BadConfiguration, match="--label y is given, but digits brings its own"):
        open_task("digits", label="y")
    with pytest.raises(BadConfiguration, match=r"--split part is given, but .* brings its own"):
        open_task(str(tmp_path), split="part")
    with pytest.raises(BadConfiguration, match="the split seed is -1"):
        open_task("digits", split_seed=-1)
