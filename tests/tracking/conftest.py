"""A run to follow, and what came of it."""

import pytest

from hpmkd_edge.tracking.journal import SHARED, Entry, Epoch
from hpmkd_edge.tracking.tracker import Place, Summary


@pytest.fixture
def place(tmp_path):
    """Returns a function that opens a run for targets."""

    def opened(*targets):
        for folder in ("partial", "partial/run"):
            (tmp_path / folder).mkdir(exist_ok=True)
        return Place(name="first", partial=tmp_path / "partial", made=tmp_path / "partial/run", targets=targets)

    return opened


@pytest.fixture
def entries():
    """Returns a function that makes the epochs of a training, some of four."""

    def made(*numbers, scope=SHARED, training="direct-1", temperature=4.0):
        return [
            Entry(
                scope=scope,
                training=training,
                seconds=1000.0 + number,
                epoch=Epoch(
                    number=number,
                    of=4,
                    loss=1 / number,
                    accuracy=number / 8,
                    learning_rate=0.25,
                    temperature=temperature,
                ),
            )
            for number in numbers
        ]

    return made


@pytest.fixture
def summary(tmp_path):
    """Returns a function that tells what came of a target."""

    def told(target):
        file = tmp_path / "student.onnx"
        file.write_bytes(b"weights")
        return Summary(
            target=target,
            settings=(("epochs", "4"), ("method", "kd"), ("flip", "False")),
            numbers=(("test_accuracy", 0.875), ("p90_bound_ms", 1.5)),
            tags=(("verdict", "met"), ("data_sha256", "d" * 64), ("commit", "abc")),
            text="**met**",
            files=(file,),
        )

    return told
