"""The runtimes load, answer, and say in a sentence what is wrong."""

import numpy as np
import pytest

from hpmkd_edge.bench.reference import reference_feeds, reference_file
from hpmkd_edge.bench.runtimes import onnx_runtime
from hpmkd_edge.bench.runtimes.choose import RUNTIMES, choose_runtime
from hpmkd_edge.bench.runtimes.feeds import feeds_for, feeds_of_file
from hpmkd_edge.bench.runtimes.runtime import Input
from hpmkd_edge.errors import BadConfiguration, MeasurementFailed, RuntimeUnavailable


def test_the_first_output_is_the_answer(images_file):
    """Probabilities: rows sum to one, and equal rows are answered equally."""
    feeds = {"images": np.repeat(np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3), 2, axis=0)}
    answer = onnx_runtime.load(images_file, 1, feeds).run(feeds)

    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(answer[0], answer[1])


def test_threads_do_not_change_the_answer(images_file):
    """Only how long it takes."""
    feeds = feeds_of_file(images_file, batch=8)
    one, two = (onnx_runtime.load(images_file, threads, feeds).run(feeds) for threads in (1, 2))

    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_declared_inputs_have_their_types_and_open_axes(images_file, table_file):
    """Strings are objects; an open axis is None."""
    (images,) = onnx_runtime.inputs(images_file)
    number, word = onnx_runtime.inputs(table_file)

    assert images == Input(name="images", dtype=np.dtype(np.uint8), shape=(None, 8, 8, 3))
    assert (number.name, number.dtype, number.shape) == ("a/b", np.float32, (None, 1))
    assert (word.name, word.dtype, word.shape) == ("file", np.object_, (None, 1))


def test_made_up_feeds_are_accepted(images_file, table_file):
    """Of any type, and as many rows as asked for; the same at every call."""
    for path in (images_file, table_file):
        feeds = feeds_of_file(path, batch=5)

        assert len(onnx_runtime.load(path, 1, feeds).run(feeds)) == 5
        for name, array in feeds_of_file(path, batch=5).items():
            np.testing.assert_array_equal(array, feeds[name])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.int64, np.uint16, np.bool_, np.object_])
def test_made_up_feeds_have_the_declared_type(dtype):
    """Integers are 0 or 1, which any table of ids holds."""
    array = feeds_for([Input(name="x", dtype=np.dtype(dtype), shape=(None, 40))])["x"]

    assert (array.dtype, array.shape) == (dtype, (1, 40))
    if array.dtype.kind in "iub":
        assert set(array.ravel().tolist()) == {0, 1}


def test_an_open_axis_within_a_row_cannot_be_made_up():
    """Its size would decide the latency."""
    with pytest.raises(BadConfiguration, match=r"x has an open axis 2; .* as --shape x=1,3,SIZE"):
        feeds_for([Input(name="x", dtype=np.dtype(np.float32), shape=(None, 3, None))])


def test_a_missing_file_is_said(tmp_path):
    """By its path."""
    with pytest.raises(BadConfiguration, match=r"there is no file .*none\.onnx"):
        onnx_runtime.load(tmp_path / "none.onnx", 1, {})


def test_a_file_that_is_no_model_is_said(tmp_path):
    """In the runtime's words, without its prefix."""
    path = tmp_path / "text.onnx"
    path.write_text("no model")

    with pytest.raises(MeasurementFailed, match=r"^ONNX Runtime cannot load .*text\.onnx: [^\[]*\.$"):
        onnx_runtime.inputs(path)


def test_feeds_under_other_names_are_refused(images_file):
    """What was fed, then what is needed."""
    with pytest.raises(MeasurementFailed, match=r"images\.onnx was fed x; it needs images\."):
        onnx_runtime.load(images_file, 1, {"x": np.zeros(1)})


def test_feeds_of_another_type_are_refused(images_file):
    """Nothing is converted on the way."""
    session = onnx_runtime.load(images_file, 1, {"images": np.zeros((1, 8, 8, 3), np.uint8)})

    with pytest.raises(MeasurementFailed, match=r"cannot run images\.onnx: Unexpected input data type"):
        session.run({"images": np.zeros((1, 8, 8, 3), np.float32)})


def test_a_runtime_that_does_not_exist_is_unknown():
    """The nearest is offered."""
    with pytest.raises(BadConfiguration, match="Did you mean 'onnxruntime'"):
        choose_runtime("onnx-runtime")


def test_a_runtime_that_is_not_here_is_unavailable(monkeypatch):
    """With its own reason."""

    class Absent:
        def missing(self):
            return "it is elsewhere."

    monkeypatch.setitem(RUNTIMES, "absent", Absent())

    with pytest.raises(RuntimeUnavailable, match="the runtime absent cannot run here: it is elsewhere"):
        choose_runtime("absent")


def test_the_reference_model_is_in_the_package_and_answers():
    """Finite and not zero, so that no run takes a short cut."""
    with reference_file() as path:
        answer = onnx_runtime.load(path, 1, reference_feeds()).run(reference_feeds())

    assert answer.shape == (1, 16)
    assert np.all(np.abs(answer) > 1e-3)
    assert np.all(np.isfinite(answer))
