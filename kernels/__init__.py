"""Compiled loops over arrays; they import nothing of ours."""
