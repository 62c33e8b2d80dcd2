"""Teachers whose answers were computed beforehand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sample_texts import text_task

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.tasks.task import Identifiers
from hpmkd_edge.teachers.open import open_teacher

LOGITS = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
SOFT = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
TURNED = np.arange(40)[::-1]


def opened(path, task, **flags):
    return open_teacher(str(path), **({"task": task, "weights": None, "normalize": None, "trust": False} | flags))


def frame(values, columns=("ant", "bee", "cat")):
    return pd.DataFrame(values, columns=list(columns))


WRITERS = {
    "plain.npy": lambda path: np.save(path, LOGITS),
    "named.npz": lambda path: np.savez(path, logits=LOGITS),
    "positions.npz": lambda path: np.savez(path, logits=LOGITS[TURNED], positions=TURNED),
    "ids.npz": lambda path: np.savez(path, logits=LOGITS[TURNED], ids=TURNED),
    "named.csv": lambda path: frame(LOGITS).to_csv(path, index=False),
    "turned.csv": lambda path: frame(LOGITS)[["cat", "ant", "bee"]].to_csv(path, index=False),
    "plain.csv": lambda path: frame(LOGITS, "xyz").to_csv(path, index=False),
    "ids.csv": lambda path: frame(LOGITS[TURNED]).assign(ids=TURNED).to_csv(path, index=False),
    "named.parquet": lambda path: frame(LOGITS).to_parquet(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_each_split_gets_the_rows_of_its_positions(tmp_path, images, name):
    """Whatever the file and the order of its rows and columns."""
    WRITERS[name](tmp_path / name)
    teacher = opened(tmp_path / name, images)

    for rows in (images.train, images.validation, images.test):
        np.testing.assert_array_equal(teacher.logits(rows), LOGITS[rows.positions])
    assert teacher.graph() is None
    assert not teacher.answers_new_rows


@pytest.mark.parametrize(
    "write",
    [
        lambda path: np.savez(path, probabilities=SOFT),
        lambda path: np.savez(path, probabilities=SOFT[TURNED], positions=TURNED),
    ],
)
def test_probabilities_become_logarithms(tmp_path, images, write):
    """Their exponentials are the probabilities again."""
    write(tmp_path / "p.npz")
    teacher = opened(tmp_path / "p.npz", images)

    np.testing.assert_allclose(np.exp(teacher.logits(images.test)), SOFT[images.test.positions], rtol=1e-5)


def test_unnamed_probabilities_are_known_by_their_sums(tmp_path, images):
    """Every row of 40 sums to 1."""
    np.save(tmp_path / "p.npy", SOFT)

    assert "logarithms" in opened(tmp_path / "p.npy", images).preprocessing


def broken(row, column, value):
    values = LOGITS.copy()
    values[row, column] = value
    return values


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"logits": LOGITS[:39]}, "holds 39 rows; made here has 40"),
        ({"logits": LOGITS[:, :2]}, "gives 2 classes; the task has 3"),
        ({"logits": LOGITS[:, 0]}, r"float32 of shape \(40,\); numbers \[rows, classes\]"),
        ({"logits": broken(5, 1, np.nan)}, r"holds nan in row 5, column 1 \(bee\)"),
        ({"logits": broken(7, 2, np.inf)}, r"holds inf in row 7, column 2 \(cat\)"),
        ({"probabilities": LOGITS}, r"do not all lie in \[0, 1\]"),
        ({"scores": LOGITS}, "holds scores; one array named logits or probabilities"),
        ({"logits": LOGITS, "ids": np.zeros(40, int)}, "do not name each row from 0 to 39 once"),
        ({"logits": np.full((40, 3), "a")}, "holds <U1"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(tmp_path, images, arrays, match):
    """What was found, and what is needed."""
    np.savez(tmp_path / "a.npz", **arrays)

    with pytest.raises(BadTeacher, match=match):
        opened(tmp_path / "a.npz", images)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (frame(LOGITS, ("ant", "bee", "dog")), "has the columns ant, bee, dog; the classes ant, bee, cat"),
        (frame(LOGITS).assign(other=1).drop(columns="cat").assign(x=1), "has the columns ant, bee, other, x"),
        (frame(LOGITS).assign(bee="much"), "the column 'bee' of t.csv holds text"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, images, content, match):
    """Half of the names are no order."""
    content.to_csv(tmp_path / "t.csv", index=False)

    with pytest.raises(BadTeacher, match=match):
        opened(tmp_path / "t.csv", images)


def test_an_unreadable_file_is_refused(tmp_path, images):
    """A pickle inside an array is unreadable too."""
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "b.parquet").write_bytes(b"nothing")

    with pytest.raises(BadTeacher, match=r"o\.npy cannot be read: ValueError"):
        opened(tmp_path / "o.npy", images)
    with pytest.raises(BadTeacher, match=r"b\.parquet cannot be read"):
        opened(tmp_path / "b.parquet", images)


def test_there_is_nothing_to_normalize(tmp_path, images):
    """The answers are computed already."""
    np.save(tmp_path / "l.npy", LOGITS)

    with pytest.raises(BadConfiguration, match="computed already"):
        opened(tmp_path / "l.npy", images, normalize="unit")


@pytest.mark.parametrize(("file", "key"), [("p.csv", "customer"), ("p.csv", "ids"), ("p.parquet", "customer")])
def test_answers_find_their_rows_by_the_identifier_of_the_schema(tmp_path, images, file, key):
    """In any order, and in the spelling of the data: 007 is not 7."""
    names = np.array([f"{place:03}" for place in range(40)], object)
    task = replace(images, identifiers=Identifiers(name="customer", values=names))
    content = frame(LOGITS[TURNED]).assign(**{key: names[TURNED]})
    write = content.to_parquet if file.endswith("parquet") else content.to_csv
    write(tmp_path / file, index=False)

    np.testing.assert_array_equal(opened(tmp_path / file, task).logits(task.test), LOGITS[task.test.positions])


def test_a_row_without_an_answer_is_named(tmp_path, images):
    """By its identifier; a column that no schema calls so is not guessed at."""
    names = np.array([f"{place:03}" for place in range(40)], object)
    content = frame(LOGITS).assign(customer=np.where(names == "007", "7", names))
    content.to_csv(tmp_path / "p.csv", index=False)

    with pytest.raises(BadTeacher, match="has no row for '007'; each 'customer' of the data is needed once"):
        opened(tmp_path / "p.csv", replace(images, identifiers=Identifiers(name="customer", values=names)))
    with pytest.raises(BadTeacher, match=r"has the column 'customer' beside the classes.*--schema must call"):
        opened(tmp_path / "p.csv", images)


def test_sentences_find_their_answers_by_place_and_by_name(tmp_path):
    """As rows of a table do."""
    names = np.array([f"review {place}" for place in range(40)], dtype=object)
    task = replace(text_task(20, 10, 10), identifiers=Identifiers(name="review", values=names))
    logits = np.random.default_rng(0).normal(size=(40, 2))
    turned = np.random.default_rng(1).permutation(40)
    np.save(tmp_path / "l.npy", logits)
    frame = pd.DataFrame(logits[turned], columns=task.classes).assign(review=names[turned])
    frame.to_csv(tmp_path / "l.csv", index=False)

    for file in ("l.npy", "l.csv"):
        teacher = open_teacher(str(tmp_path / file), task=task, weights=None, normalize=None, trust=False)
        np.testing.assert_allclose(teacher.logits(task.test), logits[30:], rtol=1e-6)
        assert not teacher.answers_new_rows
