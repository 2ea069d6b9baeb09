"""Blocks that take turns, and how their times are compared and shown."""

import statistics
import time
from collections.abc import Callable

import keras
import tensorflow as tf


def take_turns(blocks: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Runs every block once unrecorded, then once a round; the seconds each returned, by round."""
    for block in blocks.values():
        block()
    names = list(blocks)
    seconds = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(blocks[name]())
    return seconds


def spread(values: list[float], scale: float = 1.0, digits: int = 2) -> str:
    """Median, lowest and highest value."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle * scale:,.{digits}f} ({low * scale:,.{digits}f}-{high * scale:,.{digits}f})"


def ratio(over: list[float], under: list[float]) -> list[float]:
    """Ratios of two lists of times, round by round."""
    return [a / b for a, b in zip(over, under, strict=True)]


def timed(function: Callable, *args) -> Callable[[], float]:
    """A block that calls a function once."""

    def block():
        start = time.perf_counter()
        tf.nest.map_structure(lambda tensor: tensor.numpy(), function(*args))
        return time.perf_counter() - start

    return block


class EpochTime(keras.callbacks.Callback):
    """The time from the beginning to the end of the last epoch, without tracing before it."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start
