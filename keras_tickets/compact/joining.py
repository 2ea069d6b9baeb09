"""Layers that join tensors or reshape one."""

from typing import Any

import keras
import numpy as np

from keras_tickets._keras_compat import MERGING_OPERATIONS
from keras_tickets.compact.channelwise import Channelwise


def _multiply(a, b):
    return np.where((a == 0) | (b == 0), 0.0, a * b)


_FUNCTIONS: dict[type, Any] = {
    keras.layers.Add: np.add,
    keras.layers.Average: np.add,
    keras.layers.Subtract: np.subtract,
    keras.layers.Multiply: _multiply,
    keras.layers.Maximum: np.maximum,
    keras.layers.Minimum: np.minimum,
}
_FUNCTIONS |= {operation: _FUNCTIONS[layer] for layer, operation in MERGING_OPERATIONS.items()}
_ADDITIONS = (keras.layers.Add, MERGING_OPERATIONS[keras.layers.Add])


def _reads_tensors_only(call):
    return len(keras.tree.flatten(call.args)) == len(call.inputs)


class Merge(Channelwise):
    """Channel-by-channel merging: add, subtract, multiply, average, maximum, minimum.

    A branch of an addition is dropped if it is zero in all kept channels.
    """

    turns_live = "live in another branch"

    def refusal(self):
        if not _reads_tensors_only(self):
            return "called on values from outside the model"
        if len({channels.spec.shape[-1] for channels in self.inputs}) > 1:
            return "one channel is joined with many"
        return None

    def links(self):
        return super().links() * len(self.inputs)

    def infer(self):
        constants = [channels.constant for channels in self.inputs]
        constant = constants[0]
        for another in constants[1:]:
            constant = _FUNCTIONS[type(self.layer)](constant, another)
        if isinstance(self.layer, keras.layers.Average):
            constant = constant / len(constants)
        self.outputs[0].constant = np.where(np.isfinite(constant), constant, np.nan)

    def drop_branches(self):
        same_shapes = len({tuple(channels.spec.shape) for channels in self.inputs}) == 1
        if type(self.layer) not in _ADDITIONS or not same_shapes or self.is_identity:
            return False
        live = [ch for ch in self.inputs if (ch.constant != 0)[ch.kept].any()] or self.inputs[:1]
        drops = len(live) < len(self.inputs)
        self.inputs, self.args = live, (live,) if drops else self.args
        return drops

    @property
    def is_identity(self):
        return len(self.inputs) == 1


class Concatenate(Channelwise):
    """Concatenation of channels."""

    def refusal(self):
        if self.layer.axis not in (-1, len(self.outputs[0].spec.shape) - 1):
            return "its axis is not the last one"
        if not _reads_tensors_only(self):
            return "called on values from outside the model"
        return None

    def links(self):
        sizes = [channels.kept.size for channels in self.inputs]
        ends = np.cumsum(sizes)
        return [
            (np.arange(size), np.arange(end - size, end))
            for size, end in zip(sizes, ends, strict=True)
        ]

    def infer(self):
        self.outputs[0].constant = np.concatenate([ch.constant for ch in self.inputs])


class Flatten(Channelwise):
    """Flattening: all positions of a channel become channels, which stay or go together."""

    def refusal(self):
        if not (self.inputs[0].is_sized and self.outputs[0].is_sized):
            return "the number of channels is open"
        return super().refusal()

    def links(self):
        there = np.arange(self.outputs[0].kept.size)
        return [(there % self.inputs[0].kept.size, there)]

    def infer(self):
        ((own, _),) = self.links()
        self.outputs[0].constant = self.inputs[0].constant[own]


class Reshape(Flatten):
    """Flattening, or a reshape that keeps the last axis."""

    shareable = False

    def refusal(self):
        flattens = len(self.outputs[0].spec.shape) == 2
        if not flattens and self.inputs[0].kept.size != self.outputs[0].kept.size:
            return "channels do not stay together"
        return super().refusal()

    def remake(self):
        target = (*self.layer.target_shape[:-1], self.outputs[0].kept_shape[-1])
        return self.resized(target_shape=target)
