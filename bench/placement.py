"""Which provider executes what, by ONNX Runtime's own profile of the graph that it really runs."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hpmkd_edge.bench.runtimes.runtime import Feeds

# After fusion. The first weight of the others is [.., K, N] or [K, N].
_CONVOLUTIONS: Final = {"Conv": 1, "FusedConv": 1, "NhwcFusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
_PRODUCTS: Final = {"MatMul", "FusedMatMul", "TransposeMatMul", "MatMulInteger", "DynamicQuantizeMatMul",
                    "MatMulIntegerToFloat", "QLinearMatMul"}  # fmt: skip
_LAYERS: Final = {"Gemm", "FusedGemm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A node that was run.

    Attributes:
        macs: multiply-adds, by the shapes it was run on; 0 of what multiplies no matrices.
    """

    name: str
    operator: str
    provider: str
    macs: int


def nodes_run(path: Path, threads: int, providers: Sequence[str], feeds: Feeds) -> tuple[Ran, ...]:
    """Run one batch under ONNX Runtime's profiler, and say what each node was.

    In a pass of its own: profiling makes every node slower, by a quarter or more in all.

    Args:
        path: of the model.
        threads: within an operator.
        providers: in the order in which nodes are offered to them.
        feeds: one batch.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        # Without the last level, which places nothing but pads channels to 8 or 16: they would be counted.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
        session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return read_events(events)


def read_events(events: Sequence[dict[str, Any]]) -> tuple[Ran, ...]:
    """Return the nodes of a profile of one run, in the order in which they ran."""
    return tuple(
        Ran(
            name=event["name"].removesuffix("_kernel_time"),
            operator=event["args"]["op_name"],
            provider=event["args"]["provider"],
            macs=_macs(event["args"]),
        )
        for event in events
        if event.get("cat") == "Node" and "provider" in event.get("args", {})
    )


def off_macs(ran: Sequence[Ran], intended: str) -> int:
    """Return the multiply-adds that ran on another provider than the *intended* one."""
    return sum(node.macs for node in ran if node.provider != intended)


def share_on(off: int, every: int) -> float | None:
    """Return the share of *every* multiply-add that was not *off* the intended provider.

    A provider that takes a whole part of the graph shows it as one node without shapes: what it took is known by what
    is left. None where there are no multiply-adds at all.
    """
    return None if every <= 0 else max(0.0, 1.0 - off / every)


def _macs(found: dict[str, Any]) -> int:
    inputs, outputs = _shapes(found["input_type_shape"]), _shapes(found["output_type_shape"])
    operator = found["op_name"]
    if not inputs or not outputs:
        return 0
    if operator in _CONVOLUTIONS:
        # Weights are [channels out, channels in over groups, *kernel].
        return math.prod(outputs[0]) * math.prod(inputs[_CONVOLUTIONS[operator]][1:])
    if operator in _PRODUCTS:
        return math.prod(outputs[0]) * inputs[0][-1]
    if operator in _LAYERS:
        # Which axis of the input is summed over, transA decides; the other one is the output's first.
        return math.prod(outputs[0]) * (math.prod(inputs[0]) // outputs[0][0] if outputs[0][0] else 0)
    if operator == "Attention" and len(inputs) > 1:
        batch, length, hidden = inputs[0]
        return batch * length * (hidden * inputs[1][-1] + 2 * length * inputs[1][-1] // 3)
    return 0


def _shapes(listed: Sequence[dict[str, list[int]]]) -> list[list[int]]:
    """Take the shapes out of `[{"float": [1, 3]}, …]`."""
    return [shape for one in listed for shape in one.values()]
