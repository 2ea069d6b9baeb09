"""What computes the products: the interface, the two engines, and where each works."""

import functools
import importlib.util
from typing import Protocol

import tensorflow as tf

from keras_tickets._checks import check_one_of
from keras_tickets._optional import import_optional
from keras_tickets._sparse_storage import tensorflow_engine
from keras_tickets._sparse_storage.pattern import Pattern

ENGINES = ("auto", "tensorflow", "numba")


class Engine(Protocol):
    """The three products of a sparse kernel K with dense matrices. All are linear in each factor.

    Arguments and results have the dtype of the values, float32 or float64.
    """

    def prepare(self, pattern: Pattern) -> Pattern:
        """What the products take, computed once for all of them."""

    def multiply(self, pattern: Pattern, values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """`x @ K`: (batch, inputs) to (batch, units)."""

    def multiply_transposed(self, pattern: Pattern, values: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
        """`dy @ Kᵀ`: (batch, units) to (batch, inputs)."""

    def sample(self, pattern: Pattern, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
        """`xᵀ @ dy` at the positions of the values alone: their gradient."""


def find_engine(name: str) -> Engine:
    """The engine to compute with at this place of the program.

    Args:
        name: One of `ENGINES`; "auto" takes numba where it is installed and works.

    Raises:
        ImportError: numba is asked for and not installed.
        ValueError: The engine does not work here.
    """
    check_one_of("engine", name, ENGINES)
    if _inside_xla():
        raise ValueError(
            "XLA cannot compile sparse storage: neither of its engines. Leave out "
            f'`jit_compile=True`, or use storage="masked". Received: engine={name!r}'
        )
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if name == "numba" and replicas > 1:
        raise ValueError(
            'The engine "numba" works on one replica. Use engine="tensorflow" for several. '
            f"Received: {replicas} replicas"
        )
    if name == "auto":
        name = "numba" if replicas == 1 and _numba_installed() else "tensorflow"
    return _numba_engine() if name == "numba" else tensorflow_engine


def in_saved_models(name: str) -> bool:
    """Whether the engine that `find_engine` finds can be part of a SavedModel."""
    return find_engine(name) is tensorflow_engine


def _inside_xla() -> bool:
    """Whether the graph that is traced now is one that XLA compiles."""
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False


@functools.cache
def _numba_installed() -> bool:
    return importlib.util.find_spec("numba") is not None


def _numba_engine() -> Engine:
    import_optional("numba", "keras-tickets[cpu]", 'Layers with engine="numba"')
    return importlib.import_module("keras_tickets._sparse_storage.numba_engine")
