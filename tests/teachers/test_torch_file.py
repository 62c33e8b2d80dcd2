"""Teachers from the user's own torch file."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_texts import text_task

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.tasks.task import Images
from hpmkd_edge.teachers.open import open_teacher
from hpmkd_edge.teachers.teacher import TorchGraph

MODEL = """
import torch
from torch import nn

def three():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(60), nn.Dropout(0.5), nn.Linear(60, 3))

def hundred():
    return nn.Sequential(nn.Flatten(), nn.Linear(60, 100))

def soft():
    return nn.Sequential(three(), nn.Softmax(-1))

def flat():
    return nn.Linear(60, 3)

def infinite():
    model = three()
    nn.init.constant_(model[3].bias, float("inf"))
    return model

def needs_width(width):
    return nn.Linear(width, 3)

def text():
    return "a model"

def table():
    torch.manual_seed(0)
    return nn.Linear(2, 2)
"""


@pytest.fixture
def model(tmp_path):
    """A file of small models."""
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def opened(spec, task, **flags):
    return open_teacher(spec, **({"task": task, "weights": None, "normalize": None, "trust": False} | flags))


def saved(path, content):
    torch.save(content, path)
    return path


def state_of(model, name="three"):
    space = {}
    exec(MODEL, space)
    module = space[name]()
    torch.nn.init.constant_(module[3].bias, 7.0)
    return module.state_dict()


def test_the_answers_are_those_of_the_module_in_eval_mode(model, images):
    """Dropout is off, batch statistics are the stored ones, and pixels are over 255, NCHW."""
    teacher = opened(f"{model}:three", images)
    pixels = torch.from_numpy(images.test.inputs.pixels).permute(0, 3, 1, 2) / 255
    expected = teacher.graph().module(pixels).detach().numpy()

    np.testing.assert_allclose(teacher.logits(images.test), expected, rtol=1e-5, atol=1e-6)
    assert teacher.preprocessing == "pixels over 255, NCHW"
    assert teacher.parameters == 60 * 2 + 60 * 3 + 3


def test_the_graph_takes_its_example(model, images):
    """One row of logits for one prepared row."""
    graph = opened(f"{model}:three", images).graph()

    assert isinstance(graph, TorchGraph)
    assert not graph.module.training
    assert graph.module(graph.example).shape == (1, 3)


def test_a_file_may_prepare_its_own_input(model, images):
    """to_input gets the bytes, and decides."""
    with model.open("a") as file:
        file.write("\ndef to_input(pixels):\n    return torch.from_numpy(pixels).float().flatten(1) - 100\n")
    teacher = opened(f"{model}:flat", images)
    expected = teacher.module(torch.from_numpy(images.test.inputs.pixels).float().flatten(1) - 100)

    np.testing.assert_allclose(teacher.logits(images.test), expected.detach(), rtol=1e-5, atol=1e-5)
    assert teacher.preprocessing == "to_input of model.py"
    with pytest.raises(BadConfiguration, match=r"unit cannot apply: model\.py prepares its input by to_input"):
        opened(f"{model}:flat", images, normalize="unit")


def test_probabilities_are_read_as_logarithms(model, images):
    """A softmax at the end changes the logits by a constant a row only."""
    plain = opened(f"{model}:three", images).logits(images.test)
    soft = opened(f"{model}:soft", images)
    shift = soft.logits(images.test) - plain

    np.testing.assert_allclose(shift - shift[:, :1], 0, atol=1e-4)
    assert "logarithms" in soft.preprocessing


@pytest.mark.parametrize("wrapped", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
def test_weights_are_found_in_checkpoints(model, images, tmp_path, wrapped):
    """A bare state dict, one inside a checkpoint, and one of DataParallel load alike."""
    state = {f"module.{key}": value for key, value in state_of(model).items()}
    teacher = opened(f"{model}:three", images, weights=saved(tmp_path / "w.pt", wrapped(state)))

    np.testing.assert_array_equal(teacher.module[3].bias.detach(), 7.0)


def test_the_digest_follows_weights_code_and_normalization(model, images, tmp_path):
    """The same teacher opened twice has one digest; anything that changes an answer changes it."""
    weights = saved(tmp_path / "w.pt", state_of(model))
    digests = [
        opened(f"{model}:three", images).digest,
        opened(f"{model}:three", images, weights=weights).digest,
        opened(f"{model}:three", images, normalize="0.5/0.5").digest,
    ]
    again = opened(f"{model}:three", images).digest
    with model.open("a") as file:
        file.write("\n# changed\n")

    assert digests[0] == again
    assert len({*digests, opened(f"{model}:three", images).digest}) == 4


def test_numbers_of_a_table_go_in_as_one_matrix(model, numbers):
    """[N, F] float32, columns in order."""
    teacher = opened(f"{model}:table", numbers)
    matrix = np.stack([column.values for column in numbers.test.inputs.columns], axis=1)

    expected = teacher.module(torch.from_numpy(matrix)).detach()

    np.testing.assert_allclose(teacher.logits(numbers.test), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "match"),
    [
        ("hundred", "gives 100 classes; the task has 3: ant, bee, cat"),
        ("flat", r"fails on an input of shape \(8, 3, 4, 5\).*to_input in model.py"),
        ("infinite", "NaN or infinity"),
        ("needs_width", "called without arguments"),
        ("text", "returned str; a torch.nn.Module is needed"),
        ("thre", "Did you mean 'three'"),
    ],
)
def test_a_function_that_does_not_fit_is_refused(model, images, function, match):
    """One sentence each."""
    with pytest.raises(BadTeacher, match=match):
        opened(f"{model}:{function}", images)


def test_gray_images_do_not_fit_a_color_model(model, images):
    """The sentence names the shape that the module was given."""
    gray = images.train.inputs.pixels[..., :1]
    task = replace(images, train=replace(images.train, inputs=Images(pixels=gray)))

    with pytest.raises(BadTeacher, match=r"input of shape \(8, 1, 4, 5\)"):
        opened(f"{model}:three", task)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (
            {"strange": torch.zeros(2)},
            r"does not fit model.py:three: 6 missing \(1.weight, 1.bias, .*, …\); 1 unexp",
        ),
        ([1, 2], "holds list, not a state dict"),
        ({"1.weight": torch.zeros(5)}, r"1 of another shape \(1.weight \(5,\) for \(60,\)\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(model, images, tmp_path, content, match):
    """Keys that are missing, unexpected, or of another shape."""
    with pytest.raises(BadTeacher, match=match):
        opened(f"{model}:three", images, weights=saved(tmp_path / "w.pt", content))


def test_broken_and_absent_weights_are_refused(model, images, tmp_path):
    """With the path."""
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"not a zip")

    with pytest.raises(BadTeacher, match=r"broken\.pt cannot be read as weights"):
        opened(f"{model}:three", images, weights=broken)
    with pytest.raises(BadTeacher, match=f"there is no file {tmp_path}/none.pt"):
        opened(f"{model}:three", images, weights=tmp_path / "none.pt")


def test_a_file_that_does_not_run_is_refused(tmp_path, images):
    """A syntax error is the teacher's fault, in one sentence."""
    path = tmp_path / "broken.py"
    path.write_text("def three(:\n")

    with pytest.raises(BadTeacher, match="SyntaxError"):
        opened(f"{path}:three", images)


def test_text_columns_ask_for_a_preparation(model, mixed):
    """A matrix cannot hold text."""
    with pytest.raises(BadTeacher, match=r"the column 'color' holds text; a function to_input\(table\)"):
        opened(f"{model}:table", mixed)


@pytest.mark.parametrize(
    ("result", "dtype"),
    [
        ("rows.bfloat16()", "float32"),
        ("rows.half()", "float32"),
        ("rows.requires_grad_()", "float32"),
        ("rows.double()", "float64"),
        ("rows.int()", "int32"),
        ("rows > 50", "bool"),
    ],
)
def test_the_example_is_what_numpy_takes(tmp_path, images, result, dtype):
    """Whatever to_input returns; the module of the graph answers it as the teacher answers the row."""
    path = tmp_path / "m.py"
    path.write_text(
        "import torch\n"
        "def to_input(pixels):\n"
        f"    rows = torch.from_numpy(pixels).float().flatten(1)\n    return {result}\n"
        "class Net(torch.nn.Linear):\n"
        "    def forward(self, rows):\n"
        "        return super().forward(rows if rows.is_floating_point() else rows.to(self.weight.dtype))\n"
        "def net():\n"
        "    torch.manual_seed(0)\n"
        "    kept = to_input(torch.zeros(1, 60, dtype=torch.uint8).numpy())\n"
        "    return Net(60, 3).to(kept.dtype if kept.is_floating_point() else torch.float32)\n"
    )
    teacher = opened(f"{path}:net", images)
    graph = teacher.graph()

    assert graph.example.numpy().dtype == dtype
    assert len(graph.example) == 1
    answer = graph.module(graph.example).detach().float().numpy()
    np.testing.assert_allclose(answer, teacher.logits(images.train)[:1], rtol=2e-2, atol=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_example_of_a_cuda_tensor_lies_on_the_cpu(model, images):
    """Where to_input moves rows to the GPU itself."""
    with model.open("a") as file:
        file.write("\ndef to_input(pixels):\n    return torch.from_numpy(pixels).cuda().float().flatten(1)\n")

    assert opened(f"{model}:flat", images, device="cuda").graph().example.numpy().shape == (1, 60)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_model_with_a_part_called_module_loads_its_own_weights(tmp_path, images, prefix):
    """Only the name that DataParallel adds is taken off."""
    path = tmp_path / "m.py"
    path.write_text(
        "from torch import nn\n"
        "class Wrapper(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.module = nn.Linear(60, 3)\n"
        "    def forward(self, images):\n"
        "        return self.module(images.flatten(1))\n"
    )
    state = {f"{prefix}module.weight": torch.zeros(3, 60), f"{prefix}module.bias": torch.full((3,), 7.0)}
    teacher = opened(f"{path}:Wrapper", images, weights=saved(tmp_path / "w.pt", state))

    np.testing.assert_array_equal(teacher.logits(images.test), 7.0)


@pytest.mark.parametrize("lazy", [False, True])
def test_the_digest_follows_helpers_beside_the_file(tmp_path, images, lazy):
    """Functions that the module calls, and the preparation; also where they are imported in the call."""
    module, to_input = tmp_path / "m.py", "from prep import to_input\n"
    if lazy:
        to_input = (
            f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
            "def to_input(pixels):\n    import prep\n    return prep.to_input(pixels)\n"
        )
    module.write_text(
        f"from torch import nn\n{to_input}def net():\n    return nn.Linear(60, 3).requires_grad_(False)\n"
    )
    found = []
    try:
        for scale in ("", " / 255", " / 255 - 1"):
            (tmp_path / "prep.py").write_text(
                f"import torch\ndef to_input(pixels):\n    return torch.from_numpy(pixels).float().flatten(1){scale}\n"
            )
            torch.manual_seed(0)
            teacher = opened(f"{module}:net", images)
            found.append((teacher.digest, float(teacher.example.max())))
    finally:
        while str(tmp_path) in sys.path:
            sys.path.remove(str(tmp_path))

    assert len({digest for digest, _ in found}) == 3
    assert len({highest for _, highest in found}) == 3


def test_text_reaches_a_module_by_the_files_own_to_input(tmp_path):
    """From a list of strings to a tensor; without it there is no way in."""
    way_in = (
        "def to_input(sentences):\n    return torch.tensor([[len(one), one.count(' ')] for one in sentences]).float()\n"
    )
    path = tmp_path / "words.py"
    path.write_text(f"import torch\n\ndef two():\n    return torch.nn.Identity()\n\n{way_in}")
    (tmp_path / "closed.py").write_text("import torch\n\ndef two():\n    return torch.nn.Identity()\n")
    task = text_task(train=16, validation=4, test=8)
    strings = task.test.inputs.strings()

    np.testing.assert_array_equal(
        opened(f"{path}:two", task).logits(task.test), [[len(one), one.count(" ")] for one in strings]
    )
    with pytest.raises(
        BadTeacher, match=r"two is given text; a function to_input in closed\.py, from a list of strings"
    ):
        opened(f"{tmp_path / 'closed.py'}:two", task)
