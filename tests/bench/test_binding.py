"""A batch that was handed over once gives the answer that it gives each time."""

import gc
import weakref

import numpy as np

from hpmkd_edge.bench.binding import bound_run
from hpmkd_edge.bench.runtimes import onnx_runtime
from hpmkd_edge.bench.runtimes.feeds import feeds_of_file


def test_a_bound_run_answers_as_a_run_does(images_file, monkeypatch):
    """The first output, of the same values."""
    feeds = feeds_of_file(images_file, batch=3)
    session = onnx_runtime.load(images_file, 1, feeds)
    bindings = []
    real = session.native.run_with_iobinding
    monkeypatch.setattr(session.native, "run_with_iobinding", lambda one: bindings.append(one) or real(one))
    run, io = bound_run(session, feeds)
    run()
    run()

    assert io == "bound"
    (answer,) = bindings[-1].copy_outputs_to_cpu()
    np.testing.assert_array_equal(answer, session.run(feeds))


class ForgetfulBinding:
    """As ONNX Runtime's before 1.31: it keeps addresses, and not what lies there."""

    def bind_ortvalue_input(self, name, value):
        pass

    def bind_output(self, name):
        pass


def test_what_is_bound_lives_as_long_as_the_call(images_file, monkeypatch):
    """Nobody else need hold the arrays; afterwards they are free."""
    feeds = feeds_of_file(images_file)
    session = onnx_runtime.load(images_file, 1, feeds)
    monkeypatch.setattr(session.native, "io_binding", ForgetfulBinding)
    run, _ = bound_run(session, feeds)
    arrays = [weakref.ref(array) for array in feeds.values()]
    del feeds
    gc.collect()
    held = [one() is not None for one in arrays]
    del run
    gc.collect()

    assert held == [True]
    assert [one() for one in arrays] == [None]


def test_strings_are_copied(table_file):
    """ONNX Runtime makes no value of its own of them."""
    feeds = feeds_of_file(table_file)
    run, io = bound_run(onnx_runtime.load(table_file, 1, feeds), feeds)

    assert io == "copied"
    np.testing.assert_array_equal(run(), onnx_runtime.load(table_file, 1, feeds).run(feeds))
