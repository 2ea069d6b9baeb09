"""Which sets of weights a mask may leave, and how the best of them is chosen."""

from keras_tickets.structures.block import Block as Block
from keras_tickets.structures.channel import Channel as Channel
from keras_tickets.structures.fan_in import FanIn as FanIn
from keras_tickets.structures.nm import NM as NM
from keras_tickets.structures.structure import Layout as Layout
from keras_tickets.structures.structure import Structure as Structure
from keras_tickets.structures.unstructured import Unstructured as Unstructured


def get(structure: Structure | None) -> Structure:
    """The structure, single weights for `None`.

    Raises:
        ValueError: `structure` is no structure.
    """
    if structure is None:
        return Unstructured()
    if not isinstance(structure, Structure):
        raise ValueError(
            "`structure` must be None or an object of kt.structures. Received: "
            f"structure={structure!r}"
        )
    return structure
