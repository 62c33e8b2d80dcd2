"""TensorBoard's own reader finds every epoch, once, at its time; and what came of the run."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hpmkd_edge.tracking import tensorboard


def read(folder):
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_every_epoch_is_a_step_of_its_training(place, entries):
    """Below its target or `shared`, while the run goes on; on labels alone there is no temperature."""
    box, told = place("box"), tensorboard.open_tracker(place("box"))
    told.draw([*entries(1, 2), *entries(1, scope="box", training="kd-2", temperature=None)])
    found = read(box.partial / "tensorboard/shared/direct-1")

    assert [(one.wall_time, one.step, one.value) for one in found.Scalars("loss")] == [(1001, 1, 1), (1002, 2, 0.5)]
    assert [one.value for one in found.Scalars("accuracy")] == [0.125, 0.25]
    assert [one.value for one in found.Scalars("temperature")] == [4, 4]
    assert read(box.partial / "tensorboard/box/kd-2").Tags()["scalars"] == ["loss", "accuracy", "learning_rate"]
    told.close("interrupted")


def test_a_resumed_run_has_no_step_twice(place, entries):
    """All is written anew, those of the earlier sitting too."""
    first = tensorboard.open_tracker(place("box"))
    first.draw(entries(1, 2, 3))
    first.close("interrupted")
    second = tensorboard.open_tracker(place("box"))
    second.draw(entries(1, 2, 3, 4))
    second.close("finished")
    found = read(place("box").made / "tensorboard/shared/direct-1")

    assert [one.step for one in found.Scalars("loss")] == [1, 2, 3, 4]
    assert not (place("box").partial / "tensorboard").exists()


def test_the_outcome_is_text_numbers_and_hyperparameters(place, summary):
    """Settings that are numbers or truth values are such."""
    told = tensorboard.open_tracker(place("box"))
    told.summarize(summary("box"))
    told.close("finished")
    found = read(place("box").made / "tensorboard/box")
    tags = found.Tags()

    assert found.Tensors("summary/text_summary")[0].tensor_proto.string_val == [b"**met**"]
    assert b"commit: `abc`" in found.Tensors("tags/text_summary")[0].tensor_proto.string_val[0]
    assert [(one.step, one.value) for one in found.Scalars("summary/test_accuracy")] == [(0, pytest.approx(0.875))]
    assert set(tags["scalars"]) == {"summary/test_accuracy", "summary/p90_bound_ms"}
    assert set(found.PluginTagToContent("hparams")) >= {"_hparams_/experiment", "_hparams_/session_start_info"}
    assert tensorboard._typed("0.5") == 0.5
    assert tensorboard._typed("False") is False
    assert tensorboard._typed("kd") == "kd"
