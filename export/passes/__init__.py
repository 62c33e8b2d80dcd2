"""Rewrites of an ONNX file into another that answers the same, in fewer nodes or in fewer bits."""
