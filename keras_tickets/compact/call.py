"""`Call`: one call of a layer in a graph, and its effect on the channels around it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import keras
import numpy as np

from keras_tickets._kernels.copies import copy_layer
from keras_tickets.compact.channels import Channels


class Connection(NamedTuple):
    """Pairs of channels of two tensors, the second of which reads the first.

    Attributes:
        source: The tensor that is read.
        target: The tensor that reads it.
        own: Indices of channels of `source`.
        there: Indices of the channels of `target` that read them.
    """

    source: Channels
    target: Channels
    own: np.ndarray
    there: np.ndarray


class Call:
    """A call of a layer that is left unchanged, with all its input and output channels.

    Each subclass knows what a family of layers does to channels.

    Args:
        layer: The layer or operation.
        path: The names of the enclosing models and of the layer.
        args: Positional arguments, with `Channels` in place of tensors.
        kwargs: Keyword arguments, likewise.
        outputs: `Channels` of its output tensors.
        reason: Why the layer is left unchanged.
    """

    shareable = False
    """Whether a layer that is called more than once can still be taken apart."""
    kernel_name: str | None = None
    """Attribute with the kernel whose shape tells what has gone."""

    def __init__(self, layer, path: str, args, kwargs, outputs: list[Channels], reason=None):
        self.layer, self.path, self.reason = layer, path, reason
        self.args, self.kwargs, self.outputs = args, kwargs, outputs
        flat = keras.tree.flatten((args, kwargs))
        self.inputs = [value for value in flat if isinstance(value, Channels)]

    @property
    def wanted(self) -> bool:
        """Whether the outputs of the model depend on the call."""
        return any(output.wanted for output in self.outputs)

    @property
    def is_identity(self) -> bool:
        """Whether the call returns its only input."""
        return False

    def refusal(self) -> str | None:
        """Why the class cannot handle this call; `None` if it can."""
        return None

    def steps(self) -> Iterator["Call"]:
        """The call itself, or the calls inside it."""
        yield self

    def infer(self) -> None:
        """Sets which channels of the outputs are constant, from those of the inputs."""

    def keep(self) -> None:
        """Marks the channels that must stay because others stay."""
        for channels in (*self.inputs, *self.outputs):
            channels.kept[:] = True

    def keep_constant(self) -> bool:
        """Keeps a constant channel if one is needed to represent others; returns whether it did."""
        return False

    def drop_branches(self) -> bool:
        """Removes inputs that add nothing to the kept channels; returns whether there were any."""
        return False

    def connections(self) -> list[Connection] | None:
        """Which output channels read which input channels; `None` if each may read all."""
        return None

    def on_paths(
        self, reached: Mapping[Channels, np.ndarray], needed: Mapping[Channels, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The places of kernels that lie between reached inputs and needed outputs, by attribute.

        Args:
            reached: Boolean array for each tensor: the channels that depend on the model's inputs.
            needed: The same: the channels on which the model's outputs depend.

        Returns:
            Boolean arrays that broadcast to the shapes of the kernels; empty if all of the layer's
            weights may lie there.
        """
        return {}

    def stayed(self) -> Iterator[tuple[int, str]]:
        """Pairs of (number of dead channels that stay because of this call, reason)."""
        if self.reason:
            dead = sum(int(channels.is_constant.sum()) for channels in self.inputs)
            yield dead, self.reason

    def weights(self) -> dict[str, np.ndarray]:
        """The layer's weights for the kept channels, by attribute."""
        return {}

    def remake(self) -> keras.layers.Layer:
        """The layer for the kept channels."""
        return copy_layer(self.layer)

    def resized(self, **config) -> keras.layers.Layer:
        """The layer with changes to its configuration, and the weights for the kept channels."""
        layer = type(self.layer).from_config({**self.layer.get_config(), **config})
        layer.build(self.inputs[0].kept_shape)
        for name, value in self.weights().items():
            getattr(layer, name).assign(value)
        return layer
