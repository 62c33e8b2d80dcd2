"""The latency of a model on a device without records: from published figures of others, as wide as that is."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

import numpy as np

from hpmkd_edge.bench.additive import Range
from hpmkd_edge.bench.prediction import GraphFeatures, Prediction, unknown_because
from hpmkd_edge.bench.published_fits import Pool
from hpmkd_edge.bench.published_table import vector_of
from hpmkd_edge.bench.strict_json import decode
from hpmkd_edge.bench.table_check import Published
from hpmkd_edge.json_file import parse
from hpmkd_edge.targets import Target

FILE: Final = Path(__file__).with_name("transferred.json")
KINDS: Final = {"onnxruntime": "cpu", "tensorrt": "tensorrt"}
# An interval at 90 % that holds less of a left-out machine's latencies is none.
LEAST_COVERAGE: Final = 0.80
CONVOLUTIONS: Final = frozenset({"Conv", "FusedConv", "NhwcConv", "ConvInteger", "QLinearConv"})


@functools.cache
def read_published(path: Path = FILE) -> Published:
    """Read the fitted coefficients that ship.

    Raises:
        ValueError: the file is not one of them.
    """
    return decode(Published, parse(path.read_text(encoding="utf-8")), path.name)


def transfer(features: GraphFeatures, target: Target, published: Published | None = None) -> Prediction:
    """Predict the median latency of a model on a *target* that has no records.

    Of the target's own machine, where published figures have it in other runtimes or releases; else of a typical one of
    its kind. Unknown, where an interval from machines does not hold for one that is left out, where the model has no
    convolution, as the published ones do, and outside their range.

    Args:
        published: what ships, if None.
    """
    published = published or read_published()
    kind = KINDS[target.runtime]
    pools = [pool for pool in published.pools if (pool.kind, pool.precision) == (kind, features.precision)]
    own = [pool for pool in pools if pool.board is not None and _is_machine(target, pool.board)]
    pool = next(iter(own), next((pool for pool in pools if pool.board is None), None))
    where = f"devices like {target.device.name} with {target.runtime} in {features.precision}"
    if pool is None:
        return unknown_because(f"there are no records of {target.device.name}, nor published figures of {where}.")
    if pool.coverage < LEAST_COVERAGE:
        return unknown_because(
            f"there are no records of {target.device.name}, and published figures of {where} come from {pool.boards}"
            f" machines: an interval of the others holds {pool.coverage:.0%} of a left-out one's."
        )
    if not CONVOLUTIONS & set(features.kinds):
        return unknown_because(
            f"there are no records of {target.device.name}, and published figures are of models with convolutions."
        )
    return _answer(features, pool, published.names)


def _answer(features: GraphFeatures, pool: Pool, names: tuple[str, ...]) -> Prediction:
    vector = vector_of(features.dense_macs + features.depthwise_macs, max(features.parameters, 1))
    beyond = Range(names=names, lower=pool.lower, upper=pool.upper).outside(vector)
    if beyond:
        return unknown_because(f"it has {beyond} in the {pool.models} models with published figures.")
    ms = float(np.dot(vector, pool.coefficients))
    if not ms > 0:
        return unknown_because("the published figures do not tell what it costs.")
    what = "a machine in its place" if pool.board is None else f"{pool.board.title()}, another runtime in its place"
    return Prediction(
        provenance="transferred",
        ms=ms,
        low_ms=ms * pool.low,
        high_ms=ms * pool.high,
        reason=(
            f"from {pool.points} published figures of {pool.models} models, on as many threads as each machine has;"
            f" the interval, of {what}, held {pool.coverage:.0%} of what was left out."
        ),
    )


def _is_machine(target: Target, board: str) -> bool:
    return any(part.upper() in board for part in target.device.identity)
