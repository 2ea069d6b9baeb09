"""Sweeps: many runs of the training binary, from a small description."""
