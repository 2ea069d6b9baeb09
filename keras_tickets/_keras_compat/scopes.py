"""Scopes in which variables have other values."""

import collections
import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf
from keras.src import backend
from keras.src.backend.common import global_state

from keras_tickets._keras_compat.layers import inlined_functions


@contextlib.contextmanager
def _own_dtypes() -> Iterator[None]:
    """Variables have their own dtype. Under `AutocastScope(None)` they would claim to be floatx."""
    enclosing = global_state.get_global_attribute("autocast_scope")
    global_state.set_global_attribute("autocast_scope", None)
    try:
        yield
    finally:
        global_state.set_global_attribute("autocast_scope", enclosing)


def current_state(variables) -> list[tuple[keras.Variable, tf.Tensor]]:
    """The values of `variables` that an enclosing `keras.StatelessScope` has set."""
    if not backend.in_stateless_scope():
        return []
    scope = backend.get_stateless_scope()
    values = [(v, scope.get_current_value(v)) for v in variables]
    return [(v, value) for v, value in values if value is not None]


@contextlib.contextmanager
def outer_name_scope():
    """What is made inside gets the path that it would have without the layer being built now."""
    stack = global_state.get_global_attribute("name_scope_stack") or []
    inner = stack.pop() if stack else None
    try:
        yield
    finally:
        if inner is not None:
            stack.append(inner)


def uncast(variable: keras.Variable) -> tf.Tensor:
    """The variable's value in its own dtype, whatever the autocast scope."""
    with _own_dtypes():
        return tf.convert_to_tensor(variable.value)


def functional_scope(variables, layer: keras.layers.Layer | None = None) -> keras.StatelessScope:
    """A scope that catches assignments instead of making them; for code that XLA compiles alone."""
    return masked_scope([(v, uncast(v)) for v in variables], layer)


def masked_scope(mapping, layer: keras.layers.Layer | None = None) -> keras.StatelessScope:
    """A `StatelessScope` over `mapping` whose values keep the dtype of their variables.

    Pass the layer that is called inside where its methods may be `tf.function`s, which would go on
    with the values that they were traced with.

    Its `assigned` are the `(variable, value)` pairs that were assigned inside it, and `times` says
    how often, by the id of the variable. No gradient flows through an assignment, as outside of
    scopes: that by a value which is read after it is one by the variable.
    """
    with _own_dtypes():
        scope = _CarryingScope(state_mapping=mapping, collect_losses=True)
    scope.layer = layer
    return scope


class _CarryingScope(keras.StatelessScope):
    layer = None

    def __enter__(self):
        self._updated = {}
        self.times = collections.Counter()
        self._inlined = inlined_functions(self.layer)
        self._inlined.__enter__()
        return super().__enter__()

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self._inlined.__exit__(*failure)

    def add_update(self, update):
        variable, value = update
        if value.dtype.is_floating:
            update = variable, _in_place_of(uncast(variable), value)
        super().add_update(update)
        self._updated[id(variable)] = update
        self.times[id(variable)] += 1

    @property
    def assigned(self):
        return list(self._updated.values())


@tf.custom_gradient
def _in_place_of(before, value):
    """`value`, whose gradient goes to `before` instead."""
    return tf.identity(value), lambda gradient: (gradient, None)


def reading_scope(readers, layer: keras.layers.Layer | None = None) -> keras.StatelessScope:
    """As `masked_scope`, but for `(variable, function)` pairs: each use calls the function anew."""
    with _own_dtypes():
        scope = _ReadingScope(collect_losses=True)
    scope.layer = layer
    scope.readers = {id(variable): read for variable, read in readers}
    return scope


class _ReadingScope(_CarryingScope):
    def get_current_value(self, variable):
        value = super().get_current_value(variable)
        if value is None and id(variable) in self.readers:
            value = self.readers[id(variable)]()
        return value


def called_graph(graph: tf.Graph, name: str) -> tf.Graph:
    """The graph of a function that an operation of another graph calls.

    Args:
        graph: The graph of the call.
        name: Name of the function.
    """
    return graph._get_function(name).graph


def name_after_layers(graph: tf.Graph) -> None:
    """Lets a graph name operations after the layers that make them.

    Keras opens the scope of a layer twice, and TensorFlow numbers scopes that have a name in
    common: what layer "conv2d" makes would belong to "conv2d_1", which may be another layer.

    Args:
        graph: A graph, before a model is traced in it.
    """
    numbered, opened = graph.name_scope, list(_open_name_scopes())

    def name_scope(name):
        last = _open_name_scopes()[-1:]
        if last and last[0].name == name and not any(last[0] is each for each in opened):
            opened.append(last[0])
            # With a slash at the end it is the scope of that very name.
            name = f"{graph.get_name_scope()}/{name}/".removeprefix("/")
        return numbered(name)

    graph.name_scope = name_scope


def _open_name_scopes() -> list:
    return global_state.get_global_attribute("name_scope_stack") or []
