"""The graph of jobs: order, estimates, failures and stops, whatever the executor."""

import pytest
import sample_jobs
from hypothesis import given
from hypothesis import strategies as st

from hpmkd_edge.distill.executors import InProcess
from hpmkd_edge.distill.pipeline import Ended, Job, Rates, run_jobs
from hpmkd_edge.errors import Interrupted, TrainingFailed


class Clockwork:
    """An executor whose jobs take what a table says, on a clock of its own; it notes what begins when."""

    def __init__(self, workers, seconds):
        self.workers, self.seconds = workers, seconds
        self.now, self.under_way, self.begun, self.closed = 0.0, {}, [], False

    def begin(self, job):
        assert len(self.under_way) < self.workers
        self.begun.append(job.name)
        self.under_way[job.name] = (self.now + self.seconds[job.name], job)

    def ended(self, stop):
        name = min(self.under_way, key=lambda name: self.under_way[name][0])
        self.now, job = self.under_way.pop(name)
        try:
            return (Ended(name=name, seconds=self.seconds[name], result=job.call(None, stop, *job.arguments)),)
        except Exception as error:  # noqa: BLE001  as an executor does
            return (Ended(name=name, seconds=self.seconds[name], error=error),)

    def close(self):
        self.closed = True


def job(name, *after, **more):
    return Job(name=name, call=sample_jobs.add, after=after, **more)


def nothing(context, stop):
    return None


def idle(name, *after, **more):
    return Job(name=name, call=nothing, after=after, **more)


@st.composite
def graphs(draw):
    """Jobs in any order, each after some of those drawn before it."""
    names = [str(number) for number in range(draw(st.integers(0, 9)))]
    jobs = []
    for number, name in enumerate(names):
        after = draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else []
        jobs.append(idle(name, *after, estimate_s=draw(st.none() | st.floats(0, 100))))
    return draw(st.permutations(jobs))


@given(graphs(), st.integers(1, 4), st.integers(0, 5))
def test_every_job_runs_once_and_after_those_it_waits_for(jobs, workers, seed):
    """In any graph, on any number of workers, whatever time each takes."""
    ended = []
    executor = Clockwork(workers, {job.name: (3 * int(job.name) + seed) % 7 for job in jobs})

    def note(context, stop, name, after):
        assert set(after) <= set(ended)
        ended.append(name)

    noted = [Job(name=job.name, call=note, arguments=(job.name, job.after), after=job.after) for job in jobs]
    results = run_jobs(noted, executor)

    assert list(results) == [job.name for job in jobs]
    assert sorted(executor.begun) == sorted(ended) == sorted(results)


def test_the_longest_job_begins_first():
    """Graham's rule, and one of unknown length before all others."""
    executor = Clockwork(2, dict(zip("abcd", (1, 5, 3, 2), strict=True)))
    jobs = [idle("a", estimate_s=1), idle("b", estimate_s=5), idle("c", estimate_s=3), idle("d")]
    run_jobs(jobs, executor)

    assert executor.begun == ["d", "b", "c", "a"]


def test_a_chain_begins_before_longer_jobs_that_nothing_waits_for():
    """What counts is the way to the end: 3 × 10 s in a row and 2 × 11 s beside it end after 30 s, not after 41."""
    seconds = {"direct": 11, "kd": 11, "first": 10, "second": 10, "last": 10}
    jobs = [idle(name, estimate_s=seconds[name]) for name in ("direct", "kd", "first")]
    jobs += [idle("second", "first", estimate_s=10), idle("last", "second", estimate_s=10)]
    executor = Clockwork(2, seconds)
    run_jobs(jobs, executor)

    assert executor.begun[0] == "first"
    assert executor.now == 30


def test_rates_that_are_measured_stand_in_for_estimates():
    """A training that took 8 s for 2 units makes one of 3 units take 12, longer than the 10 s of another kind."""
    rates = Rates()
    executor = Clockwork(1, {"train 2": 8, "train 3": 12, "other": 10, "last": 0})
    jobs = [
        idle("train 2", kind="train", units=2, estimate_s=99),
        idle("other", "train 2", estimate_s=10),
        idle("train 3", "train 2", kind="train", units=3, estimate_s=1),
    ]
    run_jobs(jobs, executor, rates=rates)

    assert executor.begun == ["train 2", "train 3", "other"]
    assert rates.measured == {"train": (5, 20)}
    assert rates.estimate(idle("next", kind="train", units=10)) == 40


def test_without_a_rate_the_job_with_most_units_begins_first():
    """Its length is unknown, its units are not."""
    executor = Clockwork(1, {"small": 1, "large": 2})
    run_jobs([idle("small", kind="train", units=1), idle("large", kind="train", units=2)], executor)

    assert executor.begun == ["large", "small"]


def test_a_failure_is_raised_as_it_is_and_nothing_begins_after_it():
    """Class, message and object; jobs under way are told to stop."""
    told = []

    def look(context, stop):
        told.append(stop())

    executor = Clockwork(2, {"bad": 1, "beside": 2, "later": 1})
    error = TrainingFailed("the loss is nan.")

    def fail(context, stop):
        raise error

    jobs = [Job(name="bad", call=fail), Job(name="beside", call=look), idle("later", "bad")]
    with pytest.raises(TrainingFailed, match=r"^the loss is nan\.$") as caught:
        run_jobs(jobs, executor)

    assert caught.value is error
    assert told == [True]
    assert executor.begun == ["bad", "beside"]


def test_a_second_failure_is_logged(caplog):
    """Only one can be raised; none is lost."""
    jobs = [Job(name=name, call=sample_jobs.diverge, arguments=(f"{name} is nan.",)) for name in "ab"]
    with pytest.raises(TrainingFailed, match=r"^a is nan\.$"):
        run_jobs(jobs, Clockwork(2, {"a": 1, "b": 2}), label="race")

    assert "race: b failed too: TrainingFailed: b is nan." in caplog.text


def test_no_job_begins_after_a_stop():
    """It is asked for between the first and the second; then all that was under way has ended."""
    ended = []

    def note(context, stop):
        ended.append(len(ended))

    jobs = [Job(name=name, call=note) for name in "abc"]
    with pytest.raises(Interrupted, match=r"^race: stopped with 1 of 3 jobs finished\.$"):
        run_jobs(jobs, InProcess(), stop=lambda: len(ended) == 1, label="race")

    assert ended == [0]


def test_a_job_that_saves_and_stops_is_an_interruption_with_its_sentence():
    """What the job said about its state is handed on."""

    def save(context, stop):
        raise Interrupted("stopped after epoch 3; the state is saved.")

    with pytest.raises(Interrupted, match=r"stopped with 0 of 2 jobs finished\. stopped after epoch 3; the state"):
        run_jobs([Job(name="a", call=save), idle("b", "a")], InProcess())


def test_a_stop_while_the_last_job_ends_well_loses_nothing():
    """Everything is there, so it is returned; the caller asks again before its next unit."""
    assert run_jobs([job("a")], Ready(), stop=lambda: Ready.asked) == {"a": 7}


class Ready:
    """Ends its job in the moment in which a stop is asked for."""

    asked, workers = False, 1

    def begin(self, job):
        Ready.asked = True

    def ended(self, stop):
        return (Ended(name="a", seconds=0.0, result=7),)

    def close(self):
        raise AssertionError


def test_an_exception_from_outside_ends_the_workers():
    """A second Ctrl-C does not wait."""
    executor = Clockwork(1, {"a": 1})

    def interrupt(context, stop):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([Job(name="a", call=interrupt)], executor)

    assert executor.closed


@pytest.mark.parametrize(
    ("jobs", "sentence"),
    [
        ([job("a"), job("a")], r"two jobs are called 'a'"),
        ([job("a", "b")], r"a waits for 'b', which is no job of this graph"),
        ([job("a", "c"), job("b", "a"), job("c", "b")], r"jobs wait for each other: .* -> .* -> .* -> "),
        ([job("a", "a")], r"jobs wait for each other: a -> a"),
        ([job("a", estimate_s=-1.0)], r"a has an estimate of -1.0 s.*0 or more"),
        ([job("a", units=float("nan"))], r"a has .*nan units; 0 or more"),
    ],
)
def test_a_graph_that_cannot_run_is_refused_before_anything_begins(jobs, sentence):
    """Names that are there twice or unknown, a circle, a length that is none."""
    executor = Clockwork(1, {})
    with pytest.raises(ValueError, match=sentence):
        run_jobs(jobs, executor)

    assert executor.begun == []
