"""What ships of published latencies, and what is said with it."""

import math
from dataclasses import replace

import pytest
from sample_records import BOARD, make_target

from hpmkd_edge.bench.prediction import GraphFeatures
from hpmkd_edge.bench.published_fits import Pool
from hpmkd_edge.bench.published_table import NAMES
from hpmkd_edge.bench.table_check import Published
from hpmkd_edge.bench.transferred import KINDS, LEAST_COVERAGE, read_published, transfer
from hpmkd_edge.targets import find_target, load_targets

MODEL = GraphFeatures(
    dense_macs=150_000_000,
    depthwise_macs=10_000_000,
    moved_bytes=20_000_000,
    operators=60,
    parameter_bytes=6_000_000,
    parameters=1_500_000,
    kinds=("Add", "Conv", "Gemm", "Relu"),
)
ANY = Pool(
    kind="cpu",
    precision="fp32",
    board=None,
    coefficients=(1e-7, 0.0, 0.0, 1.0),
    low=0.25,
    high=4.0,
    # Of the four features, then of their six ratios.
    lower=(0.0,) * 4 + (-30.0,) * 6,
    upper=(30.0,) * 10,
    coverage=0.9,
    boards=9,
    models=50,
    points=400,
    sources=("example.org",),
)
OWN = replace(ANY, board="SUPER BOARD 9B", coefficients=(2e-7, 0.0, 0.0, 1.0), low=0.5, high=2.0)


def published(*pools):
    return Published(command="made here", table_sha256="0" * 64, rows=400, names=NAMES, pools=pools)


def test_what_ships_can_be_read_and_says_where_it_is_from():
    """Coefficients and quantiles with sources, of kinds that we have a runtime for; finite, in order, above 0."""
    found = read_published()

    assert found.names == NAMES
    assert found.pools
    assert len(found.table_sha256) == 64
    for pool in found.pools:
        assert pool.kind in KINDS.values()
        assert pool.sources
        assert len(pool.coefficients) == len(NAMES)
        assert min(pool.coefficients) >= 0
        assert 0 < pool.low <= pool.high < math.inf
        assert all(low <= high for low, high in zip(pool.lower, pool.upper, strict=True))
        assert pool.points > pool.models or pool.board is not None


def test_a_device_without_records_gets_the_interval_of_left_out_machines():
    """160 million MACs of 0.1 ns, and 1 ms a run: 17 ms, within what machines differ by."""
    found = transfer(MODEL, make_target(), published(ANY, OWN))

    assert found.provenance == "transferred"
    assert (found.ms, found.low_ms, found.high_ms) == pytest.approx((17.0, 4.25, 68.0))
    assert "held 90%" in found.reason


def test_a_machine_with_published_figures_is_told_by_its_name():
    """Its own coefficients, and the interval of left-out runtimes."""
    target = make_target(device=BOARD)
    found = transfer(MODEL, target, published(ANY, OWN))

    assert (found.ms, found.low_ms, found.high_ms) == pytest.approx((33.0, 16.5, 66.0))
    assert "Super Board 9B" in found.reason


@pytest.mark.parametrize(
    ("model", "pools", "reason"),
    [
        (MODEL, (), "nor published figures"),
        (MODEL, (replace(ANY, precision="int8"),), "nor published figures"),
        (MODEL, (replace(ANY, coverage=LEAST_COVERAGE - 0.01, boards=4),), "come from 4 machines"),
        (replace(MODEL, kinds=("Gemm", "Relu")), (ANY,), "models with convolutions"),
        (MODEL, (replace(ANY, upper=(10.0,) * 10),), "against"),
    ],
)
def test_what_the_figures_do_not_speak_for_is_unknown(model, pools, reason):
    """No figures, too few machines to trust an interval, no convolution, outside the range: no number."""
    found = transfer(model, make_target(), published(*pools))

    assert (found.provenance, found.ms) == ("unknown", None)
    assert reason in found.reason


def test_shipped_targets_get_an_answer_or_a_reason():
    """Of 160 million MACs: a Raspberry Pi 4 by its own figures; no GPU, of which too few machines were published."""
    targets = load_targets()
    pi, jetson = (transfer(MODEL, find_target(name, targets)) for name in ("rpi4", "jetson"))

    assert pi.provenance == "transferred"
    assert "Raspberry Pi 4B" in pi.reason
    assert pi.low_ms < pi.ms < pi.high_ms
    assert jetson.provenance == "unknown"
