"""Processes that train together: who writes, and what they compare."""
