"""A batch that was handed over once gives the answer that it gives each time."""

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


def test_strings_are_copied(table_file):
    """ONNX Runtime makes no value of its own of them."""
    feeds = feeds_of_file(table_file)
    run, io = bound_run(onnx_runtime.load(table_file, 1, feeds), feeds)

    assert io == "copied"
    np.testing.assert_array_equal(run(), onnx_runtime.load(table_file, 1, feeds).run(feeds))
