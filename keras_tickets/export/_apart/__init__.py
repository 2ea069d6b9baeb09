"""Converters and runtimes of the formats, run in a separate process; see `__main__`.

The modules here import nothing of keras_tickets, so the process starts fast and proves that an
exported model runs without it.
"""
