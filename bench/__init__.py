"""Measure a model file on a runtime; needs numpy and that runtime only."""
