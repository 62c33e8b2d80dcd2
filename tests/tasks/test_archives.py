"""NPZ archives: which arrays make a task, and which a sentence."""

import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpmkd_edge.errors import BadConfiguration, BadData, EdgeError
from hpmkd_edge.tasks.archives import read_archive
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Images, Table, Task

PIXELS = np.arange(12 * 4 * 3, dtype=np.uint8).reshape(12, 4, 3)
TWO = np.tile([0, 1], 6)


def archive(folder, **arrays):
    path = folder / "set.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("X", "labels")])
def test_gray_images_get_one_channel(tmp_path, names):
    """[N, H, W] is [N, H, W, 1]; labels of [N, 1] are [N]."""
    reading = read_archive(archive(tmp_path, **dict(zip(names, (PIXELS, TWO[:, None]), strict=True))), None, None)

    assert isinstance(reading.inputs, Images)
    np.testing.assert_array_equal(reading.inputs.pixels, PIXELS[..., None])
    assert reading.labels.classes == ("0", "1")


def test_two_dimensions_are_a_table(tmp_path):
    """Columns are named x0, x1 and so on; NaN is missing."""
    values = np.array([[1, np.nan], [3, 4], [5, 6]])
    reading = read_archive(archive(tmp_path, X=values, kind=np.array(["a", "b", "a"])), "kind", None)

    assert isinstance(reading.inputs, Table)
    assert [column.name for column in reading.inputs.columns] == ["x0", "x1"]
    np.testing.assert_array_equal(reading.inputs.columns[1].values, np.array([np.nan, 4, 6], np.float32))


@pytest.mark.parametrize("ending", ["val", "validation"])
def test_an_own_split_is_in_the_order_train_validation_test(tmp_path, ending):
    """The positions of the rows say so; text labels are taken as they are."""
    words = np.array(["a", "b"])[TWO]
    arrays = {
        "x_test": PIXELS[:3], "y_test": words[:3], "x_train": PIXELS[3:8], "y_train": words[3:8],
        f"x_{ending}": PIXELS[8:], f"y_{ending}": words[8:],
    }  # fmt: skip
    task = open_task(str(archive(tmp_path, **arrays)))

    assert task.train.positions.tolist() == [0, 1, 2, 3, 4]
    assert task.validation.positions.tolist() == [5, 6, 7, 8]
    assert task.test.positions.tolist() == [9, 10, 11]
    np.testing.assert_array_equal(task.test.inputs.pixels, PIXELS[:3, :, :, None])
    assert [task.classes[label] for label in task.test.labels] == words[:3].tolist()


def test_an_array_can_name_the_parts(tmp_path):
    """As a column of a table does."""
    parts = np.array(["train", "train", "val", "test"])[np.arange(12) % 4]
    reading = read_archive(archive(tmp_path, x=PIXELS, y=TWO, part=parts), None, "part")

    assert reading.split.parts.tolist() == [0, 0, 1, 2] * 3


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": PIXELS.astype(np.float32), "y": TWO}, "float32 of 12×4×3; images are needed as uint8"),
        ({"x": np.zeros((12, 3, 8, 8), np.uint8), "y": TWO}, "12×3×8×8; images × height"),
        ({"x": PIXELS, "y": TWO[:5]}, "'y' is 5 and there are 12 inputs"),
        ({"x": PIXELS, "y": np.eye(12)}, "'y' is 12×12 and there are 12 inputs"),
        ({"x": PIXELS, "y": TWO - 1}, "row 1 of the labels of set.npz holds -1; classes from 0 on"),
        ({"x": PIXELS, "y": TWO / 2}, "row 2 of the labels of set.npz holds 0.5"),
        ({"x": PIXELS, "y": np.array(["a", ""])[TWO]}, "row 2 of array 'y' is missing"),
        ({"x": PIXELS, "y": TWO.astype(object)}, "Object arrays cannot be loaded"),
        ({"x": PIXELS.astype(complex), "y": TWO}, "'x' holds complex128"),
        ({"x": np.float32(1), "y": TWO}, "not an array of rows"),
        ({"x": np.full((12, 2), np.inf), "y": TWO}, "row 1 of column 'x0' holds inf"),
        ({"x": PIXELS[:0], "y": TWO[:0]}, "0×4×3"),
        (
            {"x_train": PIXELS, "y_train": TWO, "x_test": PIXELS[:, 1:], "y_test": TWO},
            "'x_test' is 12×3×3 and that of train 12×4×3",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_a_sentence(tmp_path, arrays, message):
    """Type, shape and length are named."""
    with pytest.raises(BadData, match=message):
        read_archive(archive(tmp_path, **arrays), None, None)


@pytest.mark.parametrize(
    ("arrays", "label", "split", "message"),
    [
        ({"z": PIXELS, "y": TWO}, None, None, "no array x or X or images"),
        ({"x": PIXELS, "label": TWO}, None, None, "no array y or labels. .*Known: label, x"),
        ({"x": PIXELS, "kinds": TWO}, "kind", None, "no array kind. Did you mean 'kinds'"),
        ({"x": PIXELS, "y": TWO}, None, "part", "no array part"),
        ({"x_train": PIXELS, "y_train": TWO}, None, None, "no array x_test"),
        ({"x_train": PIXELS, "y_train": TWO}, None, "part", "its own train and test arrays"),
        ({"x_train": PIXELS, "y_train": TWO, "y_val": TWO}, None, None, "no array x_validation"),
    ],
)
def test_an_array_that_is_not_there_is_a_sentence(tmp_path, arrays, label, split, message):
    """With the names that are."""
    with pytest.raises(BadConfiguration, match=message):
        read_archive(archive(tmp_path, **arrays), label, split)


def test_a_single_array_is_no_archive(tmp_path):
    """NumPy reads it all the same."""
    path = tmp_path / "set.npz"
    with path.open("wb") as file:
        np.save(file, PIXELS)
    with pytest.raises(BadData, match="is a single array"):
        read_archive(path, None, None)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_archive_is_a_task_or_a_sentence(tmp_path, save, data):
    """No other error leaves the reader, whatever the bytes are."""
    buffer = io.BytesIO()
    save(buffer, x=PIXELS, y=TWO)
    whole = buffer.getvalue()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 8)))
    path = tmp_path / "set.npz"
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:])
    with suppress(EdgeError):
        assert isinstance(open_task(str(path)), Task)
