"""Losses that carry a teacher's knowledge."""
