"""Fold what is known before any row is: constants, batch normalizations and the like into their neighbors."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hpmkd_edge.errors import ConversionFailed
from hpmkd_edge.export.passes.model_file import read_model, write_model


def fold(source: Path, output: Path) -> None:
    """Write *source* to *output* with constants folded, and batch normalizations folded into products.

    By ONNX Runtime's own optimizations of the basic level, which keep to standard operators. The operator set, the
    inputs and outputs and the model's metadata stay; stack traces, shapes of inner values and unused operator sets go.

    Raises:
        ConversionFailed: the file cannot be read, or ONNX Runtime cannot load it.
    """
    import onnx
    import onnxruntime

    model = read_model(source)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as folder:
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ConversionFailed(f"ONNX Runtime cannot load {source.name}: {' '.join(str(error).split())}") from error
        folded = onnx.load(options.optimized_model_filepath)
    for held in ("producer_name", "domain", "model_version"):
        setattr(folded, held, getattr(model, held))
    write_model(folded, output, like=model)
