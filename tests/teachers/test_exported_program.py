"""Teachers from torch.export."""

import numpy as np
import pytest
import torch
from sample_texts import text_task

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.teachers.open import open_teacher


class Bytes(torch.nn.Module):
    """Takes raw bytes, NHWC."""

    def forward(self, pixels):
        return pixels.float().mean((1, 2)) / 255


def saved(folder, module, example, axis=None):
    program = torch.export.export(module, (example,), dynamic_shapes=None if axis is None else ({0: axis},))
    torch.export.save(program, folder / "m.pt2")
    return str(folder / "m.pt2")


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(60, 3))


def opened(path, task, **flags):
    return open_teacher(path, **({"task": task, "weights": None, "normalize": None, "trust": True} | flags))


@pytest.mark.parametrize(
    ("rows", "axis", "timed"),
    [
        (1, None, False),
        (7, None, False),
        (3, torch.export.Dim("batch"), True),
        (3, torch.export.Dim("batch", min=2, max=4), True),
        (3, torch.export.Dim.DYNAMIC, True),
    ],
)
def test_any_batch_of_the_file_gives_the_modules_answers(tmp_path, images, rows, axis, timed):
    """Fixed batches are padded, bounded ones kept within their bounds; a fixed one is not timed."""
    module = network().eval()
    teacher = opened(saved(tmp_path, module, torch.zeros(rows, 3, 4, 5), axis), images)
    expected = module(torch.from_numpy(images.test.inputs.pixels).permute(0, 3, 1, 2) / 255).detach()

    np.testing.assert_allclose(teacher.logits(images.test), expected, rtol=1e-4, atol=1e-5)
    assert teacher.parameters == 183
    assert (teacher.graph() is not None) is timed


def test_bytes_go_in_raw(tmp_path, images):
    """The signature says uint8 and NHWC; there is nothing to normalize."""
    path = saved(tmp_path, Bytes(), torch.zeros(2, 4, 5, 3, dtype=torch.uint8), torch.export.Dim("batch"))
    teacher = opened(path, images)

    np.testing.assert_allclose(teacher.logits(images.test), images.test.inputs.pixels.mean((1, 2)) / 255, rtol=1e-5)
    assert teacher.preprocessing == "raw bytes, NHWC"
    with pytest.raises(BadConfiguration, match="takes raw bytes"):
        opened(path, images, normalize="unit")


def test_it_asks_for_trust(tmp_path, images):
    """Loading can run code, so even a sound file is not touched without it."""
    with pytest.raises(BadTeacher, match=r"can run any code when it is loaded; an \.onnx file or --trust"):
        opened(saved(tmp_path, Bytes(), torch.zeros(2, 4, 5, 3, dtype=torch.uint8)), images, trust=False)


def test_a_program_in_training_mode_is_refused(tmp_path, images):
    """Its answers would be random."""
    with pytest.raises(BadTeacher, match="exported in training mode"):
        opened(saved(tmp_path, network().train(), torch.zeros(2, 3, 4, 5)), images)


def test_other_sizes_are_refused(tmp_path, images):
    """Both shapes are named."""
    module = torch.nn.Flatten()
    with pytest.raises(BadTeacher, match=r"takes images of shape \[2, 3, 9, 9\]; the task's images are 4×5×3"):
        opened(saved(tmp_path, module, torch.zeros(2, 3, 9, 9)), images)


def test_a_file_that_is_none_is_refused(tmp_path, images):
    """With its path."""
    path = tmp_path / "m.pt2"
    path.write_bytes(b"no zip")

    with pytest.raises(BadTeacher, match=r"m\.pt2 cannot be read as an exported program"):
        opened(str(path), images)


def test_a_matrix_of_numbers_goes_in(tmp_path, numbers):
    """A table of numbers only."""
    module = torch.nn.Linear(2, 2)
    teacher = opened(saved(tmp_path, module, torch.zeros(2, 2), torch.export.Dim("batch")), numbers)
    matrix = np.stack([column.values for column in numbers.test.inputs.columns], axis=1)

    np.testing.assert_allclose(teacher.logits(numbers.test), module(torch.from_numpy(matrix)).detach(), rtol=1e-5)


def test_text_is_refused_before_the_file_is_read(tmp_path):
    """A traced program takes one tensor, and no strings."""
    (tmp_path / "m.pt2").write_bytes(b"")

    with pytest.raises(BadTeacher, match=r"m\.pt2 is an exported program, which takes no text; an \.onnx file"):
        opened(str(tmp_path / "m.pt2"), text_task(train=8, validation=4, test=4))
