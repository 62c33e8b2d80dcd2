"""Distill a trained model into one that fits a board, and prove that it fits."""

__version__ = "0.1.0"
