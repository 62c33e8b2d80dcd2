"""Pages as text: what a name may not become, what the data holds, what is drawn and what is left out."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_pages import make_run, samples
from sample_records import BOARD, make_foretold, make_profile, make_report, make_target

from hpmkd_edge.record import Report
from hpmkd_edge.report.pages import latency, pareto, run
from hpmkd_edge.report.pages.chain import nodes_of
from hpmkd_edge.report.pages.frame import badge, figure, page, section, table
from hpmkd_edge.report.points import dominated, points_of
from hpmkd_edge.report.rows import Grid
from hpmkd_edge.verdict import Outcome, Provenance

HOSTILE = "</script><img src=x onerror=alert(1)><b>|`*{{ 7*7 }}&lt;\n%{x}"
MAX_BYTES = 6e6


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text in each script."""

    def __init__(self):
        super().__init__()
        self.found, self.scripts, self.texts = [], [], []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "script":
            self.scripts.append((self.found[-1][1], data))
        else:
            self.texts.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]

    def json(self, **attributes):
        found = [text for own, text in self.scripts if attributes.items() <= own.items()]
        return json.loads("".join(found))


def read(text):
    parser = Elements()
    parser.feed(text)
    return parser


def named(report: Report, name: str) -> Report:
    """Return *report* with every name that a user may have given, or that follows from one, replaced by *name*."""
    turns = tuple(
        replace(
            turn,
            reason=name,
            chain=(name,) * len(turn.chain),
            rivals=tuple(replace(rival, name=f"{name}{place}") for place, rival in enumerate(turn.rivals)),
            components=tuple(replace(one, component=name, sentence=name) for one in turn.components),
            members=tuple(replace(one, size=name) for one in turn.members),
        )
        for turn in report.rounds
    )
    answers = replace(
        report.answers,
        classes=tuple(replace(one, name=name) for one in report.answers.classes),
        disagreements=tuple(replace(one, label=name, teacher=name) for one in report.answers.disagreements),
    )
    return replace(
        report,
        target=name,
        command=name,
        data=replace(report.data, name=name, source=name),
        teachers=tuple(replace(one, name=name, preprocessing=name) for one in report.teachers),
        settings=((name, name),),
        rounds=turns,
        student=replace(report.student, size=name, won_by=name),
        verdict=replace(report.verdict, target=name),
        answers=answers,
        board_command=name,
        notes=(name,),
    )


@pytest.fixture(scope="module")
def whole():
    return run.to_html([make_run()])


def test_a_hostile_name_stays_a_name_everywhere():
    """The page has the same elements as with harmless names, no image, and shows the name as it is."""
    hostile, harmless = (
        read(run.to_html([named(make_run(), name)], links=[(f"{name}/report.json",)])) for name in (HOSTILE, "a name")
    )

    assert [tag for tag, _ in hostile.found] == [tag for tag, _ in harmless.found]
    assert hostile.of("img") == []
    assert not any(name.startswith("on") for _, attributes in hostile.found for name in attributes)
    assert sum(HOSTILE in text for text in hostile.texts) > 10


def test_a_hostile_name_in_a_figure_is_no_markup_for_plotly():
    """Plotly reads some markup in texts, and its entities; what it is given has neither `<` nor a bare `&`."""
    parsed = read(run.to_html([named(make_run(), HOSTILE)]))
    drawn = parsed.json(**{"data-figure": "pareto-1"})
    texts = [text for trace in drawn["data"] for text in trace.get("hovertext", [])]
    shown = unescape(texts[0].replace("<br>", "\n"))

    assert texts
    assert HOSTILE in shown
    assert all(not re.search(r"<(?!br>)|&(?!(lt|gt|amp);)", text) for text in texts)


def test_the_data_comes_back_as_it_was():
    """A name in it, however hostile, is that name again; every point is there, and the single times are not."""
    report = named(make_run(), HOSTILE)
    data = read(run.to_html([report])).json(id="data")["reports"][0]

    assert data["target"] == HOSTILE
    assert data["points"] == [asdict(point) for point in points_of(report)]
    assert not {"samples_ns", "reference_ns"} & set(data["profile"])


def test_a_link_is_never_of_another_scheme():
    """A folder called `javascript:…` is a folder."""
    links = read(run.to_html([make_run()], links=[("javascript:alert(1)/report.json", "a b?c#d.json")])).of("a")

    assert [link["href"] for link in links][-2:] == ["./javascript%3Aalert%281%29/report.json", "./a%20b%3Fc%23d.json"]


def test_a_page_names_no_other_place(whole):
    """No source, no style sheet, and a policy under which nothing but its own scripts runs."""
    parsed = read(whole)
    policy = next(meta["content"] for meta in parsed.of("meta") if meta.get("http-equiv"))

    assert not any({"src", "srcset", "action"} & set(attributes) for _, attributes in parsed.found)
    assert parsed.of("link") == []
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in policy.split("script-src")[1]
    assert policy.count("'sha256-") == 2


def test_plotly_is_there_only_for_a_figure():
    """A page of tables is small."""
    grid = Grid(title="Sizes", header=("size", "MB"), numbers=("MB",), rows=(("a", "1"), ("b", "2")))
    text = page("Sizes", section("Sizes", table(grid)), data={})

    assert len(text) < 30_000
    assert "Plotly.newPlot" in text
    assert "plotly.js v" not in text


def test_what_is_not_finite_is_refused():
    """JSON has no NaN, and a browser reads none."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        page("A page", section("A section"), data={"ms": float("nan")})


def test_the_plot_has_every_point_whose_cost_is_known():
    """As the record has it, by its place; those not timed are told."""
    report = make_run()
    points = points_of(report)
    drawn = pareto.pareto(report, points)
    found = {
        place: (x, y)
        for trace in drawn.data
        if trace.customdata is not None
        for place, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    }

    assert found == {place: (one.p90_ms, 100 * one.accuracy) for place, one in enumerate(points) if one.is_whole}
    assert f"{len(points) - len(found)} of {len(points)} were not timed" in pareto.caption(report, points)


def test_the_budget_is_drawn_only_beside_times_of_the_target():
    """A board's limit says nothing of this machine's times."""
    here, elsewhere = make_run(), make_report(make_target(device=BOARD))

    assert pareto.limit_ms(here) == 8.0
    assert pareto.limit_ms(elsewhere) is None
    assert "of another machine" in pareto.caption(elsewhere, points_of(replace(elsewhere, rounds=())))


def test_the_title_of_the_plot_says_whether_something_beats_what_ships():
    """In accuracy, speed and size."""
    report = make_run()
    points = points_of(report)
    *others, shipped = points
    better = replace(shipped, name="a better one", role="candidate", accuracy=shipped.accuracy + 0.01)

    assert shipped not in dict(dominated(points))
    assert pareto.title(points).startswith("No other timed model beats")
    assert pareto.title([one for one in points if one.is_whole]).startswith("No other model beats")
    assert pareto.title([*others, better, shipped]).startswith("a better one is no worse")


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5000), st.integers(0, 2**32 - 1))
def test_the_distribution_is_short_and_keeps_its_percentiles(count, seed):
    """At most 1,000 points, each on the distribution of all runs; a percentile lies between the same two of them."""
    drawn = np.random.default_rng(seed).integers(1, 10**9, count)
    times, shares = latency.steps(drawn.tolist())
    ordered = np.sort(drawn) / 1e6

    assert len(times) <= latency.STEPS
    np.testing.assert_allclose(times, ordered[np.rint(np.array(shares) * count).astype(int) - 1])
    for p in latency.SHOWN:
        rank = (count - 1) * p / 100
        assert {ordered[int(rank)], ordered[min(int(rank) + 1, count - 1)]} <= set(times)
    assert (times[0], times[-1], shares[-1]) == (ordered[0], ordered[-1], 1.0)


def test_the_marks_of_the_distribution_are_the_profile_s():
    """Percentiles and bound, and the budget where it is in reach."""
    profile = make_profile(samples_ns=samples())
    near, far = latency.distribution(profile, 1.3), latency.distribution(profile, 100.0)
    marks = {trace.name.split("  ")[0]: trace.x[0] for trace in near.data if trace.name}

    assert marks == {
        "p50": profile.p50_ms,
        "p90": profile.p90_ms,
        "p99": profile.p99_ms,
        "bound of the p90": profile.percentile_bound_ms(90),
        "budget": 1.3,
    }
    assert not any((trace.name or "").startswith("budget") for trace in far.data)
    assert "The budget, 1.30 ms, is dashed." in latency.caption(profile, 1.3)
    assert "The budget, 100 ms, is far off and not drawn." in latency.caption(profile, 100.0)


def test_a_percentile_off_the_axis_is_not_in_the_legend():
    """The caption has it."""
    runs = (*(1_000_000 + run for run in range(950)), *(50_000_000,) * 50)
    profile = make_profile(samples_ns=runs)
    drawn = latency.distribution(profile)

    assert not any((trace.name or "").startswith("p99") for trace in drawn.data)
    assert f"The p99, {profile.p99_ms:.1f} ms, is far off and not drawn." in latency.caption(profile)


@pytest.mark.parametrize(
    ("target", "said", "badge"),
    [
        (make_target(device=BOARD), "on Some CPU at 2 GHz, not board", "unknown"),
        (make_target(threads=4), "in another runtime, power mode or number of threads than host's", "transferred"),
    ],
)
def test_a_time_of_another_machine_is_not_headed_as_the_target_s(target, said, badge):
    """The title, the caption and the comparison with the teacher say where it was taken; no budget is judged by it."""
    parsed, here = unescape(run.to_html([make_report(target)]).split("<main")[1]), run.to_html([make_report()])
    latency_part = parsed.split("9 of 10 runs take at most")[1].split("</section>")[0]

    assert parsed.count(said) >= 3
    assert said in latency_part.split("</h2>")[0]
    assert f'class="badge {badge}"' in latency_part
    assert "A budget is judged by the bound" not in latency_part
    assert "A budget is judged by the bound" in here


@pytest.mark.parametrize(
    ("outcomes", "title"),
    [
        (["met"], "The first student kept its budgets on validation rows"),
        (["warned"], "The first student kept its budgets on validation rows"),
        (["inconclusive"], "It is open whether the first student keeps its budgets on validation rows"),
        (["broken"], "The student broke a budget on validation rows"),
        (["broken", "met"], "1 of 2 rounds broke a budget on validation rows"),
        (["broken", "broken"], "No student kept its budgets on validation rows"),
        (["inconclusive", "met"], "2 rounds, none surely over budget on validation rows"),
        (["met", "met"], "2 rounds, none over budget on validation rows"),
    ],
)
def test_only_a_budget_that_was_kept_is_called_kept(outcomes, title):
    """What is open is open; and all that is said is of validation rows."""
    report = make_report()
    (turn,) = report.rounds
    judgements = {name: (replace(turn.verdict.judgements[0], outcome=Outcome(name)),) for name in outcomes}
    turns = tuple(
        replace(turn, number=number, verdict=replace(turn.verdict, judgements=judgements[name]))
        for number, name in enumerate(outcomes, 1)
    )

    assert f">{title}</h2>" in run.to_html([replace(report, rounds=turns)])


@pytest.mark.parametrize(
    ("cost", "title"),
    [
        ({"p50_ms": None, "p90_ms": None, "p90_bound_ms": None}, "As large as its teacher"),
        ({"file_bytes": None}, "As fast as its teacher"),
        ({}, "As costly as its teacher"),
        ({"p50_ms": None, "p90_ms": None, "p90_bound_ms": None, "file_bytes": None}, "The student beside its teacher"),
    ],
)
def test_what_was_not_compared_is_not_the_same(cost, title):
    """Only what is known of both is said."""
    report = make_report()
    best, *others = report.teachers
    same = replace(best, cost=replace(report.student.cost, **cost))

    assert f">{title}" in run.to_html([replace(report, teachers=(same, *others))])


@pytest.mark.parametrize("count", [1, 10, 63])
def test_few_runs_have_a_page_without_what_they_do_not_tell(count):
    """No percentile, no bound, no error."""
    text = run.to_html([make_report(profile=make_profile(samples_ns=(1_000_000,) * count))])

    assert f"Share of {count} runs" in text
    assert "9 of 10 runs take" not in text


def test_the_chain_is_of_those_who_had_a_part_in_it():
    """Teachers, members, student; not a member that taught nobody, or whose student lost."""
    report = make_run()
    last = report.rounds[-1]
    one, idle = last.members
    members = (replace(one, rival=report.student.won_by), replace(one, size="cnn-44x3", rival="another way"), idle)
    nodes = nodes_of(report, replace(last, members=members))

    assert [node.name for node in nodes] == ["resnet56", "resnet20", one.size, report.student.size]
    assert max(node.length for node in nodes) == 100


def test_every_judged_number_has_its_provenance(whole):
    """A badge beside each budget, with a word beside its symbol."""
    report = make_run()

    assert whole.count('class="badge measured"') >= len(report.verdict.judgements)
    assert [re.sub("<.*?>", "", badge(one)).split()[-1] for one in Provenance] == [one.value for one in Provenance]


def test_what_is_foretold_is_called_so():
    """With its interval and what it rests on."""
    report = make_report(make_target(device=BOARD), foretold=(make_foretold(1.0, 2.0, 3.0),))
    text = unescape(run.to_html([report]))

    assert "Latency foretold on board" in text
    assert 'class="badge predicted"' in text
    assert "1.00 ms to 3.00 ms" in text


def test_an_older_report_has_a_page_of_what_it_knows():
    """No answers, curves, members or precisions: no section of them, and no error."""
    full = make_report()
    turn = full.rounds[0]
    rivals = tuple(replace(rival, losses=(), accuracies=()) for rival in turn.rivals)
    older = (replace(turn, members=(), precisions=(), components=(), rivals=rivals),)
    text = run.to_html([replace(full, answers=None, rounds=older)])

    assert "disagree" not in text.split("<script")[0]
    assert 'id="rounds-1-1-score"' not in text
    assert 'id="pareto-1"' in text


def test_several_targets_have_a_banner_and_a_part_each():
    """And no two elements of one id."""
    reports = [make_run(), make_report(make_target(device=BOARD))]
    parsed = read(run.to_html(reports))
    ids = [attributes["id"] for _, attributes in parsed.found if "id" in attributes]

    assert len(ids) == len(set(ids))
    assert [p["class"] for p in parsed.of("p") if "banner" in p.get("class", "")] == [
        f"banner {report.verdict.outcome.value}" for report in reports
    ]
    assert {"target-1", "target-2", "pareto-1", "pareto-2"} <= set(ids)
    assert [link["href"] for link in parsed.of("a")][1:3] == ["#target-1", "#target-2"]


def test_a_run_with_200_candidates_is_small():
    """Below 6 MB, Plotly's 4.6 among them."""
    report = make_run(200, samples_ns=samples(20_000))

    assert len(points_of(report)) > 200
    assert len(run.to_html([report]).encode()) < MAX_BYTES


def test_a_figure_has_no_text_that_is_markup():
    """A line feed begins a line, and nothing else is anything but itself."""
    from plotly.graph_objects import Figure, Scatter

    text = figure(Figure(Scatter(x=[1], y=[1], hovertext=["<b>a</b>\nb"], hoverinfo="text")), "one", "A caption.")
    drawn = read(text).json(**{"data-figure": "one"})

    assert drawn["data"][0]["hovertext"] == ["&lt;b&gt;a&lt;/b&gt;<br>b"]
    assert "<b>" not in text
