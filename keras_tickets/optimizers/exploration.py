"""Which weights were ever active."""

import keras
import numpy as np
import tensorflow as tf

from keras_tickets.optimizers.topology import Topology, add_beside_mask, update_on_devices


class Exploration:
    """The union of all masks that each kernel has had.

    Args:
        optimizer: The optimizer that keeps it.
        topologies: The masked kernels.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, topologies: list[Topology]):
        self._records = [topology.masked for topology in topologies]
        self._explored = {
            t.masked.path: add_beside_mask(optimizer, t, "explored") for t in topologies
        }

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
