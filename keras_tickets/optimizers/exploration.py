"""Which weights were ever active."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_tickets.optimizers.topology import Topology, update_on_devices


class Exploration:
    """The union of all masks that each kernel has had.

    Args:
        topologies: The masked kernels.
        add_mask: Makes a boolean variable for a kernel, given it and a name.
    """

    def __init__(
        self,
        topologies: list[Topology],
        add_mask: Callable[[Topology, str], keras.Variable],
    ):
        self._records = [topology.masked for topology in topologies]
        self._explored = {t.masked.path: add_mask(t, "explored") for t in topologies}

    def see(self, strategy: tf.distribute.Strategy, topologies: list[Topology]) -> None:
        """Takes in the present masks, in cross-replica context."""

        def see(kernel, mask, explored, *slots, initial):
            explored.assign(tf.convert_to_tensor(explored) | tf.convert_to_tensor(mask))

        for topology in topologies:
            explored = self._explored[topology.masked.path]
            update_on_devices(strategy, topology, see, explored.value)

    def share(self) -> float:
        """Share of all weights that were active at any time, the present masks included."""
        explored = sum(
            np.count_nonzero(self._explored[record.path].numpy() | record.mask.numpy())
            for record in self._records
        )
        return explored / max(sum(record.size for record in self._records), 1)
