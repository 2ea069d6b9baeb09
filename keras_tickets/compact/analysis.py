"""Which channels of a graph can be removed."""

from collections.abc import Sequence

from keras_tickets.compact.call import Call
from keras_tickets.compact.channels import Channels
from keras_tickets.compact.graph import Graph

LAST = "a layer keeps at least one channel"
OUTPUT = "an output of the model"


def analyze(graph: Graph) -> list[tuple[str, int, str]]:
    """Marks the channels that are constant, and those that must stay.

    Args:
        graph: The graph; its `Channels` are changed.

    Returns:
        What stays although it is dead, as (path of the layer, number of channels, reason).
    """
    steps = list(dict.fromkeys(graph.steps()))
    for call in steps:
        call.infer()
    last = _choose(graph, steps)
    while any([call.drop_branches() for call in steps]):
        last = _choose(graph, steps)
    steps = [call for call in steps if call.wanted]
    stayed = [(call.path, dead, reason) for call in steps for dead, reason in call.stayed()]
    return stayed + last + _constant_outputs(graph, steps)


def _choose(graph, steps):
    """Marks afresh what is wanted and kept; returns what is kept only as the last channel."""
    for channels in _tensors(steps):
        channels.kept[:], channels.wanted = False, False
    for channels in graph.ends:
        channels.kept[:], channels.wanted = True, True
    steps = _wanted(steps)
    _settle(steps)
    return _keep_one(steps)


def _tensors(steps):
    return {channels for call in steps for channels in (*call.inputs, *call.outputs)}


def _wanted(steps):
    """The calls that the outputs depend on."""
    for call in reversed(steps):
        if call.wanted:
            for channels in (*call.inputs, *call.outputs):
                channels.wanted = True
    return [call for call in steps if call.wanted]


def _settle(steps: Sequence[Call]) -> None:
    """Marks channels that must stay because others stay, until nothing changes."""
    tensors = _tensors(steps)
    before = -1
    while before != (before := sum(int(channels.kept.sum()) for channels in tensors)):
        for call in (*reversed(steps), *steps):
            call.keep()
    if any([call.keep_constant() for call in steps]):
        _settle(steps)


def _keep_one(steps):
    """Keeps the first channel of each tensor that would have none left."""
    last = []
    for call in sorted(reversed(steps), key=lambda call: call.kernel_name is None):
        for channels in call.outputs:
            if not channels.kept.any():
                channels.kept[0] = True
                _settle(steps)
                last.append((call.path, 1, LAST))
    return last


def _constant_outputs(graph, steps):
    makers = {channels: call.path for call in steps for channels in call.outputs}
    ends: list[Channels] = [channels for channels in graph.ends if channels in makers]
    counts = [(makers[channels], int(channels.is_constant.sum())) for channels in ends]
    return [(path, dead, OUTPUT) for path, dead in counts if dead]
