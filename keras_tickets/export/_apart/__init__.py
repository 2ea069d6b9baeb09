"""Converters and runtimes of the formats, run in a process of their own; see `__main__`.

The modules here import nothing of keras_tickets, so that the process starts fast and is sure to
need nothing of it to run an exported model.
"""
