"""The matrix: its cells, what is unavailable or fails, how it is taken up, and what two of them say of each other."""

import json
import os
import signal
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import validate
from pydantic import TypeAdapter
from sample_graphs import images_graph
from sample_records import HERE, make_profile, make_target

from hpmkd_edge import exporting
from hpmkd_edge.bench.reference import reference_file
from hpmkd_edge.bench_change import BenchChange, compare_records
from hpmkd_edge.bench_plan import BenchWish, find_interrupted, plan_of
from hpmkd_edge.benched import BenchRecord, ChangeRecord, exit_code_of, read_bench, read_change, write_bench
from hpmkd_edge.benchmark import ONCE, measure_matrix
from hpmkd_edge.errors import BadConfiguration, BadData, BadOutput, BadReport, Interrupted, MeasurementFailed
from hpmkd_edge.export.artifact import precision_of
from hpmkd_edge.json_file import write_json
from hpmkd_edge.precision_files import MADE_UP
from hpmkd_edge.report.matrix import bench_change_sentences, flags_of
from hpmkd_edge.targets import find_target, load_targets

TIMES = {"fp32": 1, "fp16": 0.9, "int8": 1.2}


class Fake:
    """Measures by what is asked alone: the file's name, the precision, the threads. Some files cannot be run."""

    def __init__(self, broken=(), stop_after=None, factor=1.0):
        self.broken, self.stop_after, self.factor, self.calls = broken, stop_after, factor, []

    def __call__(self, paths, *, feeds, runtime, sampling, threads, precisions, host):
        self.calls.append((tuple(path.name for path in paths), sampling.name, threads))
        if sampling is not ONCE and len(self.calls) == self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        if any(path.name in self.broken for path in paths):
            raise MeasurementFailed(f"cannot run {' and '.join(path.name for path in paths)}.")
        return tuple(
            make_profile(
                ms=self.factor * (1 + ord(path.name[0]) / 100 + threads) * TIMES[precision],
                model=path.name,
                precision=precision,
                threads=threads,
            )
            for path, precision in zip(paths, precisions, strict=True)
        )


def target_of(name, threads=1, **changes):
    return replace(make_target(), name=name, threads=threads, **changes)


@pytest.fixture
def models(tmp_path):
    """Two files of one model."""
    with reference_file() as path:
        content = path.read_bytes()
    made = (tmp_path / "teacher.onnx", tmp_path / "student.onnx")
    for one in made:
        one.write_bytes(content)
    return made


@pytest.fixture
def wish(models):
    """Both on three targets, two of which share a measurement."""
    targets = (target_of("one"), target_of("again"), target_of("two", threads=2))
    return BenchWish(models=models, own=("fp32", "fp32"), targets=targets)


def timeless(record):
    return replace(record, taken_at="")


def test_targets_of_one_runtime_and_threads_share_a_measurement(wish):
    """Three targets, two groups; every cell is there, and ratios are to the target's first file."""
    fake = Fake()
    record = measure_matrix(wish, compare=fake)

    assert [call[2] for call in fake.calls] == [1, 2]
    assert [cell.key[:2] for cell in record.cells] == [
        (model, target) for target in ("one", "again", "two") for model in ("teacher.onnx", "student.onnx")
    ]
    assert [cell.against_first is None for cell in record.of_target("two")] == [True, False]


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 1, 0)])
def test_the_order_of_targets_does_not_change_the_cells(wish, order):
    """Only their own."""
    other = replace(wish, targets=tuple(wish.targets[place] for place in order))
    found = [{cell.key: cell for cell in measure_matrix(one, compare=Fake()).cells} for one in (wish, other)]

    assert found[0] == found[1]


def test_an_interrupted_matrix_that_is_taken_up_is_the_unbroken_one(wish, tmp_path):
    """The group that was under way is finished and saved, and not measured again."""
    output = tmp_path / "bench.json"
    with pytest.raises(Interrupted, match=r"1 of 2 groups .* saved. Take it up with: .* bench --resume"):
        measure_matrix(wish, output=output, compare=Fake(stop_after=1))
    assert not output.exists()
    rest = Fake()
    record = measure_matrix(find_interrupted(output), output=output, compare=rest)

    assert [call[2] for call in rest.calls] == [2]
    assert timeless(record) == timeless(measure_matrix(wish, compare=Fake()))
    assert read_bench(output) == record
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "student.onnx", "teacher.onnx"]


def test_an_interruption_in_the_last_group_loses_nothing(wish):
    """All is measured by then."""
    record = measure_matrix(wish, compare=Fake(stop_after=2))

    assert {cell.state for cell in record.cells} == {"measured"}


def test_without_an_output_an_interrupted_matrix_is_lost(wish):
    """And says so."""
    with pytest.raises(Interrupted, match="without --output nothing is kept"):
        measure_matrix(wish, compare=Fake(stop_after=1))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"protocol": "standard"}, "was begun with other --protocol; the same is needed"),
        ({"make": ("fp16",)}, "was begun with other --precision;"),
        ({"targets": (target_of("one"),)}, "was begun with other --target, or other entries of them;"),
    ],
)
def test_another_wish_is_not_taken_up(wish, tmp_path, change, sentence):
    """It would be half of one and half of the other."""
    output = tmp_path / "bench.json"
    with pytest.raises(Interrupted):
        measure_matrix(wish, output=output, compare=Fake(stop_after=1))
    with pytest.raises(BadConfiguration, match=sentence):
        measure_matrix(replace(wish, **change), output=output, compare=Fake())

    assert find_interrupted(output) == wish


def test_a_model_that_has_changed_is_not_taken_up(wish, tmp_path):
    """By its bytes."""
    output = tmp_path / "bench.json"
    with pytest.raises(Interrupted):
        measure_matrix(wish, output=output, compare=Fake(stop_after=1))
    images_graph(wish.models[1])
    with pytest.raises(BadConfiguration, match=r"student\.onnx has changed since"):
        measure_matrix(wish, output=output, compare=Fake())


def external(path, value):
    """Write a model whose weight lies in a file beside it."""
    from onnx import TensorProto, helper, numpy_helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1024]) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.full((1, 1024), value, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "outside", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.with_name("weights.bin").unlink(missing_ok=True)
    save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)


def test_a_model_whose_weights_have_changed_is_not_taken_up(wish, tmp_path):
    """They lie in a file beside the model, whose own bytes are the same."""
    output = tmp_path / "bench.json"
    external(wish.models[1], 1.0)
    before = wish.models[1].read_bytes()
    with pytest.raises(Interrupted):
        measure_matrix(wish, output=output, compare=Fake(stop_after=1))
    external(wish.models[1], 2.0)

    assert wish.models[1].read_bytes() == before
    with pytest.raises(BadConfiguration, match=r"student\.onnx has changed since"):
        measure_matrix(wish, output=output, compare=Fake())


def test_what_is_gone_is_a_sentence(wish, tmp_path):
    """A model that was deleted in between, or the rows."""
    output = tmp_path / "bench.json"
    with pytest.raises(Interrupted):
        measure_matrix(wish, output=output, compare=Fake(stop_after=1))
    with pytest.raises(BadConfiguration, match=r"no file .*rows\.npz; an \.npz of rows is needed"):
        measure_matrix(replace(wish, rows=tmp_path / "rows.npz"), output=output, compare=Fake())
    wish.models[1].unlink()
    with pytest.raises(BadConfiguration, match=r"student\.onnx is no file; an ONNX file is needed"):
        measure_matrix(wish, output=output, compare=Fake())

    assert find_interrupted(output) == wish


class Batches(Fake):
    """Each file takes a batch of its own."""

    def __call__(self, paths, **asked):
        found = super().__call__(paths, **asked)
        return tuple(replace(one, batch=place + 1) for place, one in enumerate(found))


def test_files_of_different_batches_have_no_ratio_and_a_record(wish, tmp_path):
    """What was measured is never thrown away for what cannot be compared."""
    output = tmp_path / "bench.json"
    record = measure_matrix(wish, output=output, compare=Batches())

    assert [cell.state for cell in record.cells] == ["measured"] * 6
    assert {cell.against_first for cell in record.cells} == {None}
    assert flags_of(record, "one") == (
        "student.onnx takes a batch of 2 and the first file one of 1: they have no ratio.",
    )
    assert read_bench(output) == record


def test_models_of_different_precisions_are_not_held_against_each_other(wish):
    """A slower model in int8 does not say that int8 is slower."""
    record = measure_matrix(replace(wish, own=("fp32", "int8")), compare=Fake())

    assert flags_of(record, "one") == ()


def test_a_cell_says_what_it_is_worth_on_its_target(wish):
    """A board's times are unknown where a machine that is none was reached under its host."""
    board = replace(find_target("rpi5", load_targets()), host="ssh://me@board")
    record = measure_matrix(replace(wish, targets=(wish.targets[0], board)), compare=Fake())

    assert [cell.provenance.value for cell in record.cells] == ["measured", "measured", "unknown", "unknown"]


def test_what_is_not_there_is_not_taken_up(tmp_path):
    """With what would be."""
    with pytest.raises(BadConfiguration, match=r"no interrupted benchmark at .*bench\.json\.partial"):
        find_interrupted(tmp_path / "bench.json")


def test_a_file_that_cannot_be_run_is_a_cell(wish):
    """It is found alone, and the others are measured again without it."""
    fake = Fake(broken=("teacher.onnx",))
    record = measure_matrix(replace(wish, targets=wish.targets[:1]), compare=fake)

    assert [(cell.state, cell.reason) for cell in record.cells] == [
        ("failed", "cannot run teacher.onnx."),
        ("measured", None),
    ]
    assert [call[:2] for call in fake.calls] == [
        (("teacher.onnx", "student.onnx"), "quick"),
        (("teacher.onnx",), "once"),
        (("student.onnx",), "once"),
        (("student.onnx",), "quick"),
    ]
    assert record.exit_code == 4


def test_a_file_that_onnx_runtime_cannot_read_is_a_cell(wish):
    """The rest goes on."""
    from onnx import TensorProto, helper, save

    whole = helper.make_tensor_value_info("x", TensorProto.INT64, [1])
    graph = helper.make_graph(
        [helper.make_node("Sum", ["x", "x"], ["y"])],
        "wrong",
        [whole],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(model, wish.models[0])
    record = measure_matrix(wish, compare=Fake())

    assert [cell.state for cell in record.of_target("one")] == ["failed", "measured"]
    assert "teacher.onnx" in record.cells[0].reason


def test_a_target_that_is_another_machine_is_unavailable(wish):
    """A number of this machine under its name would be wrong; the rest goes on, and its budgets are open."""
    board = find_target("rpi5", load_targets())
    record = measure_matrix(replace(wish, targets=(wish.targets[0], board)), compare=Fake())
    alone = measure_matrix(replace(wish, targets=(board,)), compare=Fake())

    assert [cell.state for cell in record.cells] == ["measured", "measured", "unavailable", "unavailable"]
    assert "rpi5 is a raspberry-pi-5, and this machine is" in record.cells[2].reason
    assert (record.exit_code, alone.exit_code) == (5, 3)
    assert flags_of(record, "rpi5") == (record.cells[2].reason,)


def test_a_runtime_that_is_missing_makes_its_target_unavailable(wish, monkeypatch):
    """Said once a cell, in the runtime's words; it is not saved, for it may be there next time."""
    monkeypatch.setattr("hpmkd_edge.bench.runtimes.tensor_rt.missing", lambda: "there is no GPU.")
    engine = target_of("engine", runtime="tensorrt", device=HERE)
    record = measure_matrix(replace(wish, targets=(engine, wish.targets[0])), compare=Fake())

    assert [cell.state for cell in record.cells] == ["unavailable", "unavailable", "measured", "measured"]
    assert "tensorrt cannot run here: there is no GPU" in record.cells[0].reason


@pytest.fixture
def images(tmp_path, monkeypatch, brief):
    """A model with weights, and rows for it."""
    monkeypatch.setattr(exporting, "isolated", lambda work, path, *given: work(path, *given))
    path, feeds = images_graph(tmp_path / "m.onnx")
    np.savez(tmp_path / "rows.npz", **feeds(80))
    return path


class Looking(Fake):
    """Keeps what precision each file has, while it is there."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __call__(self, paths, **asked):
        self.found += [precision_of(path) for path in paths]
        return super().__call__(paths, **asked)


def test_missing_precisions_are_made_and_measured(images):
    """The file as it is, halved, and in integers; without rows their answers are not to be trusted, as a note says."""
    looking = Looking()
    wish = BenchWish(models=(images,), own=("fp32",), targets=(target_of("one"),), make=("fp32", "fp16", "int8"))
    record = measure_matrix(wish, compare=looking)

    assert looking.found == ["fp32", "fp16", "int8"]
    assert [cell.precision for cell in record.cells] == looking.found
    assert record.cells[2].made == MADE_UP
    assert "made-up values" in record.notes[0]
    assert "m.onnx: int8 is slower here than fp32, by 20.0 %" in " ".join(flags_of(record, "one"))


@pytest.mark.slow
def test_int8_is_calibrated_on_rows_that_are_given(images):
    """By the code of `export`; or the cell says by how much it loses too much."""
    wish = BenchWish(
        models=(images,),
        own=("fp32",),
        targets=(target_of("one"),),
        make=("int8",),
        rows=images.with_name("rows.npz"),
    )
    (cell,) = measure_matrix(wish, compare=Fake()).cells

    assert cell.state == "measured"
    assert cell.made.startswith("calibrated by ")


def test_rows_of_another_model_are_refused(images, wish):
    """Before anything is measured."""
    other = replace(wish, make=("int8",), rows=images.with_name("rows.npz"))
    with pytest.raises(BadData, match=r"rows\.npz has no array"):
        measure_matrix(other, compare=Fake())


def test_what_is_in_fewer_bits_already_has_no_other_precision(wish):
    """The cell says so; what the file is of is measured."""
    record = measure_matrix(
        replace(wish, own=("int8", "int8"), make=("fp32", "int8"), targets=wish.targets[:1]), compare=Fake()
    )

    assert [cell.state for cell in record.cells] == ["unavailable", "measured"] * 2
    assert "teacher.onnx is of int8 already; an fp32 file is needed" in record.cells[0].reason


def test_a_model_without_weights_is_not_quantized(wish, tmp_path):
    """A failed cell, with the pass's own sentence."""
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "plain", ends[:1], ends[1:])
    path = tmp_path / "plain.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    plain = replace(wish, models=(path,), own=("fp32",), make=("fp32", "int8"), targets=wish.targets[:1])
    record = measure_matrix(plain, compare=Fake())

    assert [cell.state for cell in record.cells] == ["measured", "failed"]
    assert "int8 cannot be made of plain.onnx: " in record.cells[1].reason


@pytest.mark.parametrize("output", ["taken", "none/bench.json"])
def test_an_output_that_cannot_be_written_is_refused_at_once(wish, tmp_path, output):
    """Not after minutes."""
    (tmp_path / "taken").mkdir()
    fake = Fake()
    with pytest.raises(BadOutput, match=r"is a folder|cannot be written"):
        measure_matrix(wish, output=tmp_path / output, compare=fake)

    assert fake.calls == []


def test_names_tell_models_apart(tmp_path):
    """As many folders as it needs; a file that is given twice is numbered."""
    paths = [tmp_path / name for name in ("a/m.onnx", "b/m.onnx", "b/n.onnx", "b/n.onnx")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        images_graph(path)
    plan = plan_of(BenchWish(models=tuple(paths), own=("fp32",) * 4, targets=()))

    assert [model.name for model in plan.models] == ["a/m.onnx", "b/m.onnx", "n.onnx", "n.onnx (2)"]


STATES = st.lists(st.sampled_from(["failed", "unavailable", 0.5, 20.0]), min_size=1, max_size=5)


@given(STATES)
def test_the_exit_code_is_that_of_the_worst(states):
    """4 before 3 before 1 before 5; 3 only where nothing was measured."""
    from hpmkd_edge.benched import Cell, measured_cell
    from hpmkd_edge.verdict import judge_cost

    cells = []
    for state in states:
        if isinstance(state, str):
            cells.append(
                Cell(target="t", model="m", precision="fp32", state=state, made=None, reason="it was not there.")
            )
            continue
        profile = make_profile(ms=state)
        verdict = judge_cost(make_target(), profile=profile, model_bytes=profile.model_bytes)
        cells.append(
            measured_cell(target="t", model="m", made="as it is", profile=profile, verdict=verdict, against_first=None)
        )
    code = exit_code_of(cells)

    assert (code == 4) == ("failed" in states)
    assert (code == 3) == (set(states) == {"unavailable"})
    assert (code == 0) == (set(states) == {0.5})
    assert (code == 1) == (20.0 in states and "failed" not in states)


@pytest.fixture
def record(wish):
    """A whole matrix, one target of which is a board."""
    board = find_target("rpi5", load_targets())
    return measure_matrix(replace(wish, targets=(*wish.targets, board)), compare=Fake())


def test_a_record_is_read_back_and_follows_its_schema(record, tmp_path):
    """What is written is what the type says; nothing more, nothing less."""
    write_bench(record, tmp_path / "bench.json")
    validate(json.loads((tmp_path / "bench.json").read_text()), TypeAdapter(BenchRecord).json_schema())

    assert read_bench(tmp_path / "bench.json") == record


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("exit_code",), 0, "has the exit code 0; its cells say 5"),
        (("cells", 0, "p50_ms"), 0.1, "teacher.onnx on one in fp32 has numbers that do not follow"),
        (("cells", 0, "outcome"), "broken", "do not follow"),
        (("cells", 0, "state"), "failed", "is failed, and its profile and verdict say otherwise"),
        (("cells", 0, "reason"), "none.", "its reason says otherwise"),
        (("cells", 1, "model"), "teacher.onnx", "twice"),
        (("cells", 1, "model"), "other.onnx", "has a cell of other.onnx on one in fp32; one of every"),
        (("precisions",), ["fp32", "int8"], "has no cell of student.onnx on again in int8; one of every"),
        (("cells", 0, "speed"), 1, "speed"),
        (("schema",), "hpmkd-edge/bench/1", "has the schema 'hpmkd-edge/bench/1'; 'hpmkd-edge/bench/2' is needed"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(record, tmp_path, place, value, sentence):
    """Whoever changes a number changes a sample, or is found out."""
    plain = json.loads(json.dumps(asdict(record)))
    at = plain
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    write_json(plain, tmp_path / "bench.json")
    with pytest.raises(BadReport, match=sentence):
        read_bench(tmp_path / "bench.json")


def test_a_record_is_never_slower_than_itself(record):
    """Nor faster; what was measured in neither does not count."""
    change = compare_records(record, record)

    assert {one.verdict for one in change.cells} == {"no change"}
    assert len(change.cells) == 6
    assert change.unmeasured == ("teacher.onnx on rpi5 in fp32", "student.onnx on rpi5 in fp32")
    assert change.exit_code == 0


@pytest.mark.parametrize(
    ("factor", "verdict", "code"), [(1.2, "slower", 1), (0.8, "faster", 0), (1.06, "inconclusive", 5)]
)
def test_each_cell_has_a_verdict(wish, factor, verdict, code):
    """By the reference models of both records."""
    before = measure_matrix(wish, compare=Fake())
    slow = measure_matrix(wish, compare=Fake(factor=factor))
    # Of another day: its reference model was timed anew.
    cells = tuple(replace(cell, profile=replace(cell.profile, reference_ns=(300_001,) * 1000)) for cell in slow.cells)
    change = compare_records(before, replace(slow, cells=cells))

    assert {one.verdict for one in change.cells} == {verdict}
    assert change.exit_code == code
    validate(json.loads(json.dumps(asdict(change))), TypeAdapter(BenchChange).json_schema())


def test_what_cannot_be_compared_says_why(record, wish):
    """A file that fails now is not a file that did not become slower."""
    after = measure_matrix(wish, compare=Fake(broken=("student.onnx",)))
    other = replace(record.cells[0], profile=replace(record.cells[0].profile, runtime_version="1.32.0"))
    change = compare_records(record, replace(after, cells=(other, *after.cells[1:])))
    reasons = [one.reason for one in change.cells if one.verdict == "cannot be compared"]

    assert "come from different runtimes" in reasons[0]
    assert reasons[1] == "after it was failed: cannot run student.onnx."
    assert change.exit_code == 5
    assert change.only_before == ("teacher.onnx on rpi5 in fp32", "student.onnx on rpi5 in fp32")
    assert any(sentence.startswith("Before only: ") for sentence in bench_change_sentences(change))


def test_two_records_with_nothing_in_common_are_inconclusive(record):
    """Zero would say that nothing became slower."""
    renamed = tuple(replace(cell, model=f"new-{cell.model}") for cell in record.cells)
    change = compare_records(record, replace(record, cells=renamed))

    assert (change.cells, change.exit_code) == ((), 5)
    assert "No model, target and precision was measured in both records." in bench_change_sentences(change)


def test_a_change_is_read_back_and_follows_its_schema(tmp_path):
    """And one whose verdict is not its interval's is refused."""
    from hpmkd_edge.bench.change import change_between
    from hpmkd_edge.benched import change_record

    before, after = make_profile(), make_profile(ms=1.2)
    record = change_record(before, after, change_between(before, after))
    path = Path(tmp_path / "change.json")
    write_json(asdict(record), path)
    validate(json.loads(path.read_text()), TypeAdapter(ChangeRecord).json_schema())

    assert read_change(path) == record
    write_json({**asdict(record), "verdict": "faster"}, path)
    with pytest.raises(BadReport, match="says 'faster'; its interval says 'slower'"):
        read_change(path)
