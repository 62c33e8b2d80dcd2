"""Arrays come back mapped, read-only and the same."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as arrays

from hpmkd_edge.store.arrays import find_array, put_array


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(min_dims=0, min_side=0, max_dims=3)))
def test_any_array_comes_back_with_its_type_shape_and_bytes(array, store):
    """None to the caller before, and what put returns is what find returns."""
    key = f"{array.dtype.str} {array.shape} {array.tobytes()!r}"
    put = put_array(store, key, array, kind="array")
    found = find_array(store, key, kind="array")

    for copy in (put, found):
        assert (copy.dtype, copy.shape, copy.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert isinstance(copy, np.memmap)
        assert not copy.flags.writeable
    assert find_array(store, key + "!", kind="array") is None


def test_an_array_stays_readable_after_its_file_was_evicted(store, another):
    """The map holds the content as long as it is used."""
    held = put_array(store, "a", np.arange(1000.0), kind="array")
    another().prune(0)

    assert held.sum() == 499_500
    assert find_array(store, "a", kind="array") is None


def test_an_array_of_objects_is_refused(store):
    """It would be a pickle, which runs code on reading."""
    with pytest.raises(ValueError, match="allow_pickle=False"):
        put_array(store, "a", np.array([{}], dtype=object), kind="array")
    assert store.usage() == ()
