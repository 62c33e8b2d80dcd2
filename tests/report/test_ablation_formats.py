"""The evidence of an ablation for people: Markdown, a terminal, a page."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest
from sample_evidence import make_evidence

from hpmkd_edge.evidence import ARMS, FULL
from hpmkd_edge.report.ablation_text import compared, part, show, to_markdown
from hpmkd_edge.report.figures import share, signed
from hpmkd_edge.report.pages.ablation import to_html

HOSTILE = "</script><img src=x onerror=alert(1)>|`*{{ 7*7 }}"


class Text(HTMLParser):
    """The tags of a page, and what it shows."""

    def __init__(self):
        super().__init__()
        self.tags, self.shown, self.sources = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href", "srcset")]

    def handle_data(self, data):
        if self.tags and self.tags[-1] not in ("script", "style"):
            self.shown.append(data)


def read(page):
    parser = Text()
    parser.feed(page)
    return parser


@pytest.fixture(scope="module")
def page():
    return to_html(make_evidence())


@pytest.mark.parametrize("form", [to_markdown, to_html])
def test_every_arm_is_there_with_its_figures(form):
    """Gains, intervals, accuracies, words and reasons, of each arm."""
    evidence = make_evidence()
    text = unescape(form(evidence))

    for one in evidence.summary:
        assert ARMS[one.arm] in text
        if one.word is not None:
            assert compared(one.arm) in text
            assert part(one.arm) in text
            assert signed(one.points) in text
            assert f"{signed(one.low)} to {signed(one.high)}" in text
            assert one.word in text
        if one.moot is None:
            assert share(one.accuracy) in text
        else:
            assert f"not applicable: {one.moot}" in text


@pytest.mark.parametrize("form", [to_markdown, to_html])
@pytest.mark.parametrize(("searched", "sentence"), [(True, "search chose"), (False, "No settings were searched for")])
def test_a_reader_learns_what_the_plain_ways_were_given(form, searched, sentence):
    """Whose settings they have, and what every arm was trained in all, in trainings of all epochs."""
    evidence = make_evidence()
    text = unescape(form(replace(evidence, basis=replace(evidence.basis, searched=searched))))

    assert sentence in text
    assert "every training of every arm" not in text
    assert "full pipeline 14, as long as 8.9 full ones" in text
    assert "plain KD 3, as long as 2.5 full ones" in text


def test_markdown_keeps_a_hostile_name_a_name():
    """No markup, and no new cell: each row of a table has the cells of its header."""
    text = to_markdown(make_evidence(name=HOSTILE, teacher=HOSTILE, note=HOSTILE))

    assert "<img" not in text.replace("\\<img", "")
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1


def test_a_page_keeps_a_hostile_name_a_name():
    """Shown as it is, without an element of its own; the template does not run it."""
    page = read(to_html(make_evidence(name=HOSTILE, teacher=HOSTILE, note=HOSTILE)))

    assert "img" not in page.tags
    assert sum(HOSTILE in text for text in page.shown) >= 4
    assert page.tags.count("script") == read(to_html(make_evidence())).tags.count("script")


def test_a_page_needs_nothing_beside_it(page):
    """No source, no link but within it; Plotly's script is there once, and three figures."""
    parsed = read(page)

    assert parsed.sources == ["#main"]
    assert "link" not in parsed.tags
    assert page.count("plotly.js v") == 1
    assert all(f'data-figure="{name}"' in page for name in ("forest", "strip", "times"))


def test_a_page_is_for_light_and_dark_narrow_and_wide(page):
    """It says so to the browser, and tables scroll by themselves."""
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page
    assert page.count('<div class="scroll">') == page.count("<table")


@pytest.mark.parametrize("width", ["80", "160"])
def test_a_terminal_shows_all_arms(width, capsys, monkeypatch):
    """Within the width, whatever it is."""
    monkeypatch.setenv("COLUMNS", width)
    show(make_evidence())
    text = capsys.readouterr().out

    assert max(map(len, text.splitlines())) <= int(width)
    for arm in ARMS:
        assert ARMS[arm] in text
        assert arm == FULL or part(arm) in text
