"""Graphs of calls: read from a model, and rebuilt into a model with only the kept channels."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_tickets import _keras_compat
from keras_tickets.compact.call import Call, Connection
from keras_tickets.compact.channels import Channels
from keras_tickets.compact.families import understand


@dataclasses.dataclass(frozen=True)
class Graph:
    """The calls of a functional or Sequential model.

    Attributes:
        name: Name of the model.
        inputs: `Channels` of its inputs, in its structure.
        outputs: `Channels` of its outputs, in its structure.
        calls: The calls, in an order in which they can be executed.
    """

    name: str
    inputs: Any
    outputs: Any
    calls: list[Call]

    def steps(self) -> Iterator[Call]:
        """The calls, with nested models replaced by the calls inside them."""
        for call in self.calls:
            yield from call.steps()

    @property
    def ends(self) -> list[Channels]:
        """`Channels` of the inputs and outputs."""
        return keras.tree.flatten((self.inputs, self.outputs))


class Nested(Call):
    """A nested model that is called once: channels are followed across its boundary."""

    def __init__(self, layer, path, args, kwargs, outputs, inside: Graph):
        super().__init__(layer, path, args, kwargs, outputs)
        self.inside = inside

    def steps(self):
        inputs, outputs = map(keras.tree.flatten, (self.inside.inputs, self.inside.outputs))
        yield _Boundary(self.layer, self.path, (self.inputs,), {}, inputs)
        yield from self.inside.steps()
        yield _Boundary(self.layer, self.path, (outputs,), {}, self.outputs)


class Bounded(Nested):
    """A nested model that keeps its inputs and outputs: channels are removed only inside it."""

    def __init__(self, *args, reason):
        super().__init__(*args)
        self.reason = reason
        self.arguments = self.inputs
        self.inputs = self.inputs + self.inside.ends

    def steps(self):
        yield from self.inside.steps()
        yield self

    def stayed(self):
        dead = sum(int(channels.is_constant.sum()) for channels in self.arguments)
        yield dead, self.reason


class _Boundary(Call):
    """The boundary of a nested model: channels stay or go on both sides alike."""

    def infer(self):
        for source, target in zip(self.inputs, self.outputs, strict=True):
            target.constant = source.constant.copy()

    def connections(self):
        every = [np.arange(channels.kept.size) for channels in self.inputs]
        ends = zip(self.inputs, self.outputs, every, every, strict=True)
        return [Connection(*end) for end in ends]

    def keep(self):
        for source, target in zip(self.inputs, self.outputs, strict=True):
            source.kept |= target.kept
            target.kept |= source.kept


def read(model: keras.Model) -> Graph:
    """Reads the graph of a functional or Sequential model, with a `Call` for each layer call."""
    times: collections.Counter[int] = collections.Counter()
    _count(model, times)
    return _read(model, "", times, {})


def _count(model, times):
    """Counts the calls of each layer, in nested models too."""
    for layer, *_ in _keras_compat.read_graph(model)[2]:
        times[id(layer)] += 1
        if _keras_compat.is_graph(layer) and times[id(layer)] == 1:
            _count(layer, times)


def _read(model, prefix, times, graphs):
    if id(model) in graphs:
        return graphs[id(model)]
    inputs, outputs, nodes = _keras_compat.read_graph(model)
    known: dict[int, Channels] = {}

    def channels(value):
        if not isinstance(value, keras.KerasTensor):
            return value
        return known.setdefault(id(value), Channels(value))

    inputs, outputs = keras.tree.map_structure(channels, (inputs, outputs))
    calls: list[Call] = []
    for layer, *tensors in nodes:
        args, kwargs, results = keras.tree.map_structure(channels, tuple(tensors))
        where = (layer, f"{prefix}{layer.name}", args, kwargs, results)
        is_shared = times[id(layer)] > 1
        if _keras_compat.is_graph(layer) and not kwargs.get("training"):
            inside = _read(layer, f"{prefix}{layer.name}/", times, graphs)
            if is_shared:
                calls.append(Bounded(*where, inside, reason="called more than once"))
            elif not _takes(layer, args, kwargs):
                calls.append(Bounded(*where, inside, reason="called on inputs of another kind"))
            else:
                calls.append(Nested(*where, inside))
        else:
            calls.append(understand(is_shared, *where))
    graphs[id(model)] = Graph(model.name, inputs, outputs, calls)
    return graphs[id(model)]


def _takes(model, args, kwargs):
    """Whether a nested model is called on exactly the tensors that its graph starts from."""
    inputs, _, _ = _keras_compat.read_graph(model)
    if len(args) != 1 or any(isinstance(value, Channels) for value in keras.tree.flatten(kwargs)):
        return False
    try:
        keras.tree.assert_same_structure(args[0], inputs)
    except ValueError:
        return False
    pairs = zip(keras.tree.flatten(args[0]), keras.tree.flatten(inputs), strict=True)
    return all(isinstance(a, Channels) and len(a.spec.shape) == len(b.shape) for a, b in pairs)


def build(graph: Graph, layers: dict[int, keras.layers.Layer] | None = None) -> keras.Model:
    """Builds a model of the graph with only the kept channels.

    Args:
        graph: The graph, analyzed.
        layers: The layers made so far, by the id of the layer that each replaces.
    """
    layers = {} if layers is None else layers
    tensors: dict[Channels, Any] = {}

    def tensor(value):
        return tensors[value] if isinstance(value, Channels) else value

    def start(channels):
        spec = channels.spec
        tensors[channels] = keras.Input(
            batch_shape=channels.kept_shape, dtype=spec.dtype, name=spec.name, sparse=spec.sparse
        )
        return tensors[channels]

    inputs = keras.tree.map_structure(start, graph.inputs)
    for call in graph.calls:
        if not call.wanted:
            continue
        if call.is_identity:
            tensors[call.outputs[0]] = tensors[call.inputs[0]]
            continue
        if id(call.layer) not in layers:
            if isinstance(call, Nested):
                layers[id(call.layer)] = build(call.inside, layers)
            else:
                layers[id(call.layer)] = call.remake()
        args, kwargs = keras.tree.map_structure(tensor, (call.args, call.kwargs))
        results = layers[id(call.layer)](*args, **kwargs)
        tensors.update(zip(call.outputs, keras.tree.flatten(results), strict=True))
    outputs = keras.tree.map_structure(tensor, graph.outputs)
    return keras.Model(inputs, outputs, name=graph.name)
