"""The plan of steps: chosen once for a machine and a size, and kept."""

from dataclasses import replace

from sample_lessons import SETTINGS

from hpmkd_edge.distill import step_choice
from hpmkd_edge.distill.step import PLAIN, Probe, StepPlan
from hpmkd_edge.distill.step_choice import plan_for
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.students.choose import FAMILIES


def test_a_plan_is_probed_once_and_then_read_back(untaught, shape, tmp_path, monkeypatch):
    """By size and settings; what another probe would say changes nothing."""
    plans = iter([StepPlan(channels_last=True, bf16=True), PLAIN, PLAIN])
    monkeypatch.setattr(step_choice, "probe_step", lambda *_, **__: Probe(plan=next(plans), rates=()))
    family, store = FAMILIES["mlp"], open_store(tmp_path)
    small, large = family.ladder(shape)[:2]

    def plan(size, settings=SETTINGS):
        return plan_for(shape, untaught, settings, store, 0, family, size)

    assert [plan(small), plan(small)] == [StepPlan(channels_last=True, bf16=True)] * 2
    assert plan(large) == PLAIN
    assert plan(small, replace(SETTINGS, epochs=99)) == PLAIN


def test_small_students_are_computed_plainly(untaught, shape, tmp_path):
    """A batch of 8×8 digits is not worth a probe."""
    family = FAMILIES["mlp"]

    assert plan_for(shape, untaught, SETTINGS, open_store(tmp_path), 0, family, family.ladder(shape)[0]) == PLAIN
