"""Structures: which sets of weights a mask may leave, and how the best of them are chosen."""

from keras_tickets.structures._get import fit, get
from keras_tickets.structures.block import Block
from keras_tickets.structures.channel import Channel
from keras_tickets.structures.fan_in import FanIn
from keras_tickets.structures.nm import NM
from keras_tickets.structures.structure import Layout, Structure
from keras_tickets.structures.unstructured import Unstructured

__all__ = [
    "NM",
    "Block",
    "Channel",
    "FanIn",
    "Layout",
    "Structure",
    "Unstructured",
    "fit",
    "get",
]
