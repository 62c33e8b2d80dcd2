"""The versions of ONNX that shipped files are written in, one for all graphs: only such graphs can be joined."""

from __future__ import annotations

from typing import Final

# What the oldest supported boards read: TensorRT 10.3 (JetPack 6) and ONNX Runtime 1.20.
OPSET: Final = 18
ML_OPSET: Final = 3
IR_VERSION: Final = 10
