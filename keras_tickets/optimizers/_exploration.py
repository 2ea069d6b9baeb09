"""Which weights were ever active."""

import keras
import numpy as np
import tensorflow as tf

from keras_tickets.optimizers._kernel_state import KernelState, add_beside_mask, update_on_devices


class Exploration:
    """The union of all masks that each kernel has had.

    Args:
        optimizer: The optimizer that saves it.
        states: The masked kernels.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, states: list[KernelState]):
        self._kernels = [state.masked for state in states]
        self._explored = {id(s.masked): add_beside_mask(optimizer, s, "explored") for s in states}

    def see(self, strategy: tf.distribute.Strategy, states: list[KernelState]) -> None:
        """Adds the current masks to the union, in cross-replica context."""

        def see(kernel, mask, explored, *slots, initial):
            explored.assign(tf.convert_to_tensor(explored) | tf.convert_to_tensor(mask))

        for state in states:
            explored = self._explored[id(state.masked)]
            update_on_devices(strategy, state, see, explored.value)

    def share(self) -> float:
        """Share of all weights that are active now or were at any time."""
        counts = [self._count(kernel) for kernel in self._kernels]
        return sum(counts) / max(sum(kernel.size for kernel in self._kernels), 1)

    def shares(self) -> dict[str, float]:
        """The same of each kernel by its name."""
        return {kernel.name: self._count(kernel) / kernel.size for kernel in self._kernels}

    def _count(self, kernel) -> int:
        explored = self._explored[id(kernel)].numpy() | kernel.mask.numpy()
        return int(np.count_nonzero(explored))


def explored_shares(optimizer: keras.optimizers.Optimizer) -> dict[str, float]:
    """Shares of weights ever active by kernel name; none if the optimizer does not record them."""
    tracked = getattr(optimizer, "_exploration", None)
    return {} if tracked is None else tracked.shares()
