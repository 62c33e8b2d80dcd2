"""Images from the embedded set and from folders."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.images import read_digits, read_folder
from hpmkd_edge.tasks.source import open_task


def save(path, color=0, mode="L", size=(5, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


def test_the_digits_keep_their_order_and_their_sixteen_steps():
    """0 … 16 become 0 … 255, so the original comes back by division."""
    reading = read_digits()
    original = load_digits()

    assert reading.inputs.pixels.shape == (1797, 8, 8, 1)
    np.testing.assert_array_equal(np.rint(reading.inputs.pixels[..., 0] * (16 / 255)), original.images)
    np.testing.assert_array_equal(reading.labels.codes, original.target)


def test_gray_folders_make_gray_rows_in_the_order_of_the_sorted_paths(tmp_path):
    """Classes are the folders, as text; hidden files and files on top are not read."""
    for name, color in (("b/2.png", 3), ("b/1.bmp", 2), ("a/9.png", 1), ("10/0.png", 0)):
        save(tmp_path / name, color)
    (tmp_path / "README").write_text("notes")
    (tmp_path / "a" / ".DS_Store").write_text("")
    reading = read_folder(tmp_path)

    assert reading.inputs.pixels.shape == (4, 4, 5, 1)
    assert reading.inputs.pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert reading.labels.classes == ("10", "a", "b")
    assert reading.labels.codes.tolist() == [0, 1, 2, 2]
    assert reading.split is None


def test_one_colored_image_makes_all_rgb(tmp_path):
    """A gray pixel g is (g, g, g)."""
    save(tmp_path / "a" / "1.png", 7)
    save(tmp_path / "b" / "1.png", (1, 2, 3), "RGB")
    reading = read_folder(tmp_path)

    assert reading.inputs.pixels[:, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_folders_of_parts_are_the_split(tmp_path, validation):
    """train, val and test on top of the class folders."""
    for part in ("train", validation, "test"):
        for name in ("a", "b"):
            save(tmp_path / part / name / "1.png")
    task = open_task(str(tmp_path))

    assert [len(rows) for rows in (task.train, task.validation, task.test)] == [2, 2, 2]
    assert task.test.positions.tolist() == [0, 1]
    assert task.split_rule == f"The split is given by the folders test, train, {validation}."
    assert task.name == tmp_path.name


def test_images_of_two_sizes_are_named_both(tmp_path):
    """The two files and their sizes."""
    save(tmp_path / "a" / "1.png")
    save(tmp_path / "b" / "2.png", size=(6, 4))
    with pytest.raises(BadData, match=r"b/2\.png is 6×4 and .*a/1\.png is 5×4"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b/1.png", b"no image", "cannot be read as an image"),
        ("b/1.txt", b"", r"1\.txt is not an image"),
        ("b/c/1.png", b"", "c is not an image"),
        ("train/b/1.png", b"", "holds train and a; beside train"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, name, content, message):
    """A class folder holds images and nothing else."""
    save(tmp_path / "a" / "1.png")
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadData, match=message):
        read_folder(tmp_path)


def test_a_truncated_image_and_sixteen_bits_are_refused(tmp_path):
    """Half a file has a good header; 16-bit gray would be cut to 8."""
    noise = np.random.default_rng(0).integers(0, 255, (30, 30), np.uint8)
    save(tmp_path / "a" / "1.png", size=(30, 30))
    whole = tmp_path / "b" / "1.png"
    whole.parent.mkdir()
    Image.fromarray(noise).save(whole)
    whole.write_bytes(whole.read_bytes()[:500])
    with pytest.raises(BadData, match=r"b/1\.png cannot be read"):
        read_folder(tmp_path)

    save(whole, mode="I;16", size=(30, 30))
    with pytest.raises(BadData, match="mode I;16; 8-bit"):
        read_folder(tmp_path)


def test_empty_folders_are_refused(tmp_path):
    """A folder without class folders, and a class folder without images."""
    with pytest.raises(BadData, match="no class folders"):
        read_folder(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(BadData, match="a is empty"):
        read_folder(tmp_path)
