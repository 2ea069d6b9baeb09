"""Which weights and units of a graph lie between its inputs and its outputs."""

import dataclasses

import keras
import numpy as np

from keras_tickets.compact.call import Call
from keras_tickets.compact.channels import Channels
from keras_tickets.compact.graph import Bounded, Graph

Marks = dict[Channels, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Reachable:
    """What lies on paths from the inputs of a graph to its outputs.

    Attributes:
        places: `{id of a weight: boolean array}` that broadcasts to the weight's shape.
        units: `{id of a kernel: (number of output channels, number of them on no path)}`.
        assumed: `(path, reason)` of the layers whose channels cannot be followed.
    """

    places: dict[int, np.ndarray]
    units: dict[int, tuple[int, int]]
    assumed: list[tuple[str, str]]


def find_reachable(graph: Graph) -> Reachable:
    """Follows the channels of a graph forward from its inputs and backward from its outputs.

    Args:
        graph: The graph; kernels are nonzero where there is a connection.
    """
    steps = list(dict.fromkeys(graph.steps()))
    tensors = {channels for call in steps for channels in (*call.inputs, *call.outputs)}
    tensors |= set(graph.ends)
    reached = {channels: np.zeros(channels.kept.size, bool) for channels in tensors}
    needed = {channels: np.zeros(channels.kept.size, bool) for channels in tensors}
    for ends, marks in ((graph.inputs, reached), (graph.outputs, needed)):
        for channels in keras.tree.flatten(ends):
            marks[channels][:] = True
    for call in steps:
        if isinstance(call, Bounded):
            for channels in call.inside.ends:
                reached[channels][:] = needed[channels][:] = True
    for call in steps:
        _forward(call, reached)
    for call in reversed(steps):
        _backward(call, needed)
    return _summary(steps, reached, needed)


def _forward(call: Call, reached: Marks) -> None:
    connections = call.connections()
    if connections is None:
        if _any(reached, _arguments(call)):
            for channels in call.outputs:
                reached[channels][:] = True
        return
    for source, target, own, there in connections:
        reached[target][there[reached[source][own]]] = True


def _backward(call: Call, needed: Marks) -> None:
    connections = call.connections()
    if connections is None:
        if _any(needed, call.outputs):
            for channels in _arguments(call):
                needed[channels][:] = True
        return
    for source, target, own, there in connections:
        needed[source][own[needed[target][there]]] = True


def _summary(steps, reached, needed) -> Reachable:
    places: dict[int, np.ndarray] = {}
    units: dict[int, tuple[int, int]] = {}
    assumed = []
    for call in steps:
        on_paths = call.on_paths(reached, needed)
        for name, found in on_paths.items():
            places[id(getattr(call.layer, name))] = found
        if call.kernel_name in on_paths:
            (output,) = call.outputs
            off = ~(reached[output] & needed[output])
            units[id(getattr(call.layer, call.kernel_name))] = off.size, int(off.sum())
        if call.connections() is None:
            assumed.append((call.path, call.reason or "its channels cannot be followed"))
            if not isinstance(call, Bounded):
                crosses = _any(reached, call.inputs) and _any(needed, call.outputs)
                for weight in getattr(call.layer, "weights", ()):
                    places[id(weight)] = np.asarray(places.get(id(weight), False)) | crosses
    return Reachable(places, units, list(dict.fromkeys(assumed)))


def _arguments(call):
    """What the call is made on; a nested model also lists the ends of its own graph as inputs."""
    return call.arguments if isinstance(call, Bounded) else call.inputs


def _any(marks, tensors):
    return any(marks[channels].any() for channels in tensors)
