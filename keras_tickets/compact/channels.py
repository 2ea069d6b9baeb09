"""What is known about the channels of one tensor."""

import keras
import numpy as np


class Channels:
    """The last axis of one tensor of a graph: which channels are constant, and which are kept.

    Args:
        spec: The symbolic tensor. One without a last axis of known size counts as one channel.

    Attributes:
        constant: Array of float64: the value of each channel that is the same for every input,
            sample and position; NaN for a channel that is live.
        kept: Boolean array: the channels that stay.
        wanted: Whether the outputs of the model depend on the tensor.
    """

    def __init__(self, spec: keras.KerasTensor):
        self.spec = spec
        self.is_sized = len(spec.shape) > 1 and spec.shape[-1] is not None
        size = spec.shape[-1] if self.is_sized else 1
        self.constant = np.full(size, np.nan)
        self.kept = np.zeros(size, bool)
        self.wanted = False

    @property
    def is_constant(self) -> np.ndarray:
        """Boolean array: the channels that are constant."""
        return ~np.isnan(self.constant)

    @property
    def kept_shape(self) -> tuple[int | None, ...]:
        """Shape of the tensor with the kept channels only."""
        shape = tuple(self.spec.shape)
        return (*shape[:-1], int(self.kept.sum())) if self.is_sized else shape
