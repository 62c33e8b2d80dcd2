"""The ablation on small real input: every arm, what it shares, what it refuses, and how it goes on."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from sample_data import blobs

from hpmkd_edge import ablation
from hpmkd_edge.ablation import Ablation, ablate, ablation_output, resume_ablation
from hpmkd_edge.errors import BadConfiguration, BadData, Interrupted
from hpmkd_edge.evidence import ARMS, read_evidence
from hpmkd_edge.json_file import write_json
from hpmkd_edge.request import Request

REQUEST = Request(student="mlp", epochs=2, accept_weak_teacher=True, command="hpmkd-edge ablate")


def with_teachers(folder, count):
    """Return a request for hard blobs with *count* teachers, whose logits are right on most rows."""
    x, y = blobs(rows=240, lift=20)
    np.savez(folder / "blobs.npz", x=x, y=y)
    generator, paths = np.random.default_rng(0), []
    for number in range(count):
        logits = 4 * np.eye(3)[y] + generator.normal(0, 1.5 + number, (len(y), 3))
        paths.append(str(folder / f"teacher-{number}.npy"))
        np.save(paths[-1], logits.astype(np.float32))
    return replace(REQUEST, data=str(folder / "blobs.npz"), teachers=tuple(paths), workers=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All arms with two teachers and two seeds; the folder and the evidence."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPMKD_EDGE_CACHE", str(folder / "cache"))
        evidence = ablate(with_teachers(folder, 2), output=folder / "out", seeds=2)
    return folder / "out", evidence


@pytest.mark.slow
def test_every_arm_is_run_with_every_seed_and_written_three_ways(whole):
    """JSON that reads back equal, Markdown and a page; the partial folder is gone."""
    folder, evidence = whole

    assert sorted(path.name for path in folder.iterdir()) == ["evidence.html", "evidence.json", "evidence.md"]
    assert read_evidence(folder / "evidence.json") == evidence
    assert [one.arm for one in evidence.summary] == list(ARMS)
    assert [len(evidence.runs_of(arm)) for arm in ARMS] == [2] * len(ARMS)
    assert evidence.basis.epochs == 2
    assert not folder.with_name("out.partial").exists()


@pytest.mark.slow
def test_an_arm_differs_from_the_full_one_where_its_component_acts(whole):
    """Fewer trainings, other winners; stages add some."""
    _, evidence = whole
    for seed in evidence.seeds:
        runs = {run.arm: run for run in evidence.runs if run.seed == seed}
        full = runs["full"]

        assert "chain" not in runs["without-chain"].won_by
        assert "attention" not in runs["without-attention"].won_by
        assert ", T by" not in runs["without-temperature"].won_by
        assert runs["without-configuration"].trainings < full.trainings
        assert runs["without-temperature"].trainings < full.trainings
        # One stage by logits, one by KD: two more.
        assert runs["with-stages"].trainings == full.trainings + 2
        assert runs["plain-kd"].student_sha256 != runs["direct"].student_sha256


@pytest.mark.slow
def test_the_plain_ways_have_the_settings_of_the_full_arm(whole):
    """Plain KD is what the search ended with; labels alone are one training more. Rivals of the race come on top."""
    _, evidence = whole
    for seed in evidence.seeds:
        runs = {run.arm: run for run in evidence.runs if run.seed == seed}
        plain, direct, full, untuned = (runs[arm] for arm in ("plain-kd", "direct", "full", "without-configuration"))

        assert evidence.basis.searched
        assert plain.trainings > 1
        assert direct.trainings == plain.trainings + 1
        assert direct.epochs == plain.epochs + evidence.basis.epochs
        # Direct training, two mixtures, a moving temperature and a chain at least, or no room for one.
        assert full.epochs - plain.epochs >= 4 * evidence.basis.epochs
        assert untuned.epochs < full.epochs
        assert runs["with-stages"].epochs == full.epochs + evidence.basis.epochs
        assert max(plain.validation_accuracy, direct.validation_accuracy) <= full.validation_accuracy


@pytest.mark.slow
def test_one_after_the_other_ships_the_same_bytes(whole):
    """Side by side is worth time, not points: the trainings are done again, and the difference is a true zero."""
    _, evidence = whole
    summary = next(one for one in evidence.summary if one.arm == "without-parallel")
    alone, full = evidence.runs_of("without-parallel"), evidence.runs_of("full")

    assert summary.word == "no difference"
    assert summary.moot is None
    assert [run.student_sha256 for run in alone] == [run.student_sha256 for run in full]
    assert [(run.trainings, run.epochs) for run in alone] == [(run.trainings, run.epochs) for run in full]
    assert [run.seconds for run in alone] != [run.seconds for run in full]


@pytest.mark.slow
def test_an_empty_memory_is_not_called_worthless(whole):
    """It holds no run on another task, so nothing was ablated: a reason, not a zero."""
    _, evidence = whole
    summary = next(one for one in evidence.summary if one.arm == "without-memory")

    assert summary.points is None
    assert "memory holds no run" in summary.moot


@pytest.mark.slow
def test_what_cannot_act_on_a_task_is_not_applicable(table_csv, tmp_path):
    """One teacher, a loss without a temperature, a component that is off anyway, one epoch for two stages.

    Where no settings are searched for, labels alone are one training.
    """
    evidence = ablate(
        replace(
            REQUEST,
            data=str(table_csv),
            label="kind",
            method="logit_mse",
            without=("chain", "configuration"),
            workers=1,
            epochs=1,
        ),
        output=tmp_path / "out",
        seeds=2,
        arms=[f"without-{name}" for name in ("attention", "temperature", "chain", "parallel")]
        + ["with-stages", "direct"],
    )
    reasons = {one.arm: one.moot for one in evidence.summary}

    assert reasons == {
        "full": None,
        "without-chain": "off in every arm (--without chain)",
        "without-attention": "one teacher",
        "without-temperature": "the loss logit_mse has no temperature",
        "without-parallel": "one worker",
        "with-stages": "an epoch cannot be divided",
        "direct": None,
    }
    assert {one.points for one in evidence.summary if one.arm != "direct"} == {None}
    assert [(run.trainings, run.epochs) for run in evidence.runs_of("direct")] == [(1, 1), (1, 1)]
    assert not evidence.basis.searched
    assert (tmp_path / "out" / "evidence.md").read_text().count("not applicable") == 5


@pytest.mark.slow
def test_a_temperature_that_stays_as_asked_is_not_ablated(tmp_path):
    """Nothing moves in the full arm either: a reason, and no verdict on the component."""
    request = replace(with_teachers(tmp_path, 1), schedule="constant", without=("memory", "configuration", "chain"))
    evidence = ablate(replace(request, epochs=1), output=tmp_path / "out", seeds=2, arms=["without-temperature"])

    assert evidence.summary[1].moot == "it stays as asked (--schedule constant)"


@dataclass
class Impatient:
    """Asks to stop from the given look on."""

    patience: int

    @property
    def asked(self):
        self.patience -= 1
        return self.patience < 0


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A request whose store is the run's own, the arms, and the evidence of a run that nobody has stopped."""
    folder = tmp_path_factory.mktemp("unbroken")
    request = replace(with_teachers(folder, 1), without=("memory", "configuration", "temperature"))
    arms = ("plain-kd", "direct")
    return request, arms, ablate(request, output=folder / "out", seeds=2, arms=arms)


@pytest.mark.slow
@pytest.mark.parametrize("patience", [0, 3, 9])
def test_an_interrupted_ablation_ends_as_an_unbroken_one(patience, unbroken, tmp_path, monkeypatch):
    """Whatever it was at: the same accuracies, winners and bytes."""
    request, arms, evidence = unbroken

    @contextmanager
    def impatiently():
        yield Impatient(patience)

    with monkeypatch.context() as patch:
        patch.setattr(ablation, "listening", impatiently)
        with pytest.raises(Interrupted, match="Take it up with: hpmkd-edge ablate --resume"):
            ablate(request, output=tmp_path / "broken", seeds=2, arms=arms)
    assert not (tmp_path / "broken").exists()
    resumed = resume_ablation(tmp_path / "broken")

    assert [replace(run, seconds=0) for run in resumed.runs] == [replace(run, seconds=0) for run in evidence.runs]
    assert resumed.teachers == evidence.teachers
    assert not (tmp_path / "broken.partial").exists()


def test_an_interrupted_ablation_stays_with_its_code(tmp_path):
    """Arms that other code trains would not compare: refused, and what is there stays."""
    (tmp_path / "out.partial").mkdir()
    begun = Ablation(
        request=replace(REQUEST, started_in=str(Path.cwd())),
        seeds=(0, 1),
        arms=("full",),
        code="0" * 64,
        commit="0123456789ab",
        started_at="2026-01-02T03:04:05+00:00",
    )
    write_json(asdict(begun), tmp_path / "out.partial" / "ablation.json")

    with pytest.raises(BadConfiguration, match=r"other code \(commit 0123456789ab\)"):
        resume_ablation(tmp_path / "out")
    assert (tmp_path / "out.partial" / "ablation.json").exists()


def test_one_seed_is_refused(tmp_path):
    """An interval needs two."""
    with pytest.raises(BadConfiguration, match="--seeds is 1; at least 2"):
        ablate(REQUEST, output=tmp_path / "out", seeds=1)


def test_an_unknown_arm_is_named_with_its_nearest(tmp_path):
    """A slip of the finger costs no training."""
    with pytest.raises(BadConfiguration, match=r"no arm 'without-chains'. Did you mean 'without-chain'"):
        ablate(REQUEST, output=tmp_path / "out", arms=["without-chains"])


def test_an_unknown_size_is_named_and_leaves_nothing_behind(tmp_path):
    """The ladder is known before anything is trained."""
    with pytest.raises(BadConfiguration, match="no size '7x7'"):
        ablate(replace(with_teachers(tmp_path, 1), size="7x7"), output=tmp_path / "out")

    assert not list(tmp_path.glob("out*"))


def test_bad_data_leaves_nothing_behind(tmp_path):
    """A folder that holds nothing would be in the way of the next try."""
    with pytest.raises(BadData, match=r"nowhere\.csv"):
        ablate(replace(REQUEST, data="nowhere.csv", label="y"), output=tmp_path / "out")

    assert not list(tmp_path.glob("out*"))


def test_nothing_to_take_up_is_said(tmp_path):
    """Also where a run of another command lies."""
    (tmp_path / "other.partial").mkdir()
    (tmp_path / "other.partial" / "request.json").write_text("{}")

    with pytest.raises(BadConfiguration, match="no interrupted ablation"):
        resume_ablation(tmp_path / "other")
    with pytest.raises(BadConfiguration, match="no interrupted ablation"):
        resume_ablation(Path("/"))


def test_the_usual_folder_is_named_by_the_data():
    """Beside those of compress."""
    assert ablation_output(Request(data="some/things.csv")).name.startswith("things-ablation-")
