"""The sections of `tools/benchmark.py`, one file each."""
