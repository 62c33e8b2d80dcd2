"""Pages of a profile, a benchmark, a comparison and the history: their text, their numbers, and in a real browser."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.graph_objects import Figure
from sample_pages import samples
from sample_records import BOARD, make_host, make_profile, make_target

from hpmkd_edge.bench.change import change_between
from hpmkd_edge.bench.profile import State, write_profile
from hpmkd_edge.bench_change import compare_records
from hpmkd_edge.benched import (
    BenchRecord,
    Cell,
    Model,
    against,
    change_record,
    exit_code_of,
    measured_cell,
    write_bench,
)
from hpmkd_edge.errors import BadReport
from hpmkd_edge.history import entry_of, keep
from hpmkd_edge.json_file import write_json
from hpmkd_edge.report.documents import find_document, find_history
from hpmkd_edge.report.layout import Layout
from hpmkd_edge.report.pages import bench, change, history, profile
from hpmkd_edge.report.pages.plots import ROOM, in_rows, shortened
from hpmkd_edge.verdict import Provenance, judge_cost

CHROMIUM = shutil.which("chromium")
HOSTILE = "</script><img src=x onerror=alert(1)><b>.onnx"
KINDS = {"fp32": 1.0, "fp16": 0.7, "int8": 1.4}
STATE = State(clock_mhz=2600.0, gpu_clock_mhz=None, temperature_c=None, load_average=0.2, affinity=(0, 1))


def make_bench(name="teacher.onnx", factor=1.0):
    """Two models in three precisions on two targets, one of which is a board that is not here."""
    cells, first = [], None
    for model, ms in ((name, 2.0), ("student.onnx", 0.5)):
        for precision, times in KINDS.items():
            taken = make_profile(
                model=model,
                precision=precision,
                samples_ns=samples(1000, ms * times * factor),
                reference_ns=samples(1000, 0.3),
                model_bytes=int(ms * 1e6 / times),
            )
            first = first or taken
            cells.append(
                measured_cell(
                    target="host",
                    model=model,
                    made="as it is",
                    profile=taken,
                    verdict=judge_cost(make_target(), profile=taken, model_bytes=taken.model_bytes),
                    against_first=None if taken is first else against(first, taken),
                    provenance=Provenance.MEASURED,
                )
            )
    cells += [
        Cell(
            target="rpi5",
            model=cell.model,
            precision=cell.precision,
            state="unavailable",
            made=None,
            reason="Away.",
        )
        for cell in cells
    ]
    return BenchRecord(
        tool_version="0.1.0",
        taken_at="2026-01-01T00:00:00+00:00",
        protocol="quick",
        models=tuple(Model(name=one, path=one, sha256="5" * 64, precision="fp32") for one in (name, "student.onnx")),
        targets=("host", "rpi5"),
        precisions=tuple(KINDS),
        exit_code=exit_code_of(cells),
        notes=("int8 was calibrated on made-up values.",),
        cells=tuple(cells),
    )


def make_profile_of_runs():
    return make_profile(
        model=HOSTILE,
        samples_ns=samples(900),
        reference_ns=samples(900, 0.3),
        runs=(300, 300, 300),
        processes=3,
        states=(STATE,) * 6,
    )


def make_change():
    before, after = (
        make_profile(model=HOSTILE, samples_ns=samples(1000, ms), reference_ns=samples(1000, 0.3)) for ms in (1.0, 1.3)
    )
    return change_record(before, after, change_between(before, after))


def make_history():
    days = [
        make_profile(ms=1 + day / 10, model=HOSTILE, taken_at=f"2026-01-0{day}T00:00:00+00:00", runtime_version=version)
        for day, version in ((1, "1.30.0"), (2, "1.31.0"), (3, "1.31.0"))
    ]
    entries = [entry_of(one, target=make_target()) for one in days]
    return (*entries, entry_of(make_profile(host=make_host(model="Other CPU")), target=make_target()))


PAGES = {
    "profile": (profile, make_profile_of_runs),
    "bench": (bench, lambda: make_bench(HOSTILE)),
    "change": (change, make_change),
    "matrix-change": (change, lambda: compare_records(make_bench(HOSTILE), make_bench(HOSTILE, factor=1.3))),
    "history": (history, make_history),
}


@pytest.fixture(params=PAGES)
def case(request):
    """A module with a record of its kind."""
    module, make = PAGES[request.param]
    return module, make()


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def data_of(text):
    return json.loads(text.split('id="data">')[1].split("</script>")[0])


def test_no_name_is_markup(case):
    """In the page, nor in Markdown."""
    module, record = case
    page, document = module.to_html(record), module.to_markdown(record)

    assert "<img src=x" not in page.split("<main")[1].split("<footer")[0]
    assert "<img" not in document.replace("\\<img", "")
    assert document.startswith("# ")
    assert document.endswith("\n")


def test_cells_are_the_rows_of_the_table():
    """One each, measured or not, with the numbers in full."""
    record = make_bench()
    rows = rows_of(bench.to_csv(record))

    assert len(rows) == len(record.cells) == 12
    assert [float(row["p50_ms"]) for row in rows[:6]] == [cell.p50_ms for cell in record.cells[:6]]
    assert {(row["state"], row["p50_ms"]) for row in rows[6:]} == {("unavailable", "")}


def test_the_points_of_the_plots_are_the_cells():
    """Every measured one, and what nothing beats is on the line."""
    record = make_bench()
    cells = record.of_target("host")
    drawn = bench.against_size(cells)
    best = bench.undominated(cells)

    assert sorted(y for trace in drawn.data[1:] for y in trace.y) == sorted(cell.p50_ms for cell in cells)
    assert [trace.x[0] for trace in bench.dots(cells).data] == [cell.p50_ms for cell in cells]
    assert not any(
        other.p50_ms <= one.p50_ms and other.profile.model_bytes < one.profile.model_bytes
        for one in best
        for other in cells
    )
    assert list(drawn.data[0].y) == [cell.p50_ms for cell in best]


def test_the_slowest_of_a_target_is_the_darkest():
    """And the text stays; what was not measured says so."""
    grid = bench.by_target(make_bench())

    assert f"{bench.DEEPEST}%" in grid.rows[2][2]
    assert f"{make_bench().cells[2].p50_ms:.2f} ✓" in grid.rows[2][2]
    assert "unavailable" in grid.rows[2][3]


def test_a_page_holds_the_record_without_its_samples():
    """They are in the file, and would make it megabytes."""
    record = make_bench()
    found = data_of(bench.to_html(record))
    plain = json.loads(json.dumps(asdict(record)))
    for cell in plain["cells"]:
        for name in ("samples_ns", "reference_ns") if cell["profile"] else ():
            del cell["profile"][name]

    assert found == plain


def test_every_run_of_a_profile_is_a_row():
    """With its process, and the reference model's run beside it."""
    record = make_profile_of_runs()
    rows = rows_of(profile.to_csv(record))

    assert [float(row["ms"]) for row in rows] == [ns / 1e6 for ns in record.samples_ns]
    assert [row["process"] for row in rows[299:301]] == ["1", "2"]


@pytest.mark.parametrize("count", [1, 2, 299, 300, 301, 4321])
def test_blocks_are_all_runs_once(count):
    """At most 300; of one there is the median of all."""
    times = samples(count)
    ends, medians = profile.blocks(times)
    (everything,) = profile.blocks(times, 1)[1]

    assert len(ends) == len(medians) == min(count, profile.BLOCKS)
    assert ends[-1] == count
    assert everything == pytest.approx(sorted(times)[count // 2] / 1e6, rel=0.05)


def test_a_block_is_drawn_over_its_own_runs():
    """Its mark is its end, so its line lies before that."""
    assert {trace.line.shape for trace in profile.over_time(make_profile_of_runs()).data} == {"vh"}


def test_a_bench_names_its_machine_and_what_its_times_are_worth():
    """In each heading, with a badge and a table; flags are told at the top."""
    record = make_bench()
    page = bench.to_html(record)
    calm = replace(record, cells=tuple(replace(cell, flags=()) for cell in record.cells))

    assert 'host: onnxruntime 1.31.0 on Some CPU at 2 GHz <span class="badge measured">' in page
    assert 'id="environment-1"' in page
    assert "6 of 6 latencies are not valid for a gate" in page.split('id="by-target"')[0]
    assert "latencies are not valid for a gate" not in bench.to_html(calm)
    assert {row["provenance"] for row in rows_of(bench.to_csv(record))} == {"measured", ""}


@given(st.text("abc", max_size=80), st.text("123 ms", max_size=40))
def test_a_row_never_loses_its_value(name, value):
    """Of a long name the middle goes, on a line of its own."""
    drawn = in_rows(Figure(), [(name, value)], "ms").layout.annotations[0].text

    assert drawn.endswith(value)
    assert max(map(len, drawn.split("\n"))) <= ROOM
    assert (name in drawn) == (len(name) <= ROOM)


def test_a_shortened_name_keeps_both_ends():
    """Versions and precisions stand at the end."""
    short = shortened("a-rather-long-teacher-model-name-v2.onnx, int8", 20)

    assert (len(short), short) == (20, "a-rather-l…nnx, int8")


@pytest.mark.parametrize("runs", [0, 1, 5, 63])
def test_a_profile_of_few_runs_has_a_page(runs):
    """Without a plot of nothing, and without a number that so few do not tell."""
    few = replace(make_profile(), samples_ns=(1_000_000,) * runs, reference_ns=(300_000,) * runs)
    page = profile.to_html(few)

    assert ('id="distribution"' in page) == (runs > 0)
    assert f"{runs} runs, too few for a bound of the p90" in page


@pytest.mark.parametrize(("factor", "kind"), [(1.0, "met"), (1.3, "broken"), (1.06, "inconclusive")])
def test_a_change_has_the_banner_of_its_verdict(factor, kind):
    """Not slower is met; what cannot be told is neither."""
    before, after = make_profile(), make_profile(ms=factor, reference_ns=(300_001,) * 1000)
    page = change.to_html(change_record(before, after, change_between(before, after)))

    assert f'class="banner {kind}"' in page


def test_the_trend_has_every_measurement_and_every_change_of_version():
    """A line for each precision and machine, a mark where a version changed."""
    entries = make_history()[:3]
    drawn = history.trend(entries, "p90_bound_ms")

    assert sorted(y for trace in drawn.data for y in trace.y) == sorted(one.p90_bound_ms for one in entries)
    assert len(drawn.data) == 1
    assert [row[0] for row in history.versions(entries).rows] == ["2026-01-02 00:00:00"]
    assert len(drawn.layout.shapes) == 1
    assert len(rows_of(history.to_csv(entries))) == len(entries)


def test_a_single_measurement_is_no_trend():
    """It is in the table, and no plot shows a line of it."""
    page = history.to_html([entry_of(make_profile(), target=make_target())])

    assert "No trend yet" in page
    assert 'class="plot"' not in page


def test_a_number_of_this_machine_is_never_headed_as_the_board_s():
    """The heading has the machine, and says that it is not the target."""
    days = [make_profile(taken_at=f"2026-01-0{day}T00:00:00+00:00") for day in (1, 2)]
    page = history.to_html([entry_of(one, target=make_target(device=BOARD)) for one in days])
    heading = "student.onnx for board, measured on Some CPU at 2 GHz, not board"

    assert f'<h2>{heading} <span class="badge unknown">' in page


def test_another_runtime_is_another_line_and_a_change():
    """Each is named by what tells it from the other."""
    days = [
        make_profile(taken_at=f"2026-01-0{day}T00:00:00+00:00", runtime=runtime, runtime_version=version)
        for day, runtime, version in ((1, "onnxruntime", "1.31.1"), (2, "tensorrt", "10.3.0"))
    ]
    entries = [entry_of(one, target=make_target(runtime=one.runtime)) for one in days]

    assert [trace.name for trace in history.trend(entries, "p90_bound_ms").data] == [
        "fp32, onnxruntime",
        "fp32, tensorrt",
    ]
    assert [row[-1] for row in history.versions(entries).rows] == ["onnxruntime 1.31.1 → tensorrt 10.3.0"]


def test_records_are_found_by_what_they_say_they_are(tmp_path):
    """Each becomes a page beside it; the history lies in the memory."""
    write_profile(make_profile(), tmp_path / "profile.json")
    write_bench(make_bench(), tmp_path / "bench.json")
    write_json(asdict(make_change()), tmp_path / "change.json")
    write_json(asdict(compare_records(make_bench(), make_bench())), tmp_path / "matrix.json")
    for name in ("profile", "bench", "change", "matrix"):
        document = find_document(tmp_path / f"{name}.json")

        assert document.page == tmp_path / f"{name}.html"
        assert document.lay_out(Layout.HTML, tmp_path).startswith("<!doctype html>")
        written = json.loads((tmp_path / f"{name}.json").read_text())
        assert json.loads(document.lay_out(Layout.JSON, tmp_path)) == written


def test_the_history_is_found_in_the_memory(tmp_path):
    """Of a model, or of all; what is not there is refused with what is."""
    with pytest.raises(BadReport, match="no measurement; profile, bench and compress keep"):
        find_history(None, None)
    keep(*make_history())
    found = json.loads(find_history("student.onnx", None).lay_out(Layout.JSON, tmp_path))

    assert len(found["measurements"]) == 1
    with pytest.raises(BadReport, match=r"of 'techer\.onnx' on 'host'; it has .*student\.onnx"):
        find_history("techer.onnx", "host")


PHONE, SCREEN = {"width": 375, "height": 812}, {"width": 1440, "height": 900}
CUT = """() => [...document.querySelectorAll(".plot svg text")].filter((text) => {
  const box = text.getBoundingClientRect();
  return box.left < -1 || box.right > innerWidth + 1;
}).map((text) => text.textContent)"""
LONG = "a-rather-long-teacher-model-name-for-the-edge-v2.onnx"
DRAWN = "[...document.querySelectorAll('.plot')].every((plot) => plot.data)"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_only_itself_and_fits_its_window(browser, tmp_path, name):
    """No request but for the file, no word in the console, nothing wider than a phone or a screen."""
    module, make = PAGES[name]
    path = tmp_path / "page.html"
    path.write_text(module.to_html(make()), encoding="utf-8")
    page, asked, said, widths = browser.new_page(viewport=PHONE), [], [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    while not page.evaluate(DRAWN):
        page.wait_for_timeout(25)
    for viewport in (PHONE, SCREEN):
        page.set_viewport_size(viewport)
        page.wait_for_timeout(150)
        widths.append(page.evaluate("document.documentElement.scrollWidth"))
    page.close()

    assert (asked, said, widths) == ([path.as_uri()], [], [375, 1440])


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize("make", [lambda: bench.to_html(make_bench(LONG)), lambda: change.to_html(long_change())])
def test_no_text_of_a_figure_runs_off_a_phone(browser, tmp_path, make):
    """However long the name; its value is there in full."""
    path = tmp_path / "page.html"
    path.write_text(make(), encoding="utf-8")
    page = browser.new_page(viewport=PHONE)
    page.goto(path.as_uri())
    while not page.evaluate(DRAWN):
        page.wait_for_timeout(25)
    page.wait_for_timeout(150)
    cut, texts = page.evaluate(CUT), page.locator(".plot").first.text_content()
    page.close()

    assert cut == []
    assert "…" in texts
    assert "ms, p90 ≤" in texts or "%, slower" in texts


def long_change():
    return compare_records(make_bench(LONG), make_bench(LONG, factor=1.3))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_cells_are_sorted_by_their_time(browser, tmp_path):
    """By the header, as numbers; what has none comes last."""
    record = replace(make_bench(), notes=())
    path = tmp_path / "page.html"
    path.write_text(bench.to_html(record), encoding="utf-8")
    page = browser.new_page(viewport=SCREEN)
    page.goto(path.as_uri())
    page.click("#cells thead button:has-text('p50 ms')")
    shown = page.eval_on_selector_all("#cells tbody tr", "rows => rows.map((row) => row.cells[3].textContent.trim())")
    page.close()

    assert [float(one) for one in shown[:6]] == sorted(float(one) for one in shown[:6])
    assert set(shown[6:]) == {"–"}
