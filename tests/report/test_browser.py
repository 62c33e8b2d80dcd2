"""Pages in a real browser, from disk: what they load, show and sort, on a phone, on a screen, on paper, in the dark."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest
from sample_evidence import make_evidence
from sample_pages import make_run
from sample_records import BOARD, make_report, make_target

from hpmkd_edge.report.pages import ablation, run
from hpmkd_edge.report.points import points_of

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]
PHONE, SCREEN, A4 = {"width": 375, "height": 812}, {"width": 1440, "height": 900}, {"width": 687, "height": 972}
HOSTILE = "</script><img src=x onerror=alert(1)><b>&lt;"
# Of what has a text of its own: its color over the nearest ground behind it, by WCAG's formula; the least first.
CONTRASTS = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => color.slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length || element.closest("script, style")) continue;
    const style = getComputedStyle(element);
    const ink = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const [light, dark] = [luminance(parts(ink)), luminance(ground(element))].sort((a, b) => b - a);
    found.push([(light + 0.05) / (dark + 0.05), element.textContent.trim().slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""
# What reaches beyond the window, but for what scrolls in a box of its own or is put aside for screen readers.
TOO_WIDE = """() => [...document.querySelectorAll("body *")].filter((element) => {
  if (element.getBoundingClientRect().right <= innerWidth + 1) return false;
  if (element.closest(".skip, .unseen") || element.parentElement.closest("svg")) return false;
  const box = element.closest(".scroll");
  return !(box && box !== element && getComputedStyle(box).overflowX === "auto");
}).map((element) => element.outerHTML.slice(0, 80))"""
DRAWN = "[...document.querySelectorAll('.plot')].every((plot) => plot.data)"
ALL_OPEN = "!document.querySelector('details:not([open])')"


def until(page, expression):
    """Wait for *expression*; Playwright's own way would have the page evaluate text, which its policy forbids."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"{expression} does not come true")


class Seen:
    """A page that is open, with what it asked for and what it said."""

    def __init__(self, page):
        self.page, self.requests, self.said = page, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report():
    return make_run()


@pytest.fixture(scope="module")
def pages(tmp_path_factory, report):
    folder = tmp_path_factory.mktemp("pages")
    hostile = replace(report, student=replace(report.student, size=HOSTILE), notes=(HOSTILE,))
    for name, text in (
        ("run", run.to_html([report])),
        ("targets", run.to_html([report, make_report(make_target(device=BOARD))])),
        ("ablation", ablation.to_html(make_evidence())),
        ("hostile", run.to_html([hostile])),
    ):
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def show(browser, pages):
    opened = []

    def open_page(name, viewport=SCREEN, **options):
        seen = Seen(browser.new_page(viewport=viewport, **options))
        opened.append(seen.page)
        seen.page.goto((pages / f"{name}.html").as_uri())
        until(seen.page, DRAWN)
        return seen

    yield open_page
    for page in opened:
        page.close()


@pytest.fixture(scope="module")
def page(browser, pages):
    """The page of the run, for tests that leave it as it is but for the order of rows."""
    opened = browser.new_page(viewport=SCREEN)
    opened.goto((pages / "run.html").as_uri())
    until(opened, DRAWN)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", ["run", "targets", "ablation", "hostile"])
def test_a_page_needs_only_itself_and_fits_its_window(show, pages, name):
    """No request but for the file, no word in the console, and nothing wider than a phone or a screen."""
    seen = show(name, PHONE)
    for viewport in (PHONE, SCREEN):
        seen.page.set_viewport_size(viewport)
        until(seen.page, "[...document.querySelectorAll('.plot svg')].every((svg) => svg.clientWidth <= innerWidth)")

        assert seen.page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        assert seen.page.evaluate(TOO_WIDE) == []

    assert seen.requests == [(pages / f"{name}.html").as_uri()]
    assert seen.said == []


def test_the_plotted_points_are_the_record_s(page, report):
    """What Plotly holds, by the places of the points in the page's own data."""
    drawn = page.evaluate("document.getElementById('pareto-1').data.filter((trace) => trace.customdata)")
    points = json.loads(page.evaluate("document.getElementById('data').textContent"))["reports"][0]["points"]
    found = {place: (x, y) for one in drawn for place, x, y in zip(one["customdata"], one["x"], one["y"], strict=True)}
    timed = {
        place: (one["p90_ms"], 100 * one["accuracy"])
        for place, one in enumerate(points)
        if one["p90_ms"] and one["file_bytes"]
    }

    assert found == timed
    assert len(points) == len(points_of(report))


@pytest.mark.parametrize("press", ["click", "Enter", "Space"])
def test_a_table_sorts_by_its_header(page, press):
    """Up and then down, numbers as numbers, what has none last; the header says which."""
    page.locator("#points-1 thead button", has_text="model").click()
    head = page.locator("#points-1 thead th", has_text="parameters")
    orders = []
    for _ in range(2):
        if press == "click":
            head.locator("button").click()
        else:
            head.locator("button").focus()
            page.keyboard.press(press)
        cells = page.locator("#points-1 tbody tr").evaluate_all("(rows) => rows.map((row) => row.cells[5].textContent)")
        numbers = [int(cell.replace(",", "")) for cell in cells if cell != "–"]
        assert "–" not in cells[: len(numbers)]
        orders.append((head.get_attribute("aria-sort"), numbers))
    (up, rising), (down, falling) = orders

    assert (up, down) == ("ascending", "descending")
    assert rising == sorted(rising)
    assert falling == sorted(rising, reverse=True)
    assert len({len(str(number)) for number in rising}) > 1


def test_a_table_sorts_by_words(page):
    """A column of names is in the order of the alphabet, and its other headers say nothing."""
    page.locator("#points-1 thead button", has_text="role").click()
    roles = page.locator("#points-1 tbody tr").evaluate_all("(rows) => rows.map((row) => row.cells[1].textContent)")
    states = page.locator("#points-1 thead th").evaluate_all("(heads) => heads.map((one) => one.ariaSort)")

    assert roles == sorted(roles)
    assert states.count("ascending") == 1


def test_the_keyboard_reaches_everything(show):
    """First the way past the header; each stop can be seen."""
    page = show("run", PHONE).page
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate(
                "(() => { const at = document.activeElement; const style = getComputedStyle(at);"
                " return [at.tagName, at.className, style.outlineStyle !== 'none'] })()"
            )
        )

    assert stops[0][:2] == ["A", "skip"]
    assert {"BUTTON", "SUMMARY", "DIV"} <= {tag for tag, _, _ in stops}
    assert all(seen for tag, _, seen in stops if tag != "BODY")


@pytest.mark.parametrize("name", ["run", "targets", "ablation"])
def test_paper_cuts_nothing_off(show, name):
    """At the width of A4 nothing is wider, all is open, and it is as many pages as its height."""
    seen = show(name, A4, color_scheme="dark")
    closed = seen.page.locator("details:not([open])").count()
    seen.page.emulate_media(media="print")
    until(seen.page, ALL_OPEN)
    wide, ground = seen.page.evaluate(TOO_WIDE), seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    height = seen.page.evaluate("document.documentElement.scrollHeight")
    pages = len(re.findall(rb"/Type /Page\b", seen.page.pdf(prefer_css_page_size=True)))
    seen.page.emulate_media(media="screen")
    until(seen.page, f"!({ALL_OPEN})")

    assert wide == []
    assert ground == "rgb(255, 255, 255)"
    assert height / 1100 <= pages <= 2 + height / 700
    # What was folded is folded again.
    assert seen.page.locator("details:not([open])").count() == closed


@pytest.mark.parametrize("name", ["targets", "ablation"])
def test_every_text_stands_out(show, name):
    """By 4.5 to 1 at least, in light and dark, in figures too."""
    page = show(name).page
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        contrasts = page.evaluate(CONTRASTS)

        assert len(contrasts) > 100
        assert contrasts[0][0] >= 4.5, contrasts[:5]


def test_the_data_is_saved_without_a_network(page, report):
    """The button hands out what the page holds."""
    with page.expect_download() as waiting:
        page.locator("#download").click()
    saved = json.loads(waiting.value.path().read_text(encoding="utf-8"))

    assert waiting.value.suggested_filename == "report.json"
    assert saved["reports"][0]["run_id"] == report.run_id


def test_a_hostile_name_does_nothing(show):
    """No image, no bold text, no dialog; the name is read as it was given."""
    seen = show("hostile")
    dialogs = []
    seen.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    last = "document.getElementById('pareto-1').data.length - 1"
    seen.page.evaluate(f"Plotly.Fx.hover('pareto-1', [{{ curveNumber: {last}, pointNumber: 0 }}])")
    hover = seen.page.locator("#pareto-1 .hoverlayer").text_content()

    assert seen.page.locator("img, b").count() == 0
    assert seen.page.locator("tspan[style*='bold']").count() == 0
    assert dialogs == []
    assert HOSTILE in hover
    assert seen.page.locator(".note").first.text_content() == HOSTILE
